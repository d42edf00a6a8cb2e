// Package runner makes containers of images and keeps them as they are
// wanted: volumes, names, addresses, published ports, logs, health, restarts.
// It runs on containerd's client and on the network package; it decides
// nothing about what should exist, which is the planner's part.
package runner

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/changes"
	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/inventory"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/op"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/rootfs"
	"github.com/orlop/orlop/runner/routines"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/runner/volume"
)

// Config is what a Runner works with.
type Config struct {
	Client    *containerd.Client
	Images    *image.Store
	Instances ports.Kept // what is kept of instances
	Networks  *network.Manager
	Ports     ports.Listeners
	Keeping   Keeping
	Store     record.Store
	Root      string // what outlives a reboot: volumes, logs
	State     string // what does not: sockets, namespaces, secrets
	ID        string // short name of this engine, unique on the machine
	Version   string // of this engine
	Bundles   string // containerd's directory of tasks in our namespace
	Address   string // containerd's gRPC socket

	TTRPCAddress string // containerd's socket for events of shims

	Shim     string                        // path of orlop-shim
	Caller   string                        // path of containerd-shim-runc-v2
	ByRunc   func() bool                   // containers are made by runc where nothing is said
	Runc     string                        // path of runc
	Helper   *exec.Helper                  // runs probes; nil: they go by their shims
	Runtimes func() (shim.Runtimes, error) // those of the settings that services may name
	Init     string                        // path of the static program that "init: true" runs first
	Rescued  map[string]*shim.Exit         // what Rescue found, by container ID
	Log      *slog.Logger
	Now      func() time.Time
	// Stored gives secrets and configs that the engine keeps itself.
	Stored func(section, name string) ([]byte, error)
}

// Keeping holds descriptors while no engine is there.
type Keeping interface {
	Keep(ctx context.Context, key string, files ...*os.File) error
	Drop(ctx context.Context, key string) error
}

// Runner is the one owner of this engine's containers and volumes.
type Runner struct {
	Config
	client  *containerd.Client
	nets    *network.Manager
	log     *slog.Logger
	cgroups string // parent of the containers' cgroups

	ctx    context.Context // ends with the engine, containers live on
	cancel context.CancelFunc
	wg     routines.Group

	hurries op.Hurries    // of those who wait for a stop
	adopted chan struct{} // closed when it is known what there is of the containers of an earlier engine

	mu         sync.Mutex
	containers map[string]*container // guarded by mu

	claims   supervisor.Claims
	feed     changes.Feed
	records  *record.Book
	volumes  *volume.Store
	ports    *ports.Table
	topology *topology.Store
	payloads *rootfs.Payloads
	secrets  *rootfs.Secrets
	shims    *shim.Pool
}

