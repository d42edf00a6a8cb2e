// Package assembly makes what a container consists of: its record, its writable
// layer, its network namespace, its mounts, and the OCI document that tells of them.
package assembly

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/network/netns"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/rootfs"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/runner/userns"
	"github.com/orlop/orlop/runner/volume"
	"github.com/orlop/orlop/spec"
)

// Maker makes the parts of containers.
type Maker struct {
	Images   *image.Store
	Networks *network.Manager
	Topology *topology.Store
	Volumes  *volume.Store
	Secrets  *rootfs.Secrets
	Payloads *rootfs.Payloads
	// Records are those of all containers.
	Records func() []supervisor.Record
	// Share notes whose namespaces a container uses.
	Share func(*supervisor.Record) error
	// Dir is where the log and the files of a container are.
	Dir     func(id string) string
	Shms    string // where /dev/shm of those is mounted who let others share it
	Cgroups string // parent of the containers' cgroups
	Init    string // path of the static program that "init: true" runs first
	Version string // of the engine
	Log     *slog.Logger
	Now     func() time.Time
}

// Request says which container to make.
type Request struct {
	Project    string
	Service    string
	Number     int
	Name       string // "" is PROJECT-SERVICE-NUMBER, or container_name
	Separator  string // between the parts of a name that nobody gives; "" is "-"
	OneOff     bool
	AutoRemove bool
	UseAliases bool   // of OneOff: it answers to its service's names
	Image      string // reference
	Applied    *planner.Applied
	WorkingDir string
	Files      []string
	From       string // ID of the container that it replaces: its anonymous volumes are taken over
	Renew      bool   // but for them

	Warn func(oci.Warning) // told what it gets otherwise than asked for; may be nil
}

// NameOf is the name that a container of the service gets, by what tells it from the others.
func (r *Request) NameOf(parts ...string) string {
	return strings.Join(append([]string{r.Project, r.Service}, parts...), cmp.Or(r.Separator, "-"))
}

// Assemble makes what a container consists of: its directory, its writable
// layer, its network namespace, and the document that tells of them.
func (m *Maker) Assemble(ctx context.Context, rec *supervisor.Record, img *image.Image, warn func(oci.Warning)) (*specs.Spec, error) {
	// It comes first, so that an engine which is killed half-way leaves a trace.
	if err := os.MkdirAll(m.Dir(rec.ID), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of %s: %w", rec.Name, err)
	}
	if rec.Applied.Service.Platform != "" {
		manifest, err := img.Manifest(ctx)
		if err != nil {
			return nil, err
		}
		rec.Manifest = manifest.String()
	}
	rootfs, err := img.Prepare(ctx, rec.ID, rec.Applied.Service.IDMap(), m.Now())
	if err != nil {
		return nil, err
	}
	names, err := m.Connect(ctx, rec)
	if err != nil {
		return nil, err
	}
	return m.document(ctx, rec, img, rootfs, names, warn)
}

// Record is that of a container to be, from what the request and the image say, and
// the container that it replaces, if that is still there.
func (m *Maker) Record(req Request, img *image.Image, from *supervisor.Record) *supervisor.Record {
	s := req.Applied.Service
	applied := *req.Applied
	applied.Image = img.Digest.String()
	rec := &supervisor.Record{Metadata: supervisor.Metadata{
		ID: supervisor.NewID(), Name: req.Name, Project: req.Project, Service: req.Service, Number: req.Number, OneOff: req.OneOff,
		AutoRemove: req.AutoRemove, UseAliases: req.UseAliases, Applied: &applied, Image: req.Image, Terminal: s.Tty, Stdin: s.StdinOpen,
		WorkingDir: req.WorkingDir, Files: req.Files, CreatedAt: m.Now(),
		Probe: health.CheckOf(s.HealthCheck, img.Config.Healthcheck), StopSignal: stopSignal(s, img), Version: m.Version,
		Exposed: slices.Sorted(maps.Keys(img.Config.ExposedPorts)),
	}, Status: supervisor.Status{State: planner.Created}}
	if rec.Name == "" {
		rec.Name = s.ContainerName
	}
	if rec.Name == "" {
		rec.Name = req.NameOf(strconv.Itoa(req.Number))
	}
	if s.CgroupParent != "" {
		rec.Cgroup = path.Join("/", s.CgroupParent, rec.ID)
	}
	rec.Hostname = s.Hostname
	if rec.Hostname == "" {
		rec.Hostname = rec.ID[:12]
	}
	if from != nil && !req.Renew {
		rec.Anonymous = maps.Clone(from.Anonymous)
	}
	return rec
}

