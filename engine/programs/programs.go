// Package programs installs the programs that the engine executes or lends to
// containers, each version in a place of its own, and refuses those that are not safe
// to use.
package programs

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/orlop/orlop/runner/disk"
	"github.com/orlop/orlop/runner/proc"
)

// Programs are the files that the engine executes or lends to containers.
type Programs struct {
	Runc        string
	Shim        string // orlop-shim
	Caller      string // containerd-shim-runc-v2
	Helper      string // orlop-exec, for probes
	Init        string // of containers with "init: true"; it runs the steps of builds too
	RuncVersion string
}

// runcFloor is the oldest runc that is safe to use (CVE-2025-31133 and others).
var runcFloor = [3]int{1, 5, 1}

// Install puts runc, the shims, the helper and the init program under a path of their own
// version below root: a shim that runs executes its own file again, so an
// upgrade must not take it away. Versions that no shim runs any more go.
func Install(libexec, root, bundles string) (Programs, error) {
	files := []string{"runc", "orlop-shim", "containerd-shim-runc-v2", "orlopd", "orlop-exec"}
	h := sha256.New()
	for _, name := range files {
		st, err := os.Stat(filepath.Join(libexec, name))
		if errors.Is(err, fs.ErrNotExist) {
			return Programs{}, fmt.Errorf("%s is missing beside the engine in %s: install Orlop again, or run \"make build\"", name, libexec)
		}
		if err != nil {
			return Programs{}, err
		}
		fmt.Fprintf(h, "%s %d %d\n", name, st.Size(), st.ModTime().UnixNano())
	}
	dir := filepath.Join(root, "libexec", hex.EncodeToString(h.Sum(nil)[:6]))
	p := Programs{
		Runc: filepath.Join(dir, "runc"), Shim: filepath.Join(dir, "orlop-shim"), Caller: filepath.Join(dir, "containerd-shim-runc-v2"),
		Init: filepath.Join(dir, "orlopd"), Helper: filepath.Join(dir, "orlop-exec"),
	}
	version := filepath.Join(dir, "runc.version")
	if b, err := os.ReadFile(version); err == nil && len(b) > 0 && isInstalled(libexec, dir, files) {
		p.RuncVersion = string(b)
		return p, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return p, err
	}
	for _, name := range files {
		if err := checkMachine(filepath.Join(libexec, name)); err != nil {
			return p, err
		}
	}
	for _, name := range files {
		if err := place(filepath.Join(libexec, name), filepath.Join(dir, name)); err != nil {
			return p, fmt.Errorf("cannot install %s: %w", name, err)
		}
	}
	found, err := CheckRunc(p.Runc)
	if err != nil {
		return p, err
	}
	p.RuncVersion = found
	removeOld(filepath.Dir(dir), filepath.Base(dir), bundles)
	return p, disk.Write(version, []byte(found))
}

// isInstalled says that the programs are there whole.
func isInstalled(libexec, dir string, files []string) bool {
	for _, name := range files {
		from, err := os.Stat(filepath.Join(libexec, name))
		if err != nil {
			return false
		}
		if st, err := os.Stat(filepath.Join(dir, name)); err != nil || st.Size() != from.Size() {
			return false
		}
	}
	return true
}

// place copies a program, so that a later change of the original is none of it.
func place(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(filepath.Dir(to), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(out.Name())
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Chmod(0o755), out.Sync(), out.Close()); err != nil {
		return err
	}
	return os.Rename(out.Name(), to)
}

// checkMachine refuses a program that is for another kind of machine than the
// engine is.
func checkMachine(path string) error {
	program, err := elf.Open(path)
	if _, ok := errors.AsType[*elf.FormatError](err); ok || errors.Is(err, io.EOF) {
		return nil // a script may be in its place, and what can't run at all shows when it is asked for its version
	}
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	defer program.Close()
	own, err := elf.Open("/proc/self/exe")
	if err != nil {
		return nil
	}
	defer own.Close()
	if program.Machine != own.Machine || program.Class != own.Class {
		return fmt.Errorf("%s is a program for %s, and this machine runs those for %s: install Orlop for this machine", path, program.Machine, own.Machine)
	}
	return nil
}

// CheckRunc gives the version of a runc. It refuses one that does not run here,
// or is too old to be safe.
func CheckRunc(path string) (string, error) {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("cannot run %s: %w", path, err)
	}
	line, _, _ := strings.Cut(string(out), "\n")
	found := strings.TrimPrefix(line, "runc version ")
	if olderThan(found, runcFloor) {
		return "", fmt.Errorf("runc %s is too old to be safe: version %d.%d.%d or later is needed", found, runcFloor[0], runcFloor[1], runcFloor[2])
	}
	return found, nil
}

// olderThan compares a version with the floor; a candidate of the floor itself
// (1.5.1-rc.1) is older than it.
func olderThan(version string, floor [3]int) bool {
	version, _, _ = strings.Cut(version, "+")
	version, candidate, _ := strings.Cut(version, "-")
	parts := strings.Split(version, ".")
	for i, want := range floor {
		have := 0
		if i < len(parts) {
			have, _ = strconv.Atoi(parts[i])
		}
		if have != want {
			return have < want
		}
	}
	return strings.HasPrefix(candidate, "rc")
}

// removeOld removes the versions that no process executes and that no task of
// containerd, in its directory bundles, was made with: a shim goes on to call
// the runc with which it made a process.
func removeOld(parent, keep, bundles string) {
	used := map[string]bool{keep: true}
	for _, file := range []string{"options.json", "config.json"} {
		notes, _ := filepath.Glob(filepath.Join(bundles, "*", file))
		for _, note := range notes {
			text, _ := os.ReadFile(note) // a task that has gone needs nothing
			for _, rest := range strings.Split(string(text), parent+"/")[1:] {
				version, _, _ := strings.Cut(rest, "/")
				used[version] = true
			}
		}
	}
	for _, process := range proc.All() {
		if to, err := os.Readlink(process + "/exe"); err == nil && strings.HasPrefix(to, parent+"/") {
			version, _, _ := strings.Cut(strings.TrimPrefix(to, parent+"/"), "/")
			used[version] = true
		}
	}
	entries, _ := os.ReadDir(parent)
	for _, e := range entries {
		if !used[e.Name()] {
			os.RemoveAll(filepath.Join(parent, e.Name()))
		}
	}
}
