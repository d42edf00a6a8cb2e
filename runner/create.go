package runner

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/runner/volume"
)

// Request says which container to make.
type Request struct {
	Project    string
	Service    string
	Number     int
	Name       string // "" is PROJECT-SERVICE-NUMBER, or container_name
	OneOff     bool
	AutoRemove bool
	Image      string // reference
	Applied    *planner.Applied
	WorkingDir string
	Files      []string
	From       string // ID of the container that it replaces: its anonymous volumes are taken over

	warn func(oci.Warning) // told what it gets otherwise than asked for; may be nil
}

// create makes a container with all that belongs to it; its process is not
// there yet. The caller holds op of what it gets. On failure nothing of it is
// left.
func (r *Runner) create(ctx context.Context, req Request) (_ *container, err error) {
	img, err := r.Images.Get(ctx, req.Image)
	if err != nil {
		return nil, err
	}
	rec := r.recordFor(req, img)
	release, err := r.claimName(rec)
	if err != nil {
		return nil, err
	}
	defer release()
	defer func() {
		if err == nil {
			r.volumes.Release(rec.ID)
			return
		}
		r.removeUnfinished(context.WithoutCancel(ctx), rec.ID)
		r.records.Delete(rec.ID)
		r.volumes.Abandon(rec.ID)
	}()
	doc, err := r.assemble(ctx, rec, img, req.warn)
	if err != nil {
		return nil, err
	}
	// It comes first: a container without a status counts as one that has run. What
	// can't be written is for the end of the command to say.
	r.records.Save(rec.ID, rec.Status)
	_ = r.records.Flush()
	failpoint.Hit("runner/container-recorded")
	ctr, err := r.client.NewContainer(ctx, rec.ID,
		containerd.WithSnapshotter(image.Snapshotter), containerd.WithSnapshot(rec.ID),
		containerd.WithImageName(req.Image), r.shims.Runtime, containerd.WithSpec(doc),
		record.With(&rec.Metadata))
	if err != nil {
		return nil, fmt.Errorf("cannot make container %s: %w", rec.Name, err)
	}
	failpoint.Hit("runner/container-made")
	c := r.newContainer(rec, ctr, true)
	c.setPending(r.lookup(req.From) != nil)
	r.feed.Tell(rec.Project, rec.ID)
	return c, nil
}

// assemble makes what a container consists of: its directory, its writable
// layer, its network namespace, and the document that tells of them.
func (r *Runner) assemble(ctx context.Context, rec *supervisor.Record, img *image.Image, warn func(oci.Warning)) (*specs.Spec, error) {
	// It comes first, so that an engine which is killed half-way leaves a trace.
	if err := os.MkdirAll(r.dir(rec.ID), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of %s: %w", rec.Name, err)
	}
	rootfs, err := img.Prepare(ctx, rec.ID, r.Now())
	if err != nil {
		return nil, err
	}
	names, err := r.connect(ctx, rec)
	if err != nil {
		return nil, err
	}
	return r.documentFor(ctx, rec, img, rootfs, names, warn)
}

// recordFor fills in what the request and the image say.
func (r *Runner) recordFor(req Request, img *image.Image) *supervisor.Record {
	s := req.Applied.Service
	applied := *req.Applied
	applied.Image = img.Digest.String()
	rec := &supervisor.Record{Metadata: supervisor.Metadata{
		ID: supervisor.NewID(), Name: req.Name, Project: req.Project, Service: req.Service, Number: req.Number, OneOff: req.OneOff,
		AutoRemove: req.AutoRemove, Applied: &applied, Image: req.Image, Terminal: s.Tty, Stdin: s.StdinOpen,
		WorkingDir: req.WorkingDir, Files: req.Files, CreatedAt: r.Now(),
		Probe: health.CheckOf(s.HealthCheck, img.Config.Healthcheck), StopSignal: s.StopSignal, Version: r.Version,
		Exposed: slices.Sorted(maps.Keys(img.Config.ExposedPorts)),
	}, Status: supervisor.Status{State: planner.Created}}
	if rec.StopSignal == "" {
		rec.StopSignal = img.Config.StopSignal
	}
	if rec.Name == "" {
		rec.Name = s.ContainerName
	}
	if rec.Name == "" {
		rec.Name = req.Project + "-" + req.Service + "-" + strconv.Itoa(req.Number)
	}
	rec.Hostname = s.Hostname
	if rec.Hostname == "" {
		rec.Hostname = rec.ID[:12]
	}
	if from := r.lookup(req.From); from != nil {
		rec.Anonymous = maps.Clone(from.snapshot().Anonymous)
	}
	return rec
}

