package runner

import (
	"context"
	"errors"
	"strings"
	"sync"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
)

// The containers of a project share one shim: it saves some ten megabytes and
// the start of a process each. The shim is started by whoever needs it first,
// and ends with its last container; several that start it at the same time
// would stumble over its socket, and one that finds it about to end would
// lose its connection.

// renew points a container at the programs of this engine: those of an
// earlier version may be gone since it last ran.
func (r *Runner) renew(ctx context.Context, ctr containerd.Container) error {
	info, err := ctr.Info(ctx, containerd.WithoutRefreshedMetadata)
	if err != nil || info.Runtime.Name == r.Shim {
		return err
	}
	doc, err := ctr.Spec(ctx)
	if err != nil {
		return err
	}
	for i := range doc.Mounts {
		if doc.Mounts[i].Destination == "/dev/init" {
			doc.Mounts[i].Source = r.Init
		}
	}
	return ctr.Update(ctx, containerd.UpdateContainerOpts(r.runtime()), containerd.UpdateContainerOpts(containerd.WithSpec(doc)))
}

// shimGate lets one at a time begin a task while a project has no shim yet.
type shimGate struct {
	mu       sync.Mutex
	projects map[string]*shimUse // guarded by mu
}

// shimUse is the shim of one project.
type shimUse struct {
	starting sync.RWMutex // held for writing by whoever may have to start it
	up       bool         // guarded by starting
}

func (g *shimGate) of(project string) *shimUse {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.projects == nil {
		g.projects = map[string]*shimUse{}
	}
	u := g.projects[project]
	if u == nil {
		u = &shimUse{}
		g.projects[project] = u
	}
	return u
}

// newTask makes the process of a container in its project's shim.
func (g *shimGate) newTask(ctx context.Context, c *container, ctr containerd.Container) (containerd.Task, error) {
	u := g.of(c.project)
	u.starting.RLock()
	if u.up && c.r.hasTasks(c.project) {
		task, err := ctr.NewTask(ctx, c.openStreams)
		u.starting.RUnlock()
		if err == nil || !isShimGone(err) {
			return task, err
		}
	} else {
		u.starting.RUnlock()
	}
	u.starting.Lock()
	defer u.starting.Unlock()
	task, err := ctr.NewTask(ctx, c.openStreams)
	if err != nil && isShimGone(err) {
		// The shim that was found was about to end; now it has ended.
		task, err = ctr.NewTask(ctx, c.openStreams)
	}
	u.up = err == nil
	return task, err
}

// hasTasks says whether the project has a process that keeps its shim.
func (r *Runner) hasTasks(project string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.project == project {
			c.mu.Lock()
			has := c.task != nil
			c.mu.Unlock()
			if has {
				return true
			}
		}
	}
	return false
}

// isShimGone says that a call failed because its shim ended meanwhile, or
// because another one took its socket.
func isShimGone(err error) bool {
	text := err.Error()
	return errors.Is(err, syscall.ECONNREFUSED) || errdefs.IsUnavailable(err) ||
		strings.Contains(text, "ttrpc: closed") || strings.Contains(text, "connection refused") ||
		strings.Contains(text, "try create new shim socket") || strings.Contains(text, "connection reset")
}
