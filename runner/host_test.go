package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	tasktypes "github.com/containerd/containerd/api/types/task"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	coremetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/instance"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/volume"
)

// host is what outlives an engine in a test: containerd's own store of
// containers, processes, the engine's store, the directories.
type host struct {
	containers containers.Store
	sandboxes  sandbox.Store
	images     images.Store
	content    content.Store
	procs      *processes
	store      *memory
	ports      *keeper.Holdings
	root       string
	state      string
}

func newHost(t *testing.T) *host {
	t.Helper()
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	must(t, err)
	t.Cleanup(func() { db.Close() })
	meta := coremetadata.NewDB(db, nil, nil)
	h := &host{
		containers: coremetadata.NewContainerStore(meta), sandboxes: coremetadata.NewSandboxStore(meta), images: coremetadata.NewImageStore(meta),
		procs: &processes{all: map[string]*task{}, gone: make(chan struct{})},
		store: newMemory(), ports: keeper.InProcess(), root: filepath.Join(dir, "root"), state: filepath.Join(dir, "state"),
	}
	h.content, err = local.NewStore(filepath.Join(dir, "content"))
	must(t, err)
	t.Cleanup(h.procs.close)
	return h
}

// engine is a Runner on the host, as an engine that starts has one. Its shims are no processes.
func (h *host) engine(t *testing.T) *Runner {
	t.Helper()
	client, err := containerd.New("", containerd.WithDefaultNamespace("orlop"), containerd.WithDefaultRuntime("io.containerd.runc.v2"),
		containerd.WithServices(
			containerd.WithContainerStore(h.containers), containerd.WithSandboxStore(h.sandboxes), containerd.WithTaskClient(h.procs),
			containerd.WithImageStore(h.images), containerd.WithContentStore(h.content),
			containerd.WithSnapshotters(map[string]snapshots.Snapshotter{image.Snapshotter: layers{}})))
	must(t, err)
	instances, err := instance.Open(h.store, time.Now)
	must(t, err)
	r := newRunner(leases.WithLease(namespaces.WithNamespace(context.Background(), "orlop"), "none"), Config{
		Client: client, Images: image.New(client, nil, "/"), Networks: &network.Manager{}, Store: h.store, Ports: h.ports, Instances: instances, Keeping: h.ports,
		Root: h.root, State: h.state, Log: slog.New(slog.DiscardHandler),
	})
	r.volumes, err = volume.Open(volume.Config{Dir: filepath.Join(h.root, "volumes"), Places: filepath.Join(h.state, "subpaths"), Documents: h.store, Log: r.log})
	must(t, err)
	r.shims, err = shim.Open(r.ctx, shim.Config{
		Client: client, Dir: filepath.Join(h.state, "shims"), Sockets: filepath.Join(h.state, "s"), Bundles: filepath.Join(h.state, "tasks"),
		State: filepath.Join(h.state, "runc"), Program: "/bin/true", Runc: "/bin/true", Log: r.log,
	})
	must(t, err)
	t.Cleanup(r.Close)
	return r
}

