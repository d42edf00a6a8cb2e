package runner

import (
	"context"
	"fmt"
	"os"
	"slices"
	"syscall"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/network/netns"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/userns"
	"github.com/orlop/orlop/spec"
)

// A container may share namespaces of another (see spec.Share). It has those of its
// owner at the moment when it is started: a process can't change them, so
// whoever shares is restarted when its owner is made anew.

// share notes whose network namespace a container uses.
func (r *Runner) share(rec *supervisor.Record) error {
	share, ok := rec.Applied.Service.Share("network_mode")
	if !ok {
		return nil
	}
	of, err := r.ownerOf(rec, share)
	if err != nil {
		return err
	}
	owner := of.snapshot()
	if err := userns.Same(rec.Service, share, rec.Applied.Service, owner.Applied.Service); err != nil {
		return err
	}
	rec.Netns, rec.Addresses = owner.Netns, slices.Clone(owner.Addresses)
	r.topology.Join(rec.Netns, rec.Applied.Service)
	return nil
}

// isSharer says whether a container has no network of its own.
func isSharer(rec *supervisor.Record) bool {
	_, ok := rec.Applied.Service.Share("network_mode")
	return ok
}

// ownerOf is the container whose namespace another is to share.
func (r *Runner) ownerOf(rec *supervisor.Record, share spec.Share) (*container, error) {
	for _, c := range r.Containers("") {
		of := r.lookup(c.ID)
		if of == nil || c.ID == rec.ID {
			continue
		}
		switch {
		case share.Service != "" && c.Service == share.Service && !c.OneOff && of.project == rec.Project,
			share.Container != "" && (c.Name == share.Container || c.ID == share.Container):
			return of, nil
		}
	}
	return nil, fmt.Errorf("services.%s.%s: no container of %s is there to share the %s of: run \"orlop up\"", rec.Service, share.Key, share.Of(), share.What())
}

// sharesAny says that a container shares a namespace of another: few do, and each step asks it of all.
func (c *container) sharesAny() bool {
	c.mu.Lock()
	made := c.made
	c.mu.Unlock()
	return len(made.Applied.Service.Shares()) > 0
}

// isAdrift says whether a container shares a namespace that is not its owner's any more.
func (r *Runner) isAdrift(rec *supervisor.Record) bool {
	for _, share := range rec.Applied.Service.Shares() {
		if of, err := r.ownerOf(rec, share); err == nil && r.isApart(rec, of, share) {
			return true
		}
	}
	return false
}

// isApart says that a container has not the namespace that its owner has now.
func (r *Runner) isApart(rec *supervisor.Record, of *container, share spec.Share) bool {
	if share.Key == "network_mode" {
		return of.snapshot().Netns != rec.Netns
	}
	c := r.lookup(rec.ID)
	if c == nil {
		return false
	}
	mine, theirs := c.namespace(share.Key), of.namespace(share.Key)
	return mine != "" && theirs != "" && mine != theirs
}

// namespace is the name that the kernel gives to a namespace of the container's
// process; "" where none runs.
func (c *container) namespace(kind string) string {
	path, alive := c.namespacePath(kind)
	name, err := os.Readlink(path)
	if err != nil || !alive() {
		return ""
	}
	return name
}

// namespacePath is where a namespace of the container's process is found; alive says,
// after it was used, that it was of that process and not of a later one with its number.
func (c *container) namespacePath(kind string) (path string, alive func() bool) {
	c.mu.Lock()
	process := c.pidfd
	c.mu.Unlock()
	if process == nil {
		return "", func() bool { return false }
	}
	return fmt.Sprintf("/proc/%d/ns/%s", process.Pid, kind), func() bool { return process.Signal(syscall.Signal(0)) == nil }
}

// joinProcesses puts the namespaces of processes that a container shares into its
// document, for a start: alive says, once that is done, that they were their owners'.
func (c *container) joinProcesses(doc *specs.Spec) (changed bool, alive func() bool, err error) {
	rec := c.snapshot()
	var checks []func() bool
	for _, share := range rec.Applied.Service.Shares() {
		if share.Key == "network_mode" {
			continue
		}
		of, err := c.r.ownerOf(&rec, share)
		if err != nil {
			return false, nil, err
		}
		if c.foreign || of.foreign {
			return false, nil, shim.NoShare(rec.Service, share)
		}
		path, alive := of.namespacePath(share.Key)
		if path == "" {
			return false, nil, fmt.Errorf("services.%s.%s: %s does not run: start it first", rec.Service, share.Key, of.name)
		}
		if err := c.joinShm(doc, of, share.Key); err != nil {
			return false, nil, err
		}
		oci.Join(doc, share.Key, path)
		changed, checks = true, append(checks, alive)
	}
	return changed, func() bool { return !slices.ContainsFunc(checks, func(alive func() bool) bool { return !alive() }) }, nil
}

