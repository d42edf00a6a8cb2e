// Package doctor looks whether this machine has what Orlop needs: it tries each
// thing for real, in a namespace or a directory of its own, and says what to
// do where it fails. It needs no engine that runs, and leaves nothing behind.
package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
)

// Host is the machine as the checks see it.
type Host struct {
	Root, State string // the engine's directories
	Libexec     string // of the programs beside the engine
	// Runc gives the version of a runc, or says why it can't be used.
	Runc func(path string) (version string, err error)
	// Settings says what is wrong in the engine's settings; nil: nobody can tell.
	Settings func(root string) error
	// Fix does what is safe: it loads modules of the kernel, and raises limits.
	Fix bool

	proc string // /proc; another directory in tests
	// modprobe loads a module of the kernel.
	modprobe func(name string) error
}

// Examine makes all checks, in the order in which they are shown.
func Examine(h Host) []api.Check {
	h.proc = "/proc"
	h.modprobe = func(name string) error { return exec.Command("modprobe", name).Run() }
	if c := h.privileges(); os.Geteuid() != 0 {
		return []api.Check{c} // all else would fail for the same reason
	}
	var out []api.Check
	for _, check := range []func(*Host) api.Check{
		(*Host).privileges, (*Host).kernel, (*Host).cgroups, (*Host).namespaces, (*Host).users, (*Host).seccomp, (*Host).overlay,
		(*Host).bridges, (*Host).firewall, (*Host).forwarding, (*Host).sctp, (*Host).nameServers,
		(*Host).settings, (*Host).rootDisk, (*Host).setAside, (*Host).stateDisk, (*Host).descriptors, (*Host).watches, (*Host).programs,
	} {
		out = append(out, check(&h))
	}
	return out
}

func ok(name, format string, args ...any) api.Check {
	return api.Check{Name: name, Result: api.CheckOK, Found: fmt.Sprintf(format, args...)}
}

func warning(name, cure, format string, args ...any) api.Check {
	return api.Check{Name: name, Result: api.CheckWarning, Found: fmt.Sprintf(format, args...), Cure: cure}
}

func failed(name, cure, format string, args ...any) api.Check {
	return api.Check{Name: name, Result: api.CheckFailed, Found: fmt.Sprintf(format, args...), Cure: cure}
}

// withModules tries something that modules of the kernel are for: if it fails
// and may be mended, they are loaded and it is tried again.
func (h *Host) withModules(name string, modules []string, found string, try func() error) api.Check {
	err := try()
	if err == nil {
		return ok(name, "%s", found)
	}
	cure := "run \"modprobe -a " + strings.Join(modules, " ") + "\", and list them in /etc/modules-load.d/orlop.conf"
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		cure = "run the engine as root, outside of a container that may not do this"
	}
	if h.Fix {
		var errs []error
		for _, m := range modules {
			errs = append(errs, h.modprobe(m))
		}
		if errors.Join(errs...) == nil && try() == nil {
			c := ok(name, "%s", found)
			c.Fixed, c.Cure = true, "list in /etc/modules-load.d/orlop.conf, for the next boot: "+strings.Join(modules, " ")
			return c
		}
	}
	return failed(name, cure, "%v", err)
}

// settings are those of the engine: a mistake in them fails each command that reads
// them, and the next engine goes without what is wrong.
func (h *Host) settings() api.Check {
	const name = "settings"
	path := filepath.Join(h.Root, "engine.yaml")
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return ok(name, "all as by default: there is no %s", path)
	}
	if h.Settings == nil {
		return ok(name, "%s", path)
	}
	if err := h.Settings(h.Root); err != nil {
		return failed(name, "correct it: docs/engine.md tells of each key", "%s", strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return ok(name, "%s has no mistake", path)
}

// setting reads a setting of the kernel below /proc/sys.
func (h *Host) setting(name string) (int, error) {
	text, err := os.ReadFile(filepath.Join(h.proc, "sys", name))
	if err != nil {
		return 0, err
	}
	var n int
	_, err = fmt.Sscan(string(text), &n)
	return n, err
}

// line is what follows a word at the beginning of a line of /proc/self/status.
func (h *Host) line(word string) string {
	text, _ := os.ReadFile(filepath.Join(h.proc, "self", "status"))
	for l := range strings.Lines(string(text)) {
		if rest, is := strings.CutPrefix(l, word+":"); is {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