// connect makes the container's network namespace with an address in each
// of its networks, and gives the names for /etc/hosts.
func (r *Runner) connect(ctx context.Context, rec *supervisor.Record) (map[netip.Addr][]string, error) {
	s := rec.Applied.Service
	switch mode, _, _ := strings.Cut(s.NetworkMode, ":"); mode {
	case "host":
		return nil, nil
	case "service", "container":
		return nil, r.share(rec)
	}
	member := memberOf(rec)
	sandbox, err := member.Sandbox()
	if err != nil {
		return nil, err
	}
	for _, e := range sandbox.Endpoints {
		if err := r.topology.Remake(ctx, e.Network); err != nil {
			return nil, err
		}
	}
	state, err := r.nets.CreateSandbox(ctx, rec.ID, sandbox)
	if err != nil {
		return nil, err
	}
	rec.Netns = state.NetnsPath
	var names map[netip.Addr][]string
	rec.Addresses, names = member.Addresses(state)
	return names, nil
}

// memberOf is a container as far as its networks go.
func memberOf(rec *supervisor.Record) *topology.Member {
	return &topology.Member{Name: rec.Name, Service: rec.Service, Hostname: rec.Hostname, OneOff: rec.OneOff, Applied: rec.Applied}
}

// documentFor resolves user, mounts, environment and command into the OCI
// document of a container.
func (r *Runner) documentFor(ctx context.Context, rec *supervisor.Record, img *image.Image, rootfs []mount.Mount, names map[netip.Addr][]string, warn func(oci.Warning)) (*specs.Spec, error) {
	s := rec.Applied.Service
	if err := oci.Check(rec.Service, s); err != nil {
		return nil, err
	}
	id, key, err := img.Runs(ctx, rootfs, s.User, s.GroupAdd)
	if err != nil && key != "" {
		err = &oci.KeyError{Service: rec.Service, Key: key, Text: err.Error(), Err: err}
	}
	if err != nil {
		return nil, err
	}
	mounts, err := r.etcMounts(rec, names)
	if err != nil {
		return nil, err
	}
	mounted, err := r.volumes.Mounts(ctx, &volume.Request{
		Container: rec.ID, Project: rec.Project, Service: rec.Service, Applied: rec.Applied,
		ImageVolumes: slices.Sorted(maps.Keys(img.Config.Volumes)), Anonymous: rec.Anonymous, Rootfs: rootfs,
	})
	rec.Anonymous, rec.LeftOut = mounted.Anonymous, mounted.LeftOut
	if err != nil {
		return nil, err
	}
	files, err := r.fileMounts(rec)
	if err != nil {
		return nil, err
	}
	rec.Command = oci.Command(s, &img.Config)
	if len(rec.Command) == 0 {
		return nil, fmt.Errorf("services.%s: neither the service nor image %s says what to run: set command", rec.Service, rec.Image)
	}
	doc, warnings, err := oci.Document(oci.Input{
		Service: s, Image: &img.Config, Args: rec.Command, User: id.Spec(), Home: id.Home, Hostname: rec.Hostname, Netns: rec.Netns,
		Mounts: slices.Concat(mounts, mounted.List, files), CgroupPath: r.cgroups + "/" + rec.ID, Terminal: rec.Terminal, Init: r.Init,
	})
	for _, w := range warnings {
		r.log.Warn(w.Text, "container", rec.Name, "key", w.Key)
		if warn != nil {
			warn(w)
		}
	}
	return doc, err
}

// removeAnonymous removes the volumes that nobody named and that no other
// container took over.
func (r *Runner) removeAnonymous(rec *supervisor.Record) {
	for _, name := range rec.OwnVolumes(r.allRecords()) {
		if err := r.volumes.Remove(name); err != nil {
			r.log.Warn("cannot remove an anonymous volume", "volume", name, "error", err)
		}
	}
}
