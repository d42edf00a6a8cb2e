package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/pkg/namespaces"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/admission"
	"github.com/orlop/orlop/engine/buildkit"
	"github.com/orlop/orlop/engine/containers"
	"github.com/orlop/orlop/engine/files"
	"github.com/orlop/orlop/engine/images"
	"github.com/orlop/orlop/engine/published"
	"github.com/orlop/orlop/engine/registry"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/engine/tarball"
	"github.com/orlop/orlop/engine/vault"
	"github.com/orlop/orlop/engine/volumes"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner"
	"github.com/orlop/orlop/runner/proc"
	"github.com/orlop/orlop/spec"
)

// maxMessage bounds a message of the API: a project with the names of all
// files of its build contexts has to fit.
const maxMessage = 128 << 20

// server is the API on top of an engine.
type server struct {
	api.UnimplementedEngineServer
	*Engine
}

// newServer makes the gRPC server: the API, and BuildKit's services.
func newServer(e *Engine) *grpc.Server {
	srv := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.InitialWindowSize(api.Window), grpc.InitialConnWindowSize(api.Window), grpc.ReadBufferSize(api.Buffer), grpc.WriteBufferSize(api.Buffer),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
			done, err := e.admit(ctx, info.FullMethod)
			if err != nil {
				return nil, err
			}
			defer done()
			if project := projectOf(req); project != "" {
				e.instances.Use(project)
			}
			res, err := h(namespaces.WithNamespace(ctx, Namespace), req)
			return res, asStatus(e.afterwards(err))
		}),
		grpc.StreamInterceptor(func(s any, stream grpc.ServerStream, info *grpc.StreamServerInfo, h grpc.StreamHandler) error {
			done, err := e.admit(stream.Context(), info.FullMethod)
			if err != nil {
				return err
			}
			defer done()
			return e.serveStream(s, stream, h)
		}),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return e.proxyToBuildKit(stream) }),
		grpc.ForceServerCodecV2(buildkit.FrameCodec{}),
	)
	api.RegisterEngineServer(srv, &server{Engine: e})
	api.RegisterFilesServer(srv, &files.Server{Containers: e.runner, Images: e.images, Freezer: e.freezer(), Now: time.Now})
	kept := &images.Server{Store: e.images, Users: e.runner.Inventory().ImageUsers, Remove: e.runner.Inventory().RemoveImage, Foresee: e.runner.Inventory().Removal, Jobs: e.jobImages, Trust: e.gate.Trust, Held: &e.planned}
	api.RegisterImagesServer(srv, kept)
	go e.collector(kept).Run(e.ctx)
	api.RegisterContainersServer(srv, &containers.Server{Runner: e.runner, Images: e.images, Client: e.daemon.client, LogDir: e.runner.LogDir, Flush: e.store.Flush})
	api.RegisterRegistryServer(srv, &registry.Server{Images: e.images, Credentials: e.credentials, Doing: e.doing, Room: e.roomFor, Explain: e.explain})
	api.RegisterSignaturesServer(srv, &admission.Server{Gate: &e.gate, Hosts: e.hostsOf, Doing: e.doing, Agent: "orlop/" + e.cfg.Version})
	api.RegisterVolumesServer(srv, &volumes.Server{Inventory: e.runner.Inventory(), Freezer: e.freezer(), Flush: e.store.Flush})
	api.RegisterVaultServer(srv, &vault.Server{Vault: e.vault, Users: e.runner.UsersOf})
	api.RegisterPortsServer(srv, &published.Server{Listeners: e.ways})
	api.RegisterHistoryServer(srv, &past{engine: e})
	srv.RegisterService(&buildkit.SessionService, &buildSessions{engine: e})
	return srv
}

// errNoProject refuses to change what is of no project: to the runner that is
// all that there is.
var errNoProject = errors.New("internal error: the request names no project")

// admit lets a call in whose caller speaks our protocol, unless the engine ends,
// whose end waits for the call.
func (e *Engine) admit(ctx context.Context, method string) (done func(), err error) {
	if err := api.CheckCaller(ctx, method, e.cfg.Version); err != nil {
		return nil, err
	}
	if err := e.makeRoom(method); err != nil {
		return nil, asStatus(err)
	}
	done, err = e.work.Begin()
	if err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return done, nil
}