// joinShm gives a container the /dev/shm of the one whose IPC namespace it shares.
func (c *container) joinShm(doc *specs.Spec, of *container, key string) error {
	if key != "ipc" {
		return nil
	}
	source := c.r.shmOf(of, maxShares)
	if source == "" {
		return fmt.Errorf("services.%s.ipc: %s keeps its IPC namespace to itself: write ipc: %s there, or restart it if an earlier engine made it", c.snapshot().Service, of.name, spec.ShareableIPC)
	}
	oci.ShareShm(doc, source)
	return nil
}

// restoreShm makes the /dev/shm of a container anew that others may share; one that an
// earlier engine made has it from now on.
func (c *container) restoreShm(ctx context.Context, rec supervisor.Record) error {
	was := rec.Shm
	if err := c.r.maker().MakeShm(&rec); err != nil || rec.Shm == was {
		return err
	}
	return c.amend(ctx, rec.Metadata, func(doc *specs.Spec) { oci.ShareShm(doc, rec.Shm) })
}

// maxShares is how long a row of containers may be that share what the first has.
const maxShares = 16

// shmOf is the directory on the host that is a container's /dev/shm; "" where that is its
// own alone.
func (r *Runner) shmOf(c *container, depth int) string {
	rec := c.snapshot()
	if rec.Applied.Service.IPC == spec.HostNamespace {
		return "/dev/shm"
	}
	for _, share := range rec.Applied.Service.Shares() {
		if of, err := r.ownerOf(&rec, share); err == nil && share.Key == "ipc" && depth > 0 {
			return r.shmOf(of, depth-1)
		}
	}
	return rec.Shm
}

// rejoinNetwork gives a sharer that is about to start the namespace that its owner
// has now.
func (c *container) rejoinNetwork(ctx context.Context) error {
	rec := c.snapshot()
	fresh := rec
	if err := c.r.share(&fresh); err != nil {
		return fmt.Errorf("cannot start %s: %w", c.name, err)
	}
	if fresh.Netns == rec.Netns {
		return nil
	}
	err := c.amend(ctx, fresh.Metadata, func(doc *specs.Spec) {
		oci.JoinNetwork(doc, fresh.Netns, netns.UsersPath(fresh.Netns))
	})
	if err != nil {
		return fmt.Errorf("cannot start %s: %w", c.name, err)
	}
	c.apply(supervisor.Connected{Addresses: fresh.Addresses})
	return nil
}

// stepFunc carries out a step that makes a container, alone or in the place of another.
type stepFunc func(ctx context.Context, o *Order, s *planner.Step, note func(planner.Event)) (planner.Result, error)

// withSharers makes a container, and has those follow who share its namespaces: it may
// have been there before, and gone.
func (r *Runner) withSharers(ctx context.Context, o *Order, s *planner.Step, note func(planner.Event), execute stepFunc) (planner.Result, error) {
	result, err := execute(ctx, o, s, note)
	if err == nil && !s.NoStart {
		r.leadSharers(context.WithoutCancel(ctx), o, s.Service, note)
	}
	return result, err
}

// leadSharers restarts who shares a namespace of a service that was made anew
// and has no step of its own in the plan: a one-off, a container of
// another project. A one-off that somebody is attached to is left to whoever
// that is: its end would be taken for the command's.
func (r *Runner) leadSharers(ctx context.Context, o *Order, service string, note func(planner.Event)) {
	for _, c := range r.all() {
		if !c.sharesAny() || !r.isLeftBehind(c, o.Project, service) || o.concerns(c.id) {
			continue
		}
		if err := r.restartLeftBehind(ctx, c, o.Project, service); err != nil {
			r.log.Warn("cannot restart a container whose shared namespace was made anew", "container", c.name, "error", err)
			text := fmt.Sprintf("%s shares a namespace of %s, which was made anew, and cannot be restarted: %v", c.name, service, err)
			note(planner.Event{Kind: planner.Warned, Text: text})
		}
	}
}

// isLeftBehind says whether a container that runs shares a namespace that a service of
// a project had before.
func (r *Runner) isLeftBehind(c *container, project, service string) bool {
	rec := c.snapshot()
	if rec.OneOff && c.tap.IsAttached() || rec.State != planner.Running || !r.isAdrift(&rec) {
		return false
	}
	return slices.ContainsFunc(rec.Applied.Service.Shares(), func(share spec.Share) bool {
		of, err := r.ownerOf(&rec, share)
		return err == nil && of.project == project && of.snapshot().Service == service && r.isApart(&rec, of, share)
	})
}

// restartLeftBehind restarts a container that was left behind, unless another replica's
// step has by now.
func (r *Runner) restartLeftBehind(ctx context.Context, c *container, project, service string) error {
	if err := c.op.Lock(ctx); err != nil {
		return err
	}
	defer c.op.Unlock()
	if !r.isLeftBehind(c, project, service) {
		return nil
	}
	if err := c.stop(ctx, Grace{}, false); err != nil {
		return err
	}
	return c.begin(ctx, ctx, func(planner.Event) {})
}

// concerns says whether the plan has a step for a container.
func (o *Order) concerns(id string) bool {
	return o.Plan != nil && slices.ContainsFunc(o.Plan.Steps, func(s *planner.Step) bool { return s.Container == id && s.Action != planner.Update })
}