// Connect makes the container's network namespace with an address in each
// of its networks, and gives the names for /etc/hosts.
func (m *Maker) Connect(ctx context.Context, rec *supervisor.Record) (map[netip.Addr][]string, error) {
	s := rec.Applied.Service
	switch mode, _, _ := strings.Cut(s.NetworkMode, ":"); mode {
	case "host":
		return nil, nil
	case "service", "container":
		return nil, m.Share(rec)
	}
	member := Member(rec)
	sandbox, err := member.Sandbox()
	if err != nil {
		return nil, err
	}
	for _, e := range sandbox.Endpoints {
		if err := m.Topology.Remake(ctx, e.Network); err != nil {
			return nil, err
		}
	}
	state, err := m.Networks.CreateSandbox(ctx, rec.ID, sandbox)
	if err != nil {
		return nil, err
	}
	rec.Netns = state.NetnsPath
	var names map[netip.Addr][]string
	rec.Addresses, names = member.Addresses(state)
	return names, nil
}

// Member is a container as far as its networks go.
func Member(rec *supervisor.Record) *topology.Member {
	return &topology.Member{Project: rec.Project, Name: rec.Name, Service: rec.Service, Hostname: rec.Hostname, OneOff: rec.OneOff, UseAliases: rec.UseAliases, Applied: rec.Applied, Joined: rec.Joined, Left: rec.Left}
}

// document resolves user, mounts, environment and command into the OCI
// document of a container.
func (m *Maker) document(ctx context.Context, rec *supervisor.Record, img *image.Image, rootfs []mount.Mount, names map[netip.Addr][]string, warn func(oci.Warning)) (*specs.Spec, error) {
	s := rec.Applied.Service
	if err := oci.Check(rec.Service, s); err != nil {
		return nil, err
	}
	rootfs = image.Plain(rootfs)
	id, key, err := img.Runs(ctx, rootfs, s.User, s.GroupAdd)
	if err == nil {
		key, err = userns.Check(s.IDMap(), id.Spec())
	}
	if err != nil && key != "" {
		err = &oci.KeyError{Service: rec.Service, Key: key, Text: err.Error(), Err: err}
	}
	if err != nil {
		return nil, err
	}
	mounts, err := m.Etc(rec, names)
	if err != nil {
		return nil, err
	}
	if rec.Applied.Borrowed, err = m.borrow(rec); err != nil {
		return nil, err
	}
	if err := m.view(ctx, rec); err != nil {
		return nil, err
	}
	mounted, err := m.Volumes.Mounts(ctx, &volume.Request{
		Container: rec.ID, Project: rec.Project, Service: rec.Service, Applied: rec.Applied,
		ImageVolumes: slices.Sorted(maps.Keys(img.Config.Volumes)), Anonymous: rec.Anonymous, Rootfs: rootfs,
		Mapped: userns.Mapped(s.IDMap(), netns.UsersPath(rec.Netns)),
	})
	rec.Anonymous, rec.LeftOut, rec.Binds = mounted.Anonymous, mounted.LeftOut, mounted.Binds
	if err != nil {
		return nil, err
	}
	files, err := m.Files(rec)
	if err != nil {
		return nil, err
	}
	if err := m.MakeShm(rec); err != nil {
		return nil, err
	}
	rec.Command = oci.Command(s, &img.Config)
	if len(rec.Command) == 0 {
		return nil, fmt.Errorf("services.%s: neither the service nor image %s says what to run: set command", rec.Service, rec.Image)
	}
	doc, warnings, err := oci.Document(oci.Input{
		Service: s, Image: &img.Config, Args: rec.Command, User: id.Spec(), Home: id.Home, Hostname: rec.Hostname, Netns: rec.Netns, Shm: rec.Shm,
		Users: netns.UsersPath(rec.Netns), Mounts: slices.Concat(oci.MapMounts(s, mounts), mounted.List, oci.MapMounts(s, files)),
		CgroupPath: cmp.Or(rec.Cgroup, m.Cgroups+"/"+rec.ID), Terminal: rec.Terminal, Init: m.Init,
	})
	for _, w := range warnings {
		m.Log.Warn(w.Text, "container", rec.Name, "key", w.Key)
		if warn != nil {
			warn(w)
		}
	}
	return doc, err
}