// serveStream ends a stream with the engine, in words that tell its caller to
// go on with the next one.
func (e *Engine) serveStream(s any, stream grpc.ServerStream, h grpc.StreamHandler) error {
	ctx, cancel := context.WithCancelCause(namespaces.WithNamespace(stream.Context(), Namespace))
	defer cancel(nil)
	defer context.AfterFunc(e.ctx, func() { cancel(errShutdown) })()
	named := &namedStream{ServerStream: stream, ctx: ctx, engine: e}
	defer named.close()
	err := e.afterwards(h(s, named))
	if e.ctx.Err() != nil && stream.Context().Err() == nil {
		return status.Error(codes.Unavailable, "the engine stops")
	}
	return asStatus(err)
}

// namedStream is a stream whose context names containerd's namespace. It notes
// which instance its caller is about, for as long as it is open.
type namedStream struct {
	grpc.ServerStream
	ctx    context.Context
	engine *Engine
	about  string // project of the first message that names one
}

// RecvMsg receives a message.
func (s *namedStream) RecvMsg(m any) error {
	err := s.ServerStream.RecvMsg(m)
	if project := projectOf(m); err == nil && project != "" && s.about == "" {
		s.about = project
		s.engine.enter(project)
	}
	return err
}

func (s *namedStream) close() {
	if s.about != "" {
		s.engine.leave(s.about)
	}
}

func (s *namedStream) Context() context.Context { return s.ctx }

// asStatus keeps an error's own words on their way to the command.
func asStatus(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err
	}
	code := codes.Unknown
	if errors.Is(err, runner.ErrNotRunning) {
		code = codes.FailedPrecondition
	}
	if errors.Is(err, context.Canceled) {
		code = codes.Canceled
	}
	return status.Error(code, err.Error())
}

