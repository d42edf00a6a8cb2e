package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/boltfile"
)

// hostWith is a host whose /proc has these files.
func hostWith(t *testing.T, files map[string]string) *Host {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &Host{proc: dir, Root: t.TempDir(), State: t.TempDir()}
}

func TestWhatTheKernelMayRefuseIsNamed(t *testing.T) {
	watches := func(watches, instances int) map[string]string {
		return map[string]string{
			"sys/fs/inotify/max_user_watches": fmt.Sprint(watches, "\n"), "sys/fs/inotify/max_user_instances": fmt.Sprint(instances, "\n"),
		}
	}
	few := hostWith(t, watches(8192, 128))
	if c := few.watches(); c.Result != api.CheckWarning || !strings.Contains(c.Cure, "sysctl fs.inotify.max_user_watches=100000\"") {
		t.Errorf("few watches: %+v", c)
	}
	few.Fix = true
	if c := few.watches(); c.Result != api.CheckOK || !c.Fixed {
		t.Errorf("few watches, mended: %+v", c)
	}
	few.Fix = false
	if c := few.watches(); c.Result != api.CheckOK || c.Fixed {
		t.Errorf("mended watches are not kept: %+v", c)
	}
	if c := hostWith(t, watches(1_000_000, 1024)).watches(); c.Result != api.CheckOK {
		t.Errorf("many watches: %+v", c)
	}
	if c := hostWith(t, nil).seccomp(); c.Result != api.CheckFailed {
		t.Errorf("no seccomp: %+v", c)
	}
	if c := hostWith(t, map[string]string{"sys/net/ipv4/ip_forward": "1\n"}).forwarding(); c.Result != api.CheckOK {
		t.Errorf("forwarding: %+v", c)
	}
}

func TestMissingCapabilitiesAreNamed(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root, which is looked at first")
	}
	for status, want := range map[string]struct {
		result api.CheckLevel
		text   string
	}{
		"CapEff:\t000001ffffffffff\n": {api.CheckOK, "root"},
		"CapEff:\t000001fffeffffff\n": {api.CheckWarning, "CAP_SYS_RESOURCE"},
		"CapEff:\t00000000a80425fb\n": {api.CheckFailed, "lacks CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_SYS_PTRACE"},
		"Name:\tx\n":                  {api.CheckFailed, "cannot read"},
	} {
		c := hostWith(t, map[string]string{"self/status": status}).privileges()
		if c.Result != want.result || !strings.Contains(c.Found, want.text) {
			t.Errorf("%q: %+v", status, c)
		}
	}
}

func TestModulesAreLoadedWhereThatIsAsked(t *testing.T) {
	var loaded []string
	h := &Host{modprobe: func(name string) error { loaded = append(loaded, name); return nil }}
	try := func() error {
		if len(loaded) == 2 {
			return nil
		}
		return errors.New("operation not supported")
	}
	if c := h.withModules("x", []string{"a", "b"}, "fine", try); c.Result != api.CheckFailed || !strings.Contains(c.Cure, `"modprobe -a a b"`) || loaded != nil {
		t.Errorf("not asked for: %+v, loaded %q", c, loaded)
	}
	h.Fix = true
	if c := h.withModules("x", []string{"a", "b"}, "fine", try); c.Result != api.CheckOK || !c.Fixed || c.Found != "fine" {
		t.Errorf("asked for: %+v", c)
	}
	denied := func() error { return fmt.Errorf("cannot: %w", unix.EPERM) }
	if c := h.withModules("x", []string{"a"}, "fine", denied); c.Result != api.CheckFailed || !strings.Contains(c.Cure, "as root") {
		t.Errorf("denied: %+v", c)
	}
}

func TestProgramsThatAreMissing(t *testing.T) {
	h := &Host{Libexec: t.TempDir(), Runc: func(string) (string, error) { return "1.5.2", nil }}
	for _, p := range []string{"orlopd", "orlop-engine", "orlop-shim", "orlop-exec", "runc"} {
		if err := os.WriteFile(filepath.Join(h.Libexec, p), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if c := h.programs(); c.Result != api.CheckFailed || !strings.HasPrefix(c.Found, "containerd-shim-runc-v2: ") {
		t.Errorf("no shim: %+v", c)
	}
	if err := os.WriteFile(filepath.Join(h.Libexec, "containerd-shim-runc-v2"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if c := h.programs(); c.Result != api.CheckOK || !strings.Contains(c.Found, "1.5.2") {
		t.Errorf("whole: %+v", c)
	}
	h.Runc = func(string) (string, error) { return "", errors.New("runc 1.0 is too old") }
	if c := h.programs(); c.Result != api.CheckFailed || !strings.Contains(c.Found, "too old") {
		t.Errorf("old: %+v", c)
	}
}

// What the checks try is gone when they return: no link, table, mount, cgroup
// or file of theirs is left on the machine.
func TestExaminingLeavesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: networks and mounts are real")
	}
	h := Host{Root: t.TempDir(), State: t.TempDir(), Libexec: t.TempDir(), Runc: func(string) (string, error) { return "1.5.2", nil }}
	for _, c := range Examine(h) {
		if c.Result == api.CheckFailed && c.Name != "programs" {
			t.Errorf("%+v", c)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), h.Root) {
		t.Error("a mount is left", err)
	}
	if links, _ := filepath.Glob("/sys/class/net/orlop[012]"); links != nil {
		t.Errorf("links are left: %q", links)
	}
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/orlop-doctor-*")
	if left, _ := os.ReadDir(h.Root); len(left) > 0 || groups != nil {
		t.Errorf("left are files %v, cgroups %q", left, groups)
	}
}

func TestDatabasesThatWereSetAside(t *testing.T) {
	h := Host{Root: t.TempDir()}
	if c := h.setAside(); c.Result != api.CheckOK {
		t.Errorf("without any: %+v", c)
	}
	aside := filepath.Join(h.Root, "engine.db.damaged-1")
	if err := os.WriteFile(aside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if c := h.setAside(); c.Result != api.CheckWarning || !strings.Contains(c.Found, aside) {
		t.Errorf("with one: %+v", c)
	}
	h.Fix = true
	if c := h.setAside(); c.Result != api.CheckWarning || c.Fixed || len(boltfile.Asides(h.Root)) != 1 {
		t.Errorf("nobody asked to remove it: %+v", c)
	}
}

func TestMistakesInTheSettingsAreTold(t *testing.T) {
	h := hostWith(t, nil)
	if c := h.settings(); c.Result != api.CheckOK || !strings.Contains(c.Found, "there is no") {
		t.Errorf("without a file: %+v", c)
	}
	if err := os.WriteFile(filepath.Join(h.Root, "engine.yaml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.Settings = func(string) error { return nil }
	if c := h.settings(); c.Result != api.CheckOK || !strings.Contains(c.Found, "has no mistake") {
		t.Errorf("a sound one: %+v", c)
	}
	h.Settings = func(string) error {
		return errors.Join(errors.New("engine.yaml:1:1: one"), errors.New("engine.yaml:2:1: two"))
	}
	if c := h.settings(); c.Result != api.CheckFailed || c.Found != "engine.yaml:1:1: one; engine.yaml:2:1: two" || c.Cure == "" {
		t.Errorf("mistakes: %+v", c)
	}
}