// add puts a container into containerd and the store, as create does.
func (h *host) add(t *testing.T, r *Runner, rec *supervisor.Record) *container {
	t.Helper()
	k := containers.Container{ID: rec.ID, SandboxID: "orlop", Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"}, Spec: minimalDocument(t)}
	must(t, rec.Extend(&k))
	_, err := h.containers.Create(r.ctx, k)
	must(t, err)
	ctr, err := r.client.LoadContainer(r.ctx, rec.ID)
	must(t, err)
	r.records.Save(rec.ID, rec.Status)
	return r.newContainer(rec, ctr, false)
}

// await waits until a container is in a state that is as wanted.
func (r *Runner) awaitState(t *testing.T, id string, what string, as func(c planner.Container) bool) planner.Container {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	var seen planner.Container
	met := false
	r.Watch(ctx, "", func(c planner.Container, removed bool) {
		if c.ID == id && !met {
			if seen = c; !removed && as(c) {
				met = true
				cancel()
			}
		}
	}, func() {})
	if !met {
		t.Fatalf("it is not %s: %+v", what, seen)
	}
	return seen
}

func in(state planner.State) func(planner.Container) bool {
	return func(c planner.Container) bool { return c.State == state }
}

// processes are containerd's tasks, each of which is a real process.
type processes struct {
	tasks.TasksClient
	mu      sync.Mutex
	all     map[string]*task // guarded by mu
	refusal error            // guarded by mu; of the next task
	failure error            // guarded by mu; of the next start of one
	gone    chan struct{}    // closed when the shim is lost
}

type task struct {
	cmd    *exec.Cmd
	status tasktypes.Status // guarded by processes.mu
	code   uint32           // guarded by processes.mu
	at     time.Time        // guarded by processes.mu
	ended  chan struct{}
}

func (p *processes) of(id string) (*task, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.all[id]; k != nil {
		return k, nil
	}
	return nil, errgrpc.ToGRPC(errdefs.ErrNotFound)
}

// run is a task that runs.
func (p *processes) run(id string) *task {
	k := &task{cmd: &exec.Cmd{}, ended: make(chan struct{})}
	p.mu.Lock()
	p.all[id] = k
	p.mu.Unlock()
	p.start(k)
	return k
}

// start starts the process of a task.
func (p *processes) start(k *task) {
	p.mu.Lock()
	defer p.mu.Unlock()
	k.cmd, k.status = exec.Command("sleep", "600"), tasktypes.Status_RUNNING
	if err := k.cmd.Start(); err != nil {
		panic(err)
	}
	go func() {
		_ = k.cmd.Wait()
		p.mu.Lock()
		k.status, k.at, k.code = tasktypes.Status_STOPPED, time.Now(), uint32(k.cmd.ProcessState.ExitCode())
		if ws, ok := k.cmd.ProcessState.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			k.code = 128 + uint32(ws.Signal())
		}
		p.mu.Unlock()
		close(k.ended)
	}()
}

// end lets the process of a container end, and waits until it has.
func (p *processes) end(t *testing.T, id string) {
	t.Helper()
	k, err := p.of(id)
	must(t, err)
	must(t, k.cmd.Process.Kill())
	<-k.ended
}

func (p *processes) close() {
	for _, k := range p.all {
		if k.cmd.Process != nil {
			_ = k.cmd.Process.Kill()
			<-k.ended
		}
	}
}

func (p *processes) Create(_ context.Context, in *tasks.CreateTaskRequest, _ ...grpc.CallOption) (*tasks.CreateTaskResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refusal != nil {
		err := p.refusal
		p.refusal = nil
		return nil, err
	}
	p.all[in.ContainerID] = &task{cmd: &exec.Cmd{}, status: tasktypes.Status_CREATED, ended: make(chan struct{})}
	return &tasks.CreateTaskResponse{ContainerID: in.ContainerID}, nil
}

func (p *processes) Start(_ context.Context, in *tasks.StartRequest, _ ...grpc.CallOption) (*tasks.StartResponse, error) {
	p.mu.Lock()
	err := p.failure
	p.failure = nil
	p.mu.Unlock()
	if err != nil {
		return nil, err
	}
	k, err := p.of(in.ContainerID)
	if err != nil {
		return nil, err
	}
	p.start(k)
	return &tasks.StartResponse{Pid: uint32(k.cmd.Process.Pid)}, nil
}

func (p *processes) Get(_ context.Context, in *tasks.GetRequest, _ ...grpc.CallOption) (*tasks.GetResponse, error) {
	k, err := p.of(in.ContainerID)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	out := &tasktypes.Process{ID: in.ContainerID, Status: k.status, ExitStatus: k.code, ExitedAt: timestamppb.New(k.at)}
	if k.cmd.Process != nil {
		out.Pid = uint32(k.cmd.Process.Pid)
	}
	return &tasks.GetResponse{Process: out}, nil
}

func (p *processes) Wait(ctx context.Context, in *tasks.WaitRequest, _ ...grpc.CallOption) (*tasks.WaitResponse, error) {
	k, err := p.of(in.ContainerID)
	if err != nil {
		return nil, err
	}
	select {
	case <-k.ended:
		p.mu.Lock()
		defer p.mu.Unlock()
		return &tasks.WaitResponse{ExitStatus: k.code, ExitedAt: timestamppb.New(k.at)}, nil
	case <-p.gone:
		return nil, errgrpc.ToGRPC(errdefs.ErrUnavailable)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *processes) Kill(_ context.Context, in *tasks.KillRequest, _ ...grpc.CallOption) (*emptypb.Empty, error) {
	k, err := p.of(in.ContainerID)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil && k.cmd.Process != nil {
		_ = k.cmd.Process.Signal(syscall.Signal(in.Signal))
	}
	return &emptypb.Empty{}, err
}

func (p *processes) Delete(_ context.Context, in *tasks.DeleteTaskRequest, _ ...grpc.CallOption) (*tasks.DeleteResponse, error) {
	k, err := p.of(in.ContainerID)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.all, in.ContainerID)
	return &tasks.DeleteResponse{ID: in.ContainerID, ExitStatus: k.code, ExitedAt: timestamppb.New(k.at)}, nil
}