// Open adopts what an earlier engine left: containers that run go on, exits
// that were missed are dealt with, halves of things are removed.
func Open(ctx context.Context, cfg Config) (*Runner, error) {
	r := newRunner(ctx, cfg)
	for _, dir := range []string{filepath.Join(cfg.Root, "containers"), filepath.Join(cfg.State, "fifo")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	var err error
	r.volumes, err = volume.Open(volume.Config{
		Dir: filepath.Join(cfg.Root, "volumes"), Places: filepath.Join(cfg.State, "subpaths"), Documents: cfg.Store, Log: cfg.Log,
		Views: r.Images.ViewMounts,
	})
	if err != nil {
		return nil, err
	}
	r.shims, err = shim.Open(ctx, shim.Config{
		Client: cfg.Client, Dir: filepath.Join(cfg.State, "shims"), Sockets: filepath.Join(cfg.State, "s"), Bundles: cfg.Bundles,
		Address: cfg.Address, Events: cfg.TTRPCAddress, Program: cfg.Shim, Caller: cfg.Caller, ByRunc: cfg.ByRunc, Runc: cfg.Runc,
		State: filepath.Join(cfg.State, "runc"), Cgroup: r.cgroupOf, Log: cfg.Log, Runtimes: cfg.Runtimes, Wrappers: filepath.Join(cfg.Root, "runtimes"),
	})
	if err != nil {
		return nil, err
	}
	r.unmountAllStopped()
	if err := r.adopt(ctx); err != nil {
		return nil, err
	}
	r.shims.EndUnused(ctx)
	r.autoRemoveAll(ctx)
	r.wg.Go(func() { r.sweep(r.ctx) })
	r.wg.Go(func() { r.volumes.FinishRemovals(r.ctx) })
	return r, nil
}

// newRunner is a Runner that has nothing yet.
func newRunner(ctx context.Context, cfg Config) *Runner {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Runner{
		Config: cfg, client: cfg.Client, nets: cfg.Networks, log: cfg.Log,
		cgroups:    "/orlop-" + cfg.ID,
		containers: map[string]*container{},
		adopted:    make(chan struct{}), payloads: rootfs.NewPayloads(cfg.Store),
	}
	r.payloads.Stored = cfg.Stored
	r.ctx, r.cancel = context.WithCancel(ctx)
	r.records = record.NewBook(cfg.Store, r.dir, cfg.Log)
	r.secrets = rootfs.NewSecrets(filepath.Join(cfg.State, "secrets"))
	r.topology = topology.New(cfg.Networks, cfg.Store, cfg.Log)
	r.topology.Version = cfg.Version
	r.ports = ports.New(cfg.Ports, cfg.Instances)
	return r
}

// Close ends the supervision; the containers live on.
func (r *Runner) Close() {
	r.cancel()
	for _, c := range r.all() {
		c.detach()
	}
	r.Helper.Close()
	done := make(chan struct{})
	go func() { r.wg.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(closeTimeout):
		r.log.Warn("something of the containers' supervision does not end")
	}
}

// closeTimeout bounds the end of the supervision.
const closeTimeout = 5 * time.Second

// removeLeftovers removes what belongs to a container outside of containerd.
func (r *Runner) removeLeftovers(ctx context.Context, id string) {
	r.endProcesses(ctx, id)
	r.disconnect(ctx, id)
	r.secrets.Remove(id)
	r.Images.RemoveViews(ctx, id)
	if err := r.maker().RemoveShm(id); err != nil {
		r.log.Warn("cannot remove /dev/shm of a container", "container", id, "error", err)
	}
	os.RemoveAll(r.dir(id))
	os.RemoveAll(r.fifoDir(id))
	if err := r.Keeping.Drop(ctx, pipesPrefix+id); err != nil && r.ctx.Err() == nil {
		r.log.Warn("cannot let go of the pipes of a container", "container", id, "error", err)
	}
}

// endProcesses ends what is in the cgroup of a container that has no task, and
// removes the cgroup: a shim may have gone on to make a process after its engine
// was killed, of which neither containerd nor runc has a note.
func (r *Runner) endProcesses(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	cgroup := r.cgroupOf(id)
	if err := proc.KillAll(ctx, cgroup); err != nil {
		r.log.Warn("cannot end what is left of a container", "container", id, "error", err)
	}
	proc.RemoveCgroups(cgroup)
}

// disconnect removes the network namespace of a container, if it has one.
func (r *Runner) disconnect(ctx context.Context, id string) {
	if err := r.nets.RemoveSandbox(ctx, id); err != nil {
		r.log.Warn("cannot remove a network namespace", "container", id, "error", err)
	}
}

// removeUnfinished removes what there is of a container that was not finished.
// Its directory is the only trace of its layer, and stays with it.
func (r *Runner) removeUnfinished(ctx context.Context, id string) {
	if err := r.Images.RemoveLayer(ctx, id); err != nil {
		r.log.Warn("cannot remove a writable layer: it is tried again when the engine starts", "container", id, "error", err)
		r.disconnect(ctx, id)
		return
	}
	r.removeLeftovers(ctx, id)
}

// removeStrayFiles removes the directories of containers that are no more, and
// the writable layers of those that were never finished; but of those that are
// left alone, nothing.
func (r *Runner) removeStrayFiles(left map[string]bool) {
	for _, parent := range []string{filepath.Join(r.Root, "containers"), filepath.Join(r.State, "fifo"), r.maker().Shms, r.secrets.Dir()} {
		entries, err := os.ReadDir(parent)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			r.log.Warn("cannot read a directory", "path", parent, "error", err)
		}
		for _, e := range entries {
			if r.lookup(e.Name()) == nil && !left[e.Name()] {
				r.removeUnfinished(r.ctx, e.Name())
			}
		}
	}
}

