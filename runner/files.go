package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/runner/rootfs"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/spec/secret"
)

// SetPayloads gives contents of a project's secrets ("secrets.NAME") and configs
// ("configs.NAME"), and where they come from.
func (r *Runner) SetPayloads(project string, contents map[string][]byte, origins map[string]rootfs.Origin) {
	r.payloads.Set(project, contents, origins, r.maker().Copies(project))
}

// Mask hides the secrets of a project in what is told of it.
func (r *Runner) Mask(project string) *secret.Mask {
	return r.payloads.Mask(project, r.maker().Copies(project))
}

// UsersOf are the projects whose containers have a secret or config that the engine keeps.
func (r *Runner) UsersOf(section, name string) ([]string, error) {
	return r.maker().Users(section, name)
}

// ForgetPayloads forgets the secrets and configs of a project whose containers
// are gone.
func (r *Runner) ForgetPayloads(project string) { r.payloads.Forget(project) }

// ReadFiles gives the regular files of a container that match one of the
// patterns; see rootfs.Read.
func (r *Runner) ReadFiles(ctx context.Context, id string, patterns []string, each func(name string, content io.Reader) error) error {
	rec := r.recordOf(id)
	layers, doc, err := r.Layer(ctx, id)
	if err != nil {
		return err
	}
	var more []rootfs.Inside
	for _, s := range r.volumes.Subpaths(rec.Applied) {
		more = append(more, rootfs.Inside{Target: s.Target, Dir: s.Volume, Path: s.Path})
	}
	return rootfs.Read(ctx, rec.Name, layers, doc, more, patterns, each)
}

// Layer gives the mounts of a container's layers, and its document.
func (r *Runner) Layer(ctx context.Context, id string) ([]mount.Mount, *specs.Spec, error) {
	c := r.lookup(id)
	if c == nil {
		return nil, nil, fmt.Errorf("no container with ID %s", id)
	}
	doc, err := c.ctr.Spec(ctx)
	if err != nil {
		return nil, nil, err
	}
	layers, err := r.Images.Layer(ctx, id)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot read the files of %s: %w", c.name, err)
	}
	return layers, doc, nil
}

// OpenRoot opens the root of a container: of one that doesn't run it is to be released
// soon once wanted tells that others wait. It is an error that is rootfs.ErrGone once it is removed.
func (r *Runner) OpenRoot(ctx context.Context, id string, wanted chan struct{}) (root *rootfs.Root, release func(), err error) {
	if c := r.lookup(id); c != nil {
		root, release, err = c.openRoot(ctx, wanted)
	}
	if err == nil && root == nil {
		err = fmt.Errorf("no container with ID %s: %w", id, rootfs.ErrGone)
	}
	return root, release, err
}

func (c *container) openRoot(ctx context.Context, wanted chan struct{}) (*rootfs.Root, func(), error) {
	root, err := c.liveRoot(ctx)
	if errors.Is(err, ErrNotRunning) {
		return c.stoppedRoot(ctx, wanted)
	}
	return root, nil, err
}

// liveRoot is the root of a container that runs.
func (c *container) liveRoot(ctx context.Context) (*rootfs.Root, error) {
	c.mu.Lock()
	process, task := c.pidfd, c.task
	c.mu.Unlock()
	if c.foreign && c.isRunning() {
		return nil, shim.Beyond("cannot reach the files of "+c.name, "stop it, or have develop.watch rebuild or restart it in place of sync")
	}
	if process == nil || task == nil || !c.isRunning() {
		return nil, fmt.Errorf("%s %w", c.name, ErrNotRunning)
	}
	doc, err := c.ctr.Spec(ctx)
	if err != nil {
		return nil, err
	}
	root, err := rootfs.Open(c.name, "/proc/"+strconv.Itoa(process.Pid)+"/root", doc)
	if process.Signal(syscall.Signal(0)) != nil { // the number may be another's by now
		if err == nil {
			root.Close()
		}
		return nil, fmt.Errorf("%s %w", c.name, ErrNotRunning)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open the files of %s: %w", c.name, err)
	}
	return root, nil
}

func (r *Runner) stoppedRootDir(id string) string { return filepath.Join(r.State, "roots", id) }

// stoppedRoot mounts the root of a container that doesn't run, until release is
// called, which is to be soon once wanted tells that others wait: meanwhile it is
// not started. It has none once it is removed; it is that of its process if it
// has been started meanwhile.
func (c *container) stoppedRoot(ctx context.Context, wanted chan struct{}) (_ *rootfs.Root, release func(), err error) {
	if err := c.op.LockUntilWanted(ctx, wanted); err != nil {
		return nil, nil, err
	}
	defer func() {
		if release == nil {
			c.op.Unlock()
		}
	}()
	if root, err := c.liveRoot(ctx); !errors.Is(err, ErrNotRunning) {
		return root, nil, err
	}
	c.mu.Lock()
	removing, end := c.state.Removing, c.ending
	c.mu.Unlock()
	if removing {
		return nil, nil, nil
	}
	if end != nil { // its process has ended, and may hold its layers still
		if err := c.awaitReaped(ctx, end); err != nil {
			return nil, nil, err
		}
	}
	root, err := c.mountStopped(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("cannot open the files of %s: %w", c.name, err)
	}
	return root, func() {
		c.r.unmountStopped(c.id)
		c.op.Unlock()
	}, nil
}

// mountStopped mounts a container's layers and what is mounted in them.
func (c *container) mountStopped(ctx context.Context) (*rootfs.Root, error) {
	layers, err := c.r.Images.Layer(ctx, c.id)
	if err != nil {
		return nil, err
	}
	doc, err := c.ctr.Spec(ctx)
	if err != nil {
		return nil, err
	}
	rec := c.snapshot()
	release, err := c.r.volumes.Ready(ctx, c.id, rec.Service, rec.Applied)
	if err != nil {
		return nil, err
	}
	defer release()
	return rootfs.OpenStopped(c.name, layers, doc, c.r.stoppedRootDir(c.id))
}

// unmountStopped takes away what mountStopped has mounted.
func (r *Runner) unmountStopped(id string) {
	if err := rootfs.Unmount(r.stoppedRootDir(id)); err != nil {
		r.log.Warn("the files of a container that does not run stay mounted", "container", id, "error", err)
	}
}

// unmountAllStopped takes away what an engine before this one has left.
func (r *Runner) unmountAllStopped() {
	entries, _ := os.ReadDir(r.stoppedRootDir(""))
	for _, e := range entries {
		r.unmountStopped(e.Name())
	}
}