// Status tells what the engine is and does.
func (s *server) Status(ctx context.Context, req *api.StatusRequest) (*api.StatusReply, error) {
	reply := &api.StatusReply{
		Version: s.cfg.Version, Protocol: api.Protocol, Pid: int64(os.Getpid()), StartedUnixMs: s.started.UnixMilli(),
		Activities: s.now(), Root: s.cfg.Root, State: s.cfg.State,
		Warnings: s.warned(), Goroutines: int32(runtime.NumGoroutine()), PlainRegistries: settings.Plain(s.cfg.Root),
	}
	if !req.Brief {
		s.describe(reply)
	}
	if s.cfg.Keeper == nil {
		return reply, nil
	}
	k, err := s.cfg.Keeper.Status(ctx)
	if err != nil { // without a keeper the engine leaves
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	reply.KeeperPid, reply.KeeperVersion, reply.KeeperMemoryBytes = int64(k.PID), k.Version, k.Memory
	reply.KeeperStartedUnixMs, reply.Restarts = k.Since.UnixMilli(), int32(k.Restarts)
	return reply, nil
}

// describe adds what is looked up for who wants to read it.
func (s *server) describe(reply *api.StatusReply) {
	reply.MemoryBytes = proc.Resident(os.Getpid())
	reply.Components = map[string]string{
		"containerd": moduleVersion("github.com/containerd/containerd/v2"),
		"buildkit":   moduleVersion("github.com/moby/buildkit"),
		"runc":       s.programs.RuncVersion,
	}
	shims := map[int]bool{}
	for _, c := range s.runner.Containers("") {
		if c.State == planner.Running {
			reply.Containers++
			shims[proc.Parent(c.PID)] = true
		}
	}
	for pid := range shims {
		reply.ShimMemoryBytes += proc.Resident(pid)
	}
}

// moduleVersion is the version of a module that is linked into this program.
func moduleVersion(path string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, m := range info.Deps {
		if m.Path == path {
			return strings.TrimPrefix(m.Version, "v")
		}
	}
	return "unknown"
}

// Shutdown ends the engine after this reply, and the keeper with it unless a
// restart is asked for.
func (s *server) Shutdown(ctx context.Context, req *api.ShutdownRequest) (*api.ShutdownReply, error) {
	if s.cfg.Keeper != nil {
		tell := s.cfg.Keeper.Quit
		if req.Restart {
			if err := settings.Check(s.cfg.Root); err != nil { // the next engine would go without what is wrong
				return nil, err
			}
			tell = s.cfg.Keeper.Reexec
		}
		if err := tell(ctx); err != nil {
			return nil, err
		}
	}
	go s.cancel(errShutdown)
	return &api.ShutdownReply{}, nil
}

// Observe takes a snapshot of a project.
func (s *server) Observe(ctx context.Context, req *api.ObserveRequest) (*api.ObserveReply, error) {
	p, err := optionalProject(req.Document)
	if err != nil {
		return nil, err
	}
	o, err := s.observe(ctx, req.Project, p)
	if err != nil {
		return nil, err
	}
	hide := s.runner.Mask(req.Project).Text
	for i := range o.Containers {
		o.Containers[i] = o.Containers[i].Masked(hide)
	}
	b, err := json.Marshal(o)
	return &api.ObserveReply{Observed: b}, err
}

func optionalProject(doc []byte) (*spec.Project, error) {
	if len(doc) == 0 {
		return nil, nil
	}
	return spec.ParseProject(doc)
}

// Watch sends the states of a project's containers and their changes.
func (s *server) Watch(req *api.ObserveRequest, stream api.Engine_WatchServer) error {
	ctx, cancel := context.WithCancelCause(stream.Context())
	defer cancel(nil)
	initial := true
	var sending sync.Mutex
	send := func(m *api.ContainerChange) {
		sending.Lock()
		defer sending.Unlock()
		if err := stream.Send(m); err != nil {
			cancel(err)
		}
	}
	if req.Jobs {
		var jobs sync.WaitGroup
		jobs.Go(func() { s.watchJobs(ctx, req.Project, send) })
		defer jobs.Wait()
		defer cancel(nil)
	}
	s.runner.Watch(ctx, req.Project, func(c planner.Container, removed bool) {
		m, err := api.NewContainer(c.Masked(s.runner.Mask(req.Project).Text))
		if err != nil {
			cancel(err)
			return
		}
		send(&api.ContainerChange{Container: m, Removed: removed, Initial: initial})
	}, func() {
		initial = false
		send(&api.ContainerChange{Synced: true})
	})
	return context.Cause(ctx)
}

// LoadImages reads an OCI archive from the stream.
func (s *server) LoadImages(stream api.Engine_LoadImagesServer) error {
	tell := func(read, _ int64, doing string) {
		_ = stream.Send(&api.LoadReply{ReadBytes: read, Doing: doing}) // if nobody listens, reading ends too
	}
	open := func(in io.Reader) (io.ReadCloser, error) { return tarball.Open(in, "orlop image load -") }
	names, err := s.images.Load(stream.Context(), &chunkReader{recv: stream.Recv}, open, tell)
	if err != nil {
		return err
	}
	return stream.Send(&api.LoadReply{Images: names})
}

// chunkReader reads the chunks of a stream as one.
type chunkReader struct {
	recv func() (*api.Chunk, error)
	rest []byte
}

func (c *chunkReader) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		chunk, err := c.recv()
		if err != nil {
			return 0, err
		}
		c.rest = chunk.Data
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Images lists the images that are here.
func (s *server) Images(ctx context.Context, req *api.ImagesRequest) (*api.ImagesReply, error) {
	list, err := s.images.List(ctx)
	if err != nil {
		return nil, err
	}
	reply := &api.ImagesReply{}
	for _, i := range list {
		reply.Images = append(reply.Images, &api.ImageInfo{
			Name: i.Name, Digest: i.Digest, Id: i.ID, SizeBytes: i.Size, CreatedUnixMs: i.Created.UnixMilli(), Platforms: i.Platforms, OnBuild: i.OnBuild,
		})
	}
	if req.Sizes {
		err = images.Measure(ctx, reply, s.images, s.runner.Inventory().ImageUsers)
	}
	return reply, err
}

// TagImage gives an image a further name.
func (s *server) TagImage(ctx context.Context, req *api.TagRequest) (*api.TagReply, error) {
	return &api.TagReply{}, s.images.Tag(ctx, req.Source, req.Target)
}

// RemoveImage removes an image, or a name of it.
func (s *server) RemoveImage(ctx context.Context, req *api.RemoveImageRequest) (*api.RemoveImageReply, error) {
	return images.Remove(ctx, s.runner.Inventory(), req)
}

// Main runs an engine as the process's own task: flags are parsed, the
// keeper's descriptors taken, signals obeyed. It returns the exit code.
func Main(ctx context.Context, cfg Config) error {
	e, err := Open(ctx, cfg)
	if err != nil {
		return err
	}
	if cfg.Keeper != nil {
		go func() {
			select {
			case <-cfg.Keeper.Done():
				e.cancel(fmt.Errorf("the keeper is gone"))
			case <-e.ctx.Done():
			}
		}()
	}
	e.log.Info("ready", "version", cfg.Version, "took", time.Since(e.started).Round(time.Millisecond), "id", e.id)
	return e.Serve(ctx)
}
