// Package native makes containers with libcontainer in the process that calls it, as
// runc does in one of its own for each call: by the same notes, so that runc knows
// them, and with its errors. Only the process that becomes a container's is another one: the
// calling program itself, which is to go on with libcontainer.Init.
package native

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/go-runc"
	"github.com/moby/sys/userns"
	_ "github.com/opencontainers/cgroups/devices" // has cgroups know the rules of devices
	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/configs"
	"github.com/opencontainers/runc/libcontainer/specconv"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/sirupsen/logrus"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/shim/native/join"
	"github.com/orlop/orlop/runner/shim/native/root"
)

// Library is what go-runc calls in the place of a runc. Its calls are not given up half-way; one
// that panics has failed, as a runc process that did would have ended alone.
type Library struct {
	known join.Known
}

var _ runc.Library = (*Library)(nil)

// Create makes a container with its first process, which waits for Start.
func (l *Library) Create(_ context.Context, r *runc.Runc, id, bundle string, opts *runc.CreateOpts) (err error) {
	defer held(&err)
	// containerd reads why a call has failed from runc's log. There is none: the error says it.
	r.Log = ""
	if err = l.create(r, id, bundle, opts); err != nil {
		return fmt.Errorf("runc create failed: %w", err)
	}
	return nil
}

// held makes a panic an error.
func held(err *error) {
	if p := recover(); p != nil {
		logrus.Errorf("libcontainer has panicked: %v\n%s", p, debug.Stack())
		*err = fmt.Errorf("internal error of libcontainer: %v", p)
	}
}

func (l *Library) create(r *runc.Runc, id, bundle string, opts *runc.CreateOpts) (err error) {
	spec, err := readSpec(bundle)
	if err != nil {
		return err
	}
	if !mountsItsRoot(spec) {
		if err := root.Here(bundle); err != nil {
			return err
		}
	}
	process, err := join.ProcessOf(spec.Process)
	if err != nil {
		return err
	}
	config, err := specconv.CreateLibcontainerConfig(&specconv.CreateOpts{
		CgroupName: id, UseSystemdCgroup: r.SystemdCgroup, NoPivotRoot: opts.NoPivot, NoNewKeyring: opts.NoNewKeyring, Spec: spec,
		RootlessEUID: os.Geteuid() != 0, RootlessCgroups: isRootless(r),
	})
	if err != nil {
		return err
	}
	config.Labels = slices.DeleteFunc(config.Labels, func(label string) bool { // by the directory of this process
		return len(label) > len(bundleLabel) && label[:len(bundleLabel)] == bundleLabel
	})
	config.Labels = append(config.Labels, bundleLabel+bundle)
	container, err := libcontainer.Create(r.Root, id, config)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			if left := container.Destroy(); left != nil {
				logrus.WithField("container", id).WithError(left).Warn("cannot remove what is left of a container that was not made")
			}
		}
	}()
	process.Init = true
	err = begin(process, opts.IO, opts.ConsoleSocket, spec.Process.Terminal, func() error { return container.Start(process) })
	if err == nil {
		err = notePid(opts.PidFile, process)
	}
	if err != nil {
		return cmp.Or(root.Failure(bundle), err)
	}
	l.known.Made(container, r.Root, id)
	return nil
}

// mountsItsRoot says that the first process of a container can mount its root file system, and that none but
// the container's processes are to see it: hooks that are run on the machine would find nothing there. It can't where the container's
// mounts are passed on to the machine.
func mountsItsRoot(spec *specs.Spec) bool {
	if spec.Linux == nil {
		return false
	}
	switch spec.Linux.RootfsPropagation {
	case "", "slave", "rslave", "private", "rprivate":
	default:
		return false
	}
	//lint:ignore SA1019 old hooks are run all the same
	if h := spec.Hooks; h != nil && len(h.Prestart)+len(h.CreateRuntime)+len(h.Poststart)+len(h.Poststop) > 0 {
		return false
	}
	hasMounts := false
	for _, n := range spec.Linux.Namespaces {
		switch n.Type {
		case specs.UserNamespace:
			return false
		case specs.MountNamespace:
			hasMounts = n.Path == ""
		}
	}
	return hasMounts
}

const bundleLabel = "bundle="

// readSpec reads what a bundle is to be made: with full paths, as the bundle is not the directory of
// this process.
func readSpec(bundle string) (*specs.Spec, error) {
	text, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	var spec *specs.Spec
	if err := json.Unmarshal(text, &spec); err != nil {
		return nil, err
	}
	if spec == nil || spec.Root == nil {
		return nil, errors.New("root must be specified")
	}
	if !filepath.IsAbs(spec.Root.Path) {
		spec.Root.Path = filepath.Join(bundle, spec.Root.Path)
	}
	for i := range spec.Mounts {
		m := &spec.Mounts[i]
		isBind := slices.Contains(m.Options, "bind") || slices.Contains(m.Options, "rbind")
		if isBind && !filepath.IsAbs(m.Source) {
			m.Source = filepath.Join(bundle, m.Source)
		}
	}
	return spec, nil
}

// isRootless says that cgroups may not be ours to use.
func isRootless(r *runc.Runc) bool {
	if r.Rootless != nil {
		return *r.Rootless
	}
	return os.Geteuid() != 0 || userns.RunningInUserNS()
}

