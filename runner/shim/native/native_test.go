package native

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/containerd/go-runc"
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestProcessIsAsItsDocumentSays(t *testing.T) {
	doc := &specs.Process{
		Args: []string{"true"}, Env: []string{"A=b"}, Cwd: "/x", NoNewPrivileges: true, ApparmorProfile: "a", ConsoleSize: &specs.Box{Width: 80, Height: 24},
		User:         specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{5, 6}},
		Capabilities: &specs.LinuxCapabilities{Bounding: []string{"CAP_KILL"}, Ambient: []string{"CAP_CHOWN"}},
		Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 10, Hard: 20}},
	}
	p, err := ProcessOf(doc)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(p.Args, doc.Args) || !slices.Equal(p.Env, doc.Env) || p.Cwd != "/x" || p.UID != 1000 || p.GID != 1001 || !slices.Equal(p.AdditionalGroups, []int{5, 6}) ||
		!*p.NoNewPrivileges || p.AppArmorProfile != "a" || p.ConsoleWidth != 80 || p.ConsoleHeight != 24 || !slices.Equal(p.Capabilities.Bounding, []string{"CAP_KILL"}) ||
		!slices.Equal(p.Capabilities.Ambient, []string{"CAP_CHOWN"}) || len(p.Capabilities.Effective) > 0 || !slices.Equal(p.Rlimits, []configs.Rlimit{{Type: unix.RLIMIT_NOFILE, Soft: 10, Hard: 20}}) {
		t.Errorf("%+v", p)
	}
	for what, doc := range map[string]*specs.Process{
		"none": nil, "no program": {Cwd: "/"}, "no directory": {Args: []string{"sh"}}, "half a directory": {Args: []string{"sh"}, Cwd: "x"},
		"an unknown limit": {Args: []string{"true"}, Cwd: "/", Rlimits: []specs.POSIXRlimit{{Type: "RLIMIT_LOVE"}}},
	} {
		if _, err := ProcessOf(doc); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

// A bundle's paths are those below it, wherever this process is.
func TestPathsOfABundle(t *testing.T) {
	dir := t.TempDir()
	text := `{"root": {"path": "rootfs"}, "mounts": [{"destination": "/a", "source": "a", "options": ["rbind"]}, {"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/b", "source": "/b", "options": ["bind"]}]}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	spec, err := readSpec(dir)
	if err != nil {
		t.Fatal(err)
	}
	if spec.Root.Path != filepath.Join(dir, "rootfs") || spec.Mounts[0].Source != filepath.Join(dir, "a") || spec.Mounts[1].Source != "proc" || spec.Mounts[2].Source != "/b" {
		t.Errorf("%+v, %+v", spec.Root, spec.Mounts)
	}
	for _, text := range []string{"null", "{}", "{"} {
		if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readSpec(dir); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// containerd tells a container that is gone by the words; what is left of one that was never whole goes.
func TestAContainerThatIsNotThere(t *testing.T) {
	l, r := &Library{}, &runc.Runc{Root: t.TempDir()}
	if err := l.Kill(t.Context(), r, "box", 9, nil); !errors.Is(err, libcontainer.ErrNotExist) || err.Error() != "container does not exist" {
		t.Errorf("kill: %v", err)
	}
	half := filepath.Join(r.Root, "box")
	if err := os.Mkdir(half, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Delete(t.Context(), r, "box", &runc.DeleteOpts{Force: true}); err != nil {
		t.Errorf("delete by force: %v", err)
	}
	if _, err := os.Stat(half); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is left: %v", err)
	}
	if err := l.Delete(t.Context(), r, "box", nil); !errors.Is(err, libcontainer.ErrNotExist) {
		t.Errorf("delete: %v", err)
	}
}
