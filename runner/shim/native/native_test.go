package native

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/containerd/go-runc"
	"github.com/opencontainers/runc/libcontainer"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

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

func TestAPanicIsAnError(t *testing.T) {
	l, r := &Library{}, &runc.Runc{Root: t.TempDir()}
	err := l.with(r, "box", func(*libcontainer.Container) error { panic("odd") })
	if !errors.Is(err, libcontainer.ErrNotExist) {
		t.Errorf("of a container that is not there: %v", err)
	}
	fails := func() (err error) {
		defer held(&err)
		panic("odd")
	}
	if err := fails(); err == nil || err.Error() != "internal error of libcontainer: odd" {
		t.Errorf("a panic is %v", err)
	}
}

// One whose processes are nobody outside can't mount, and what hooks do outside they do to its files.
func TestWhoMountsItsRoot(t *testing.T) {
	mounts, users := specs.LinuxNamespace{Type: specs.MountNamespace}, specs.LinuxNamespace{Type: specs.UserNamespace}
	for what, c := range map[string]struct {
		spec specs.Spec
		want bool
	}{
		"one of its own":         {specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{mounts}}}, true},
		"another's":              {specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{{Type: specs.MountNamespace, Path: "/proc/1/ns/mnt"}}}}, false},
		"the machine's":          {specs.Spec{Linux: &specs.Linux{}}, false},
		"with users of its own":  {specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{mounts, users}}}, false},
		"with a hook beside":     {specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{mounts}}, Hooks: &specs.Hooks{CreateRuntime: []specs.Hook{{}}}}, false},
		"with a hook after it":   {specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{mounts}}, Hooks: &specs.Hooks{Poststop: []specs.Hook{{}}}}, false},
		"that passes mounts on":  {specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{mounts}, RootfsPropagation: "rshared"}}, false},
		"that takes mounts":      {specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{mounts}, RootfsPropagation: "rslave"}}, true},
		"with a hook inside":     {specs.Spec{Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{mounts}}, Hooks: &specs.Hooks{CreateContainer: []specs.Hook{{}}}}, true},
		"with what is not Linux": {specs.Spec{}, false},
	} {
		if got := mountsItsRoot(&c.spec); got != c.want {
			t.Errorf("%s: %t", what, got)
		}
	}
}
