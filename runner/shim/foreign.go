package shim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
)

// A runtime with a type is a shim of containerd other than ours. Such shims differ in
// how they are started, and many hold one container each, so that they are left to containerd: it
// starts one for each container, and ends it.

// ownShim is the program of the shims that a Pool starts itself.
const ownShim = "containerd-shim-runc-v2"

// shimType is a type as containerd names them: the last two words are those of the program.
var shimType = regexp.MustCompile(`^([a-zA-Z0-9_-]+\.)+[a-zA-Z0-9_-]+\.v[0-9]+$`)

// checkType says which key of a runtime with a type is wrong, and why.
func (r Runtime) checkType() (key string, err error) {
	switch {
	case !shimType.MatchString(r.Type):
		return "type", fmt.Errorf("%q is not a type as containerd names them, such as io.containerd.kata.v2", r.Type)
	case r.Path == "" && r.program() == ownShim, filepath.Base(r.Path) == ownShim:
		return "type", errors.New("it is the engine's own shim: leave type out, and write the path of a program with the command line of runc")
	case r.Path != "" && !filepath.IsAbs(r.Path):
		return "path", fmt.Errorf("%q is not the full path of a program", r.Path)
	case r.Config != "" && !filepath.IsAbs(r.Config):
		return "config", fmt.Errorf("%q is not the full path of a file", r.Config)
	case len(r.Args) > 0:
		return "args", errors.New("a shim of containerd has no arguments of its own: it reads a file (config)")
	}
	return "", nil
}

// program is what containerd calls the program of the type: containerd-shim-kata-v2.
func (r Runtime) program() string {
	words := strings.Split(r.Type, ".")
	return "containerd-shim-" + words[len(words)-2] + "-" + words[len(words)-1]
}

// shim is the path of the program, as the settings say or as containerd finds it.
func (r Runtime) shim() (string, error) {
	if r.Path != "" {
		return r.Path, isProgram(r.Path)
	}
	path, err := exec.LookPath(r.program())
	if err != nil {
		return "", fmt.Errorf("%s is nowhere in the PATH of the engine", r.program())
	}
	return filepath.Abs(path)
}

// RuntimeOf makes a container one that a runtime of the settings runs, "" the engine's own (a
// containerd.NewContainerOpts).
func (p *Pool) RuntimeOf(name string) containerd.NewContainerOpts {
	return func(ctx context.Context, client *containerd.Client, c *containers.Container) error {
		var all Runtimes
		if p.Runtimes != nil && name != "" {
			var err error
			if all, err = p.Runtimes(); err != nil {
				return err
			}
		}
		other := all[name]
		if other.Type == "" {
			return p.Runtime(ctx, client, c)
		}
		if _, err := other.shim(); err != nil {
			return fmt.Errorf("the runtime %q can't be called: %w", name, err)
		}
		var options any
		if other.Config != "" {
			options = &runtimeoptions.Options{ConfigPath: other.Config}
		}
		return containerd.WithRuntime(cmp.Or(other.Path, other.Type), options)(ctx, client, c)
	}
}

// isForeign says that a container was made for a shim of its own.
func isForeign(ctx context.Context, ctr containerd.Container) (bool, error) {
	info, err := ctr.Info(ctx, containerd.WithoutRefreshedMetadata)
	return info.SandboxID == "", err
}

// entryOf is how a runtime that a stack file names may be added to the settings.
func entryOf(name string) string {
	if shimType.MatchString(name) {
		return fmt.Sprintf("%q: {type: %s}", name, name)
	}
	return fmt.Sprintf("%s: {path: /usr/bin/%s}", name, filepath.Base(name))
}
