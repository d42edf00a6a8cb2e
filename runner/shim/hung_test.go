package shim

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
)

func TestAShimThatOnlyListensHangs(t *testing.T) {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	address := "unix://" + filepath.Join(dir, "mute")
	l, err := net.Listen("unix", filepath.Join(dir, "mute"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if !hangs(context.Background(), address) {
		t.Error("a shim that gives no answer counts as well")
	}
	well := "unix://" + filepath.Join(dir, "well")
	serveShim(t, well)
	if hangs(context.Background(), well) {
		t.Error("a shim that answers with an error counts as hung")
	}
	if hangs(context.Background(), "unix://"+filepath.Join(dir, "none")) {
		t.Error("a shim that is gone counts as hung")
	}
}

func TestAShimIsKnownByItsArguments(t *testing.T) {
	process := t.TempDir()
	for line, want := range map[string]bool{
		"/x/containerd-shim-runc-v2\x00-namespace\x00orlop\x00-id\x00shop-1234\x00-address\x00/a\x00": true,
		"/x/orlop-shim\x00-id\x00shop-1234\x00":                                                       true,
		"/x/containerd-shim-runc-v2\x00-id\x00shop-12345\x00":                                         false,
		"/x/containerd-shim-runc-v2\x00-id":                                                           false,
		"grep\x00-id\x00shop-1234\x00":                                                                false,
		"":                                                                                            false,
	} {
		if err := os.WriteFile(filepath.Join(process, "cmdline"), []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := isShimOf(process, "shop-1234"); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}

// Between a look at a shim and the kill there may be minutes.
func TestAShimThatAnswersAgainIsNotKilled(t *testing.T) {
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "shim")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := &Pool{Config: Config{Log: slog.New(slog.DiscardHandler)}}
	s := &Shim{dir: dir, address: "unix://" + path}
	if !p.Hangs(t.Context(), s) {
		t.Fatal("it answers")
	}
	l.Close()
	serveShim(t, s.address)
	if p.KillHung(t.Context(), s) || s.dead {
		t.Error("it is killed by a look of long ago")
	}
}
