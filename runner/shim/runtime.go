package shim

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// Runtime is what the settings name: a program that keeps to the command line of runc, or,
// with a type, a shim of containerd.
type Runtime struct {
	Path   string   `yaml:"path"`
	Args   []string `yaml:"args"`   // before those of each call; of a program alone
	Type   string   `yaml:"type"`   // "io.containerd.kata.v2"
	Config string   `yaml:"config"` // the file that a shim is to read
}

// Runtimes are the runtimes that services may name beside the engine's own.
type Runtimes map[string]Runtime

// Check is an error about the first of the runtimes, by name, that can be none. at is where
// a key of one stands in the settings.
func (r Runtimes) Check(at func(name, key string) string) error {
	for _, name := range slices.Sorted(maps.Keys(r)) {
		if spec.IsDefaultRuntime(name) {
			return fmt.Errorf("%s: runtimes.%s: %s is the engine's own: give the other one another name", at(name, ""), name, name)
		}
		switch other := r[name]; {
		case other.Type != "":
			if key, err := other.checkType(); err != nil {
				return fmt.Errorf("%s: runtimes.%s.%s: %w", at(name, key), name, key, err)
			}
		case other.Config != "":
			return fmt.Errorf("%s: runtimes.%s.config: it is for a runtime with a type, a shim of containerd", at(name, "config"), name)
		case !filepath.IsAbs(r[name].Path):
			return fmt.Errorf("%s: runtimes.%s.path: %q is not the full path of a program", at(name, "path"), name, r[name].Path)
		}
	}
	return nil
}

// Allow is an error if a service of a project names a runtime that is not among them, or whose
// program is not there. settings is the file to add one to.
func (r Runtimes) Allow(p *spec.Project, settings string) error {
	var all spec.Diagnostics
	check := func(s *spec.Service, path string) {
		if message, hint := r.refusal(s.OtherRuntime(), settings); message != "" {
			all = append(all, spec.Diagnostic{Severity: spec.Error, Path: path, Place: p.Places.Nearest(path), Message: message, Hint: hint})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Services)) {
		s, path := p.Services[name], "services."+name
		check(s, path+".runtime")
		all = append(all, r.checkShares(p, s, path)...)
		for i, first := range s.PreStart {
			check(first, fmt.Sprintf("%s.pre_start[%d].runtime", path, i))
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &spec.Mistakes{Diagnostics: all, Project: p.Name}
}

// refusal says why a service can't have a runtime, and what to do; "" where it can.
func (r Runtimes) refusal(name, settings string) (message, hint string) {
	if name == "" {
		return "", ""
	}
	runtime, ok := r[name]
	if !ok {
		known := strings.Join(append([]string{spec.DefaultRuntime}, slices.Sorted(maps.Keys(r))...), ", ")
		return fmt.Sprintf("the engine has no runtime %q: it has %s", name, known),
			fmt.Sprintf("add it to %s: runtimes: {%s}", settings, entryOf(name))
	}
	if runtime.Type != "" {
		if _, err := runtime.shim(); err != nil {
			return fmt.Sprintf("the runtime %q can't be called: %v", name, err), "install it, or correct runtimes." + name + " in " + settings
		}
		return "", ""
	}
	if err := isProgram(runtime.Path); err != nil {
		return fmt.Sprintf("the runtime %q can't be called: %v", name, err), "install it, or correct runtimes." + name + ".path in " + settings
	}
	return "", ""
}

// isProgram is an error about a file that is none that can be run.
func isProgram(path string) error {
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s is not there", path)
	case err != nil:
		return err
	case st.IsDir() || st.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not a program", path)
	}
	return nil
}

// program is the path by which a runtime is called, also for what orlop-shim does not do itself.
func (p *Pool) program(name string) (string, error) {
	if name == "" || spec.IsDefaultRuntime(name) {
		return p.Runc, nil
	}
	var all Runtimes
	if p.Runtimes != nil {
		var err error
		if all, err = p.Runtimes(); err != nil {
			return "", err
		}
	}
	if message, hint := all.refusal(name, "engine.yaml"); message != "" {
		return "", fmt.Errorf("%s: %s", message, hint)
	}
	runtime := all[name]
	if runtime.Type != "" {
		return "", fmt.Errorf("the runtime %q was a program when this container was made, and is a shim now: make it anew with \"orlop up --force-recreate\"", name)
	}
	if len(runtime.Args) == 0 {
		return runtime.Path, nil
	}
	return p.wrapper(runtime)
}

// wrapper is a program that calls a runtime with its arguments, for which a shim's options
// have no place. It is named by what it does: a change of the settings leaves that of what runs.
func (p *Pool) wrapper(r Runtime) (string, error) {
	text := "#!/bin/sh\nexec " + quoted(append([]string{r.Path}, r.Args...)) + " \"$@\"\n"
	sum := sha256.Sum256([]byte(text))
	path := filepath.Join(p.Wrappers, hex.EncodeToString(sum[:8]))
	if have, err := os.ReadFile(path); err == nil && string(have) == text {
		return path, nil
	}
	err := os.MkdirAll(p.Wrappers, 0o700)
	var f *os.File
	if err == nil {
		f, err = os.CreateTemp(p.Wrappers, ".new-")
	}
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Chmod(0o700), f.Close())
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return "", fmt.Errorf("cannot write the program that calls %s: %w", r.Path, err)
	}
	return path, nil
}

// quoted are words as a shell takes them.
func quoted(words []string) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}

// runtimeOf is the program that a task was made by, of whose bundle its shim has left word; that of
// the engine where there is none, or it is there no more: an upgrade takes the runc before along.
func runtimeOf(bundle, own string) string {
	text, err := os.ReadFile(filepath.Join(bundle, "runtime"))
	if err != nil || isProgram(string(text)) != nil {
		return own
	}
	return string(text)
}
