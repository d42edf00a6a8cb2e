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
	"time"

	runtimeoptions "github.com/containerd/containerd/api/types/runtimeoptions/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/orlop/orlop/spec"
)

// A runtime with a type is a shim of containerd other than ours. Such shims differ in
// how they are started, and many hold one container each, so that they are left to containerd: it
// starts one for each container, and ends it.

// The programs of the shims that a Pool starts itself.
const (
	ownShim     = "orlop-shim"
	callingShim = "containerd-shim-runc-v2"
)

// isOurs says that a program, by its name, is one of those.
func isOurs(name string) bool { return name == ownShim || name == callingShim }

// path is where one of those is.
func (p *Pool) path(name string) string {
	if name == callingShim {
		return p.Caller
	}
	return p.Program
}

// shimType is a type as containerd names them: the last two words are those of the program.
var shimType = regexp.MustCompile(`^([a-zA-Z0-9_-]+\.)+[a-zA-Z0-9_-]+\.v[0-9]+$`)

// checkType says which key of a runtime with a type is wrong, and why.
func (r Runtime) checkType() (key string, err error) {
	switch {
	case !shimType.MatchString(r.Type):
		return "type", fmt.Errorf("%q is not a type as containerd names them, such as io.containerd.kata.v2", r.Type)
	case r.Path == "" && r.program() == callingShim, isOurs(filepath.Base(r.Path)):
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

// IsForeign says that a container was made for a shim of its own, which it keeps whatever the settings
// say since.
func IsForeign(ctr containerd.Container) bool {
	info, err := ctr.Info(context.Background(), containerd.WithoutRefreshedMetadata) // asks nobody
	return err == nil && info.SandboxID == ""
}

// newForeign makes the process of a container in a shim of its own. One that takes too long is
// killed: whoever would remove the container waits for it.
func (p *Pool) newForeign(ctx context.Context, project string, ctr containerd.Container, streams cio.Creator) (containerd.Task, *Shim, error) {
	within := 3 * p.patience // a machine boots meanwhile, to which Kata gives a minute
	// A call that the user gives up half-way would leave a process that nobody knows.
	clean := context.WithoutCancel(ctx)
	calling, giveUp := context.WithCancelCause(clean)
	defer giveUp(nil)
	timer := time.AfterFunc(within, func() {
		pid := killForeign(ctr.ID()) // first: once the call ends, containerd knows it no more
		p.Log.Warn("a shim did not make a container's process in time and was killed", "container", ctr.ID(), "pid", pid)
		giveUp(fmt.Errorf("its runtime, a shim of containerd, did not make its process within %s and was killed: see what it says in the engine's log (orlop engine logs)", within))
	})
	defer timer.Stop()
	task, err := ctr.NewTask(calling, streams)
	switch {
	case err != nil && context.Cause(calling) != nil:
		p.DeleteLost(clean, ctr.ID())
		return nil, nil, context.Cause(calling)
	case err != nil:
		return nil, nil, err
	}
	address, _ := addressOf(filepath.Join(p.Bundles, ctr.ID()))
	return task, foreignAt(address, project, ctr.ID()), nil
}

// foreignAt is the shim of a container that containerd has started; without an address nobody
// can tell whether it hangs.
func foreignAt(address, project, id string) *Shim {
	if !strings.HasPrefix(address, "unix://") && !strings.HasPrefix(address, "/") {
		address = ""
	}
	s := &Shim{use: use{project: project}, foreign: id, address: address, started: make(chan struct{}), tasks: 1}
	close(s.started)
	return s
}

// beyond is why the engine keeps away from the process that a shim of its own tells of.
const beyond = "its runtime is a shim of containerd (a type in the engine's settings), which may run it in a virtual machine"

// Beyond is an error about what takes more than the shim of a container that IsForeign.
func Beyond(what, hint string) error { return fmt.Errorf("%s: %s: %s", what, beyond, hint) }

// NoShare is an error about a service that shares a namespace of a process with another, one of
// which IsForeign.
func NoShare(service string, share spec.Share) error {
	return Beyond(fmt.Sprintf("services.%s.%s: cannot share the %s of %s", service, share.Key, share.What(), share.Of()), shareHint(share.Key))
}

func shareHint(key string) string { return "leave " + key + " out, or write runtime: runc for both" }

// checkShares refuses what a service shares with another of a project, if one of them has a
// runtime with a type.
func (r Runtimes) checkShares(p *spec.Project, s *spec.Service, path string) (all []spec.Diagnostic) {
	for _, share := range s.Shares() {
		owner := p.Services[share.Service]
		if share.Key == "network_mode" || r[s.OtherRuntime()].Type == "" && (owner == nil || r[owner.OtherRuntime()].Type == "") {
			continue
		}
		path := path + "." + share.Key
		all = append(all, spec.Diagnostic{
			Severity: spec.Error, Path: path, Place: p.Places.Nearest(path), Hint: shareHint(share.Key),
			Message: fmt.Sprintf("it cannot share the %s of %s: the runtime of one of them is a shim of containerd, which may run it in a virtual machine", share.What(), share.Of()),
		})
	}
	return all
}

// entryOf is how a runtime that a stack file names may be added to the settings.
func entryOf(name string) string {
	if shimType.MatchString(name) {
		return fmt.Sprintf("%q: {type: %s}", name, name)
	}
	return fmt.Sprintf("%s: {path: /usr/bin/%s}", name, filepath.Base(name))
}