func (p *processes) Exec(context.Context, *tasks.ExecProcessRequest, ...grpc.CallOption) (*emptypb.Empty, error) {
	return nil, errgrpc.ToGRPC(errdefs.ErrNotImplemented)
}

func (p *processes) Update(_ context.Context, in *tasks.UpdateTaskRequest, _ ...grpc.CallOption) (*emptypb.Empty, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[in.ContainerID] == nil {
		return nil, errgrpc.ToGRPC(errdefs.ErrNotFound)
	}
	return &emptypb.Empty{}, nil
}

// oldContainer is what version 649de05 left of a container.
type oldContainer struct {
	ID       string
	Labels   map[string]string
	Image    string
	Document json.RawMessage
	Store    json.RawMessage // in the engine's store
	File     json.RawMessage // in the container's directory
}

// oldHost is a host with what version 649de05 left there: a stack of four, of
// which "runs" and "rests" were changed in place, and "rests" was stopped.
func oldHost(t *testing.T) (*host, map[string]string) {
	t.Helper()
	text, err := os.ReadFile("testdata/records-649de05.json")
	must(t, err)
	var all []oldContainer
	must(t, json.Unmarshal(text, &all))
	h := newHost(t)
	ids := map[string]string{}
	ctx := namespaces.WithNamespace(t.Context(), "orlop")
	for _, old := range all {
		ids[old.Labels[supervisor.LabelService]] = old.ID
		k := containers.Container{
			ID: old.ID, Labels: old.Labels, Image: old.Image, SandboxID: "orlop", Runtime: containers.RuntimeInfo{Name: "io.containerd.runc.v2"}, Spec: minimalDocument(t),
		}
		_, err := h.containers.Create(ctx, k)
		must(t, err)
		h.store.Save(record.Bucket, old.ID, old.Store)
		dir := filepath.Join(h.root, "containers", old.ID)
		must(t, os.MkdirAll(dir, 0o700))
		must(t, os.WriteFile(filepath.Join(dir, "record.json"), old.File, 0o600))
	}
	return h, ids
}

// layers are snapshots that have nothing in them.
type layers struct{ snapshots.Snapshotter }

func (layers) Stat(_ context.Context, name string) (snapshots.Info, error) {
	return snapshots.Info{Name: name, Kind: snapshots.KindCommitted}, nil
}
func (layers) Prepare(context.Context, string, string, ...snapshots.Opt) ([]mount.Mount, error) {
	return nil, nil
}
func (layers) Mounts(context.Context, string) ([]mount.Mount, error) { return nil, nil }
func (layers) Remove(context.Context, string) error                  { return nil }
func (layers) Usage(context.Context, string) (snapshots.Usage, error) {
	return snapshots.Usage{Size: 7}, nil
}

// addImage is an image without layers.
func (h *host) addImage(t *testing.T, name string) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root: who a container runs as is looked up in its image, which is mounted")
	}
	ctx := namespaces.WithNamespace(t.Context(), "orlop")
	put := func(mediaType string, v any) ocispec.Descriptor {
		b, err := json.Marshal(v)
		must(t, err)
		d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(b), Size: int64(len(b))}
		must(t, content.WriteBlob(ctx, h.content, d.Digest.String(), bytes.NewReader(b), d))
		return d
	}
	config := ocispec.Image{Platform: platforms.DefaultSpec(), Config: ocispec.ImageConfig{Cmd: []string{"sleep", "600"}}, RootFS: ocispec.RootFS{Type: "layers"}}
	manifest := ocispec.Manifest{MediaType: ocispec.MediaTypeImageManifest, Config: put(ocispec.MediaTypeImageConfig, config)}
	manifest.SchemaVersion = 2
	full, err := image.Normalize(name)
	must(t, err)
	_, err = h.images.Create(ctx, images.Image{Name: full, Target: put(ocispec.MediaTypeImageManifest, manifest)})
	must(t, err)
}