// begin starts a process with its files, by start.
func begin(p *libcontainer.Process, files runc.IO, console runc.ConsoleSocket, terminal bool, start func() error) error {
	p.LogLevel = strconv.Itoa(int(logrus.GetLevel()))
	switch {
	case terminal && console == nil:
		return errors.New("cannot allocate tty if runc will detach without setting console socket")
	case terminal:
		conn, err := net.Dial("unix", console.Path())
		if err != nil {
			return err
		}
		defer conn.Close()
		socket, err := conn.(*net.UnixConn).File()
		if err != nil {
			return err
		}
		defer socket.Close()
		p.ConsoleSocket = socket
	case files != nil:
		var cmd exec.Cmd
		files.Set(&cmd)
		p.Stdin, p.Stdout, p.Stderr = cmd.Stdin, cmd.Stdout, cmd.Stderr
	}
	err := start()
	if closer, ok := files.(runc.StartCloser); ok {
		err = errors.Join(err, closer.CloseAfterStart())
	}
	return err
}

// notePid writes the number of a process to a file; one that can't be noted is ended.
func notePid(path string, p *libcontainer.Process) error {
	if path == "" {
		return nil
	}
	pid, err := p.Pid()
	if err == nil {
		err = os.WriteFile(path, []byte(strconv.Itoa(pid)), 0o644)
	}
	if err != nil {
		_ = p.Signal(unix.SIGKILL)
		_, _ = p.Wait()
	}
	return err
}

// Start has the first process go on with the container's program.
func (l *Library) Start(_ context.Context, r *runc.Runc, id string) (err error) {
	defer held(&err)
	c, give, err := l.known.Take(r.Root, id)
	if err != nil {
		return err
	}
	defer give()
	switch status, err := c.Status(); {
	case err != nil:
		return err
	case status == libcontainer.Created:
		return c.Exec()
	case status == libcontainer.Stopped:
		return errors.New("cannot start a container that has stopped")
	case status == libcontainer.Running:
		return errors.New("cannot start an already running container")
	default:
		return fmt.Errorf("cannot start a container in the %s state", status)
	}
}

// Exec begins a process in a container.
func (l *Library) Exec(_ context.Context, r *runc.Runc, id string, spec specs.Process, opts *runc.ExecOpts) (err error) {
	defer held(&err)
	c, give, err := l.known.Take(r.Root, id)
	if err != nil {
		return err
	}
	defer give()
	if err := l.exec(c.Container, &spec, opts); err != nil {
		return fmt.Errorf("exec failed: %w", err)
	}
	return nil
}

func (l *Library) exec(c *libcontainer.Container, spec *specs.Process, opts *runc.ExecOpts) error {
	if err := join.Possible(c); err != nil {
		return err
	}
	process, err := join.ProcessOf(spec)
	if err != nil {
		return err
	}
	err = begin(process, opts.IO, opts.ConsoleSocket, spec.Terminal, func() error { return c.Run(process) })
	if err != nil {
		return err
	}
	return notePid(opts.PidFile, process)
}

// Kill sends a signal to a container's first process; SIGKILL to all, where they have not a
// process namespace of their own.
func (l *Library) Kill(_ context.Context, r *runc.Runc, id string, sig int, opts *runc.KillOpts) (err error) {
	defer held(&err)
	c, give, err := l.known.Take(r.Root, id)
	if err != nil {
		return err
	}
	defer give()
	err = c.Signal(unix.Signal(sig))
	if errors.Is(err, libcontainer.ErrNotRunning) && opts != nil && opts.All {
		return nil
	}
	return err
}

// endTime is how long Delete waits for a process that it has killed.
const endTime = 10 * time.Second

// Delete removes what is left of a container that has ended, or was never begun; by force,
// of any.
func (l *Library) Delete(_ context.Context, r *runc.Runc, id string, opts *runc.DeleteOpts) (err error) {
	defer held(&err)
	force := opts != nil && opts.Force
	c, _, err := l.known.Take(r.Root, id)
	if errors.Is(err, libcontainer.ErrNotExist) {
		left := os.RemoveAll(filepath.Join(r.Root, id)) // of one whose making was broken off
		if force {
			return left
		}
	}
	if err != nil {
		return err
	}
	defer l.known.Forget(r.Root, id)
	if !force {
		switch status, err := c.Status(); {
		case err != nil:
			return err
		case status == libcontainer.Stopped:
			return c.Destroy()
		case status != libcontainer.Created:
			return fmt.Errorf("cannot delete container %s that is not stopped: %s", id, status)
		}
	}
	_ = c.Signal(unix.SIGKILL)
	for end := time.Now().Add(endTime); c.Signal(unix.Signal(0)) == nil; {
		if time.Now().After(end) {
			return errors.New("container init still running")
		}
		time.Sleep(5 * time.Millisecond)
	}
	return c.Destroy()
}

// Pause freezes a container.
func (l *Library) Pause(_ context.Context, r *runc.Runc, id string) error {
	return l.with(r, id, (*libcontainer.Container).Pause)
}

// Resume has a frozen container go on.
func (l *Library) Resume(_ context.Context, r *runc.Runc, id string) error {
	return l.with(r, id, (*libcontainer.Container).Resume)
}

func (l *Library) with(r *runc.Runc, id string, do func(*libcontainer.Container) error) (err error) {
	defer held(&err)
	c, give, err := l.known.Take(r.Root, id)
	if err != nil {
		return err
	}
	defer give()
	return do(c.Container)
}

// HasOwnPIDs says that a container has a process namespace of its own, with whose first process all others end.
func (l *Library) HasOwnPIDs(r *runc.Runc, id string) (own bool, err error) {
	err = l.with(r, id, func(c *libcontainer.Container) error {
		own = c.Config().Namespaces.IsPrivate(configs.NEWPID)
		return nil
	})
	return own, err
}

// Ps are the processes of a container.
func (l *Library) Ps(_ context.Context, r *runc.Runc, id string) (pids []int, err error) {
	err = l.with(r, id, func(c *libcontainer.Container) error {
		pids, err = c.Processes()
		return err
	})
	return pids, err
}