// Files gives a container the secrets and configs of its service.
func (m *Maker) Files(rec *supervisor.Record) ([]specs.Mount, error) {
	copies := m.Copies(rec.Project)
	content := m.Payloads.Of(rec.Project, copies)
	if len(rec.Applied.Templates) > 0 {
		content = m.Payloads.Rendered(rec.Project, copies, rec.Applied.Service, rec.Applied.Templates, factsOf(rec))
	}
	return m.Secrets.Mounts(rec.ID, rec.Applied.Service, content)
}

// factsOf are what a template may speak of.
func factsOf(rec *supervisor.Record) *rootfs.Facts {
	f := &rootfs.Facts{}
	f.Service.ID, f.Service.Name, f.Service.Labels = rec.Project+"_"+rec.Service, rec.Service, rec.Applied.Service.Labels
	f.Task.ID, f.Task.Name, f.Task.Slot = rec.ID, rec.Name, strconv.Itoa(rec.Number)
	f.Node.Hostname, _ = os.Hostname()
	f.Node.ID, f.Node.Platform.OS, f.Node.Platform.Architecture = f.Node.Hostname, runtime.GOOS, runtime.GOARCH
	return f
}

// Users are the projects whose containers have an entry that the engine keeps; an error
// where that can't be known.
func (m *Maker) Users(section, name string) ([]string, error) {
	return m.Payloads.Users(section, name, func(project, key string) bool {
		return slices.ContainsFunc(m.Records(), func(rec supervisor.Record) bool {
			return rec.Project == project && rec.Applied.Service.UsesFile(key)
		})
	})
}

// Copies are what the containers of a project have of its secrets and configs.
func (m *Maker) Copies(project string) rootfs.Copies {
	return func() map[string][][]byte {
		all := map[string][][]byte{}
		for _, rec := range m.Records() {
			if rec.Project == project {
				m.Secrets.Copy(all, rec.ID, rec.Applied.Service, rec.Applied.Templates)
			}
		}
		return all
	}
}

// Etc gives a container its files below /etc.
func (m *Maker) Etc(rec *supervisor.Record, names map[netip.Addr][]string) ([]specs.Mount, error) {
	e := rootfs.Etc{
		Dir: m.Dir(rec.ID), Hostname: rec.Hostname, Names: names, Extra: m.Topology.Hosts(Member(rec)), Service: rec.Applied.Service, Owner: m.owner(rec),
	}
	return e.Mounts()
}

// owner is the service whose network a container shares; nil where it has its own.
func (m *Maker) owner(rec *supervisor.Record) *spec.Service {
	mode, name, _ := strings.Cut(rec.Applied.Service.NetworkMode, ":")
	if mode != "service" && mode != "container" {
		return nil
	}
	for _, other := range m.Records() {
		if mode == "service" && other.Service == name && other.Project == rec.Project && !other.OneOff || mode == "container" && (other.Name == name || other.ID == name) {
			return other.Applied.Service
		}
	}
	return nil
}

// Adjusted is what a container is made from once a new document is in place.
func Adjusted(made supervisor.Metadata, applied *planner.Applied, img *image.Image) supervisor.Metadata {
	made.Applied = applied
	made.Probe = health.CheckOf(applied.Service.HealthCheck, img.Config.Healthcheck)
	made.StopSignal = stopSignal(applied.Service, img)
	return made
}

func stopSignal(s *spec.Service, img *image.Image) string {
	return cmp.Or(s.StopSignal, img.Config.StopSignal)
}
