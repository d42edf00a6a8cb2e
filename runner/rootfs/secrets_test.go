package rootfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

func TestHostsFile(t *testing.T) {
	got := extraHosts([]string{"a=10.0.0.1", "b:10.0.0.2", "six=[::1]", "plain=::2", "broken"})
	if want := "10.0.0.1\ta\n10.0.0.2\tb\n::1\tsix\n::2\tplain\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestSecretsAreOnTmpfs(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root: it mounts a tmpfs")
	}
	s := &Secrets{dir: filepath.Join(t.TempDir(), "secrets")}
	t.Cleanup(func() { unix.Unmount(s.dir, unix.MNT_DETACH) })
	mode := uint32(0o440)
	path, err := s.write("one", 0, []byte("hunter2"), &spec.FileMount{UID: "1000", GID: "100", Mode: &mode})
	if err != nil {
		t.Fatal(err)
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC {
		t.Errorf("the secret is on %#x, %v", fs.Type, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil || st.Uid != 1000 || st.Gid != 100 || st.Mode&0o7777 != 0o440 {
		t.Errorf("owner and mode are %d:%d %o, %v", st.Uid, st.Gid, st.Mode, err)
	}
	again := &Secrets{dir: s.dir} // the next engine
	if _, err := again.write("two", 0, []byte("x"), &spec.FileMount{}); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "hunter2" {
		t.Errorf("a second mount hides the first: %q, %v", b, err)
	}
	again.Remove("one")
	if _, err := os.Stat(path); err == nil {
		t.Error("the secret is still there")
	}
	again.Remove("two")
	if _, err := os.Stat(s.dir); err == nil {
		t.Error("the tmpfs is still there")
	}
}

// TestSecretsAndConfigsOfAService: where they are in the container, and that they
// are there again for the next engine.
func TestSecretsAndConfigsOfAService(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root: it mounts a tmpfs")
	}
	s := NewSecrets(filepath.Join(t.TempDir(), "secrets"))
	t.Cleanup(func() { unix.Unmount(s.Dir(), unix.MNT_DETACH) })
	service := &spec.Service{
		Secrets: []spec.FileMount{{Source: "key"}, {Source: "key", Target: "renamed"}, {Source: "key", Target: "/srv/key"}},
		Configs: []spec.FileMount{{Source: "motd"}},
	}
	contents := map[string][]byte{"secrets.key": []byte("hunter2"), "configs.motd": []byte("hello")}
	content := func(key string) ([]byte, error) {
		if b, ok := contents[key]; ok {
			return b, nil
		}
		return nil, errors.New("the content of " + key + " is not known any more")
	}
	mounts, err := s.Mounts("c1", service, content)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"/run/secrets/key", "/run/secrets/renamed", "/srv/key", "/motd"} {
		text, err := os.ReadFile(mounts[i].Source)
		if mounts[i].Destination != want || err != nil || string(text) != "hunter2" && i < 3 || string(text) != "hello" && i == 3 {
			t.Errorf("%d: %+v holds %q, %v", i, mounts[i], text, err)
		}
	}
	next := NewSecrets(s.Dir())
	if !next.Has("c1", service) || next.Has("c2", service) || !next.Has("c2", &spec.Service{}) {
		t.Error("the next engine does not know what a container has")
	}
	all := map[string][][]byte{}
	next.Copy(all, "c1", service, nil)
	next.Copy(all, "c9", service, nil)
	if got := fmt.Sprintf("%q", all); got != `map["configs.motd":["hello"] "secrets.key":["hunter2" "hunter2" "hunter2"]]` {
		t.Errorf("what a container was given is read back as %s", got)
	}
	delete(contents, "secrets.key")
	if _, err := s.Mounts("c2", service, content); err == nil || !strings.Contains(err.Error(), "the content of secrets.key is not known any more") {
		t.Errorf("got %v", err)
	}
	s.Remove("c1")
	s.Remove("c2")
	s.Remove("c3") // once all are gone
	if _, err := os.Stat(s.Dir()); err == nil {
		t.Error("the tmpfs is still there")
	}
}