// Tidy removes what belongs to no single container once none is left: the
// cgroups above theirs, sockets that shims forgot, and runc's directory.
func (r *Runner) Tidy() {
	r.mu.Lock()
	left := len(r.containers)
	r.mu.Unlock()
	if left == 0 {
		proc.RemoveCgroups(r.cgroups)
		r.shims.Tidy()
	}
}

// dir is where a container's files are, LogDir where what it prints is kept, fifoDir where its pipes are.
func (r *Runner) dir(id string) string     { return filepath.Join(r.Root, "containers", id) }
func (r *Runner) LogDir(id string) string  { return filepath.Join(r.dir(id), "log") }
func (r *Runner) fifoDir(id string) string { return filepath.Join(r.State, "fifo", id) }

// cgroupOf is the control group of a container.
func (r *Runner) cgroupOf(id string) string {
	if c := r.lookup(id); c != nil {
		if own := c.snapshot().Cgroup; own != "" {
			return own
		}
	}
	return r.cgroups + "/" + id
}

func (r *Runner) lookup(id string) *container {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.containers[id]
}

// Watch calls changed with the present state of each container of the project
// and then with each new state, until ctx ends. A removed container comes
// with removed set; synced is called once the present states were given.
func (r *Runner) Watch(ctx context.Context, project string, changed func(c planner.Container, removed bool), synced func()) {
	w := r.feed.Watch(project)
	defer w.Close()
	seen := map[string]planner.Container{}
	for _, c := range r.Containers(project) {
		seen[c.ID] = c
		changed(c, false)
	}
	synced()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.ctx.Done():
			return
		case <-w.News():
		}
		for _, id := range w.Changed() {
			if c := r.lookup(id); c != nil {
				seen[id] = c.observe()
				changed(seen[id], false)
			} else if was, ok := seen[id]; ok {
				delete(seen, id)
				changed(was, true)
			}
		}
	}
}

// all are the containers under supervision, in no order.
func (r *Runner) all() []*container {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.containers))
}

// Containers lists the containers of a project, or of all where it is "". One
// that is about to take another's place is not among them yet.
func (r *Runner) Containers(project string) []planner.Container {
	all := r.all()
	out := make([]planner.Container, 0, len(all))
	for _, c := range all {
		if (project == "" || c.project == project) && !c.isPending() {
			out = append(out, c.observe())
		}
	}
	slices.SortFunc(out, planner.CompareContainers)
	return out
}

// Projects lists the projects that have containers, by name.
func (r *Runner) Projects() []supervisor.Project { return supervisor.Projects(r.allRecords()) }

// allRecords are those of all containers.
func (r *Runner) allRecords() []supervisor.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []supervisor.Record
	for _, c := range r.containers {
		list = append(list, c.snapshot())
	}
	return list
}

// maker makes the parts of containers.
func (r *Runner) maker() *assembly.Maker {
	return &assembly.Maker{
		Images: r.Images, Networks: r.nets, Topology: r.topology, Volumes: r.volumes, Secrets: r.secrets, Payloads: r.payloads, Records: r.allRecords, Share: r.share,
		Dir: r.dir, Shms: filepath.Join(r.State, "shm"), Cgroups: r.cgroups, Init: r.Init, Version: r.Version, Log: r.log, Now: r.Now,
	}
}

// Inventory is what there is besides containers.
func (r *Runner) Inventory() *inventory.Inventory {
	return inventory.New(r.volumes, r.topology, r.nets, r.Images, r.allRecords)
}
