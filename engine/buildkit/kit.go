// Package buildkit hosts BuildKit in the engine's process: its controller on the
// engine's containerd, the network and the processes of its RUN steps, its caches,
// and its services on the engine's socket. What to build is the builder's.
package buildkit

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	controlapi "github.com/moby/buildkit/api/services/control"
	bkconfig "github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	gatewayapi "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	"github.com/moby/buildkit/worker"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/orlop/orlop/runner/disk"
	"github.com/orlop/orlop/spec"
)

// Kit is BuildKit's controller in this process, on containerd's content
// store and snapshotter: an image that it builds is one that runs.
type Kit struct {
	// Sessions are those of the callers that lend files and secrets.
	Sessions   *session.Manager
	controller *control.Controller
	server     *grpc.Server
	conn       *grpc.ClientConn // to the server, in memory
	raw        *grpc.ClientConn // to the server, for messages as they came
	run        context.Context  // ends with the kit
	stop       context.CancelFunc
}

// Config is what BuildKit needs of the engine.
type Config struct {
	Dir        string // of its own
	CgroupPath string // below which the steps are
	Namespace  string // of containerd
	MaxMessage int    // in bytes
	Steps      *Steps
	Services   containerd.Opt // containerd in this process
	Network    *Network       // of the steps
	// Hosts says where each registry is reached; BuildKit logs in with what the
	// caller's session lends. LoggedIn does it with the logins of the engine's
	// settings where that lends none.
	Hosts, LoggedIn docker.RegistryHosts
	// Admit says which images builds may start from.
	Admit Admit
	// Web sends what builds ask of other servers (ADD https://...).
	Web http.RoundTripper
}

// Start opens BuildKit's state and gives a controller. RUN steps are
// executed by our runc on a bridge of ours. Frontends that an image brings
// are off: a Dockerfile's "# syntax" line can't run code of others here.
func Start(ctx context.Context, cfg Config) (*Kit, error) {
	if err := nameBuildKit(); err != nil {
		return nil, err
	}
	root := cfg.Dir
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	runc, err := cfg.Steps.program(root)
	if err != nil {
		return nil, fmt.Errorf("cannot make the program that runs build steps: %w", err)
	}
	w, err := newWorker(ctx, root, runc, cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot start BuildKit's worker: %w", err)
	}
	workers := &worker.Controller{}
	if err := workers.Add(admittedWorker{w, cfg.Admit}); err != nil {
		return nil, err
	}
	sessions, err := session.NewManager()
	if err != nil {
		return nil, err
	}
	cacheStore, err := openCache(filepath.Join(root, "cache.db"))
	if err != nil {
		return nil, fmt.Errorf("cannot open the build cache: %w", err)
	}
	history, err := boltutil.SafeOpen(filepath.Join(root, "history.db"), 0o600, &bolt.Options{FreelistType: bolt.FreelistMapType, Timeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("cannot open the build history: %w", err)
	}
	entries := int64(50)
	local := &localCache{}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c, err := control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends:        map[string]frontend.Frontend{"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build)},
		CacheManager:     durable(solver.NewCacheManager(run, "local", cacheStore, worker.NewCacheResultStorage(workers)), func() error { return disk.Sync(root) }),
		HistoryDB:        history,
		CacheStore:       cacheStore,
		LeaseManager:     w.LeaseManager(),
		ContentStore:     w.ContentStore(),
		HistoryConfig:    &bkconfig.HistoryConfig{MaxEntries: &entries},
		GarbageCollect:   w.GarbageCollect,
		GracefulStop:     run.Done(),
		Entitlements:     spec.Entitlements(), // to those of a stack file that ask for them, see Proxy

		ResolveCacheExporterFuncs: cacheExporters(sessions, cfg.Hosts, local),
		ResolveCacheImporterFuncs: cacheImporters(sessions, w.ContentStore(), cfg.Hosts, local, cfg.Admit),
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("cannot start BuildKit: %w", err)
	}
	k, err := serve(c, sessions, cfg.MaxMessage)
	if err != nil {
		stop()
		return nil, err
	}
	k.run, k.stop = run, stop
	return k, nil
}

// serve makes the controller callable in memory, through gRPC's own
// machinery, for its sessions and status streams are gRPC streams.
func serve(c *control.Controller, sessions *session.Manager, maxMessage int) (*Kit, error) {
	k := &Kit{controller: c, Sessions: sessions, server: grpc.NewServer(
		grpc.MaxRecvMsgSize(maxMessage), grpc.MaxSendMsgSize(maxMessage),
		grpc.UnaryInterceptor(grpcerrors.UnaryServerInterceptor), grpc.StreamInterceptor(grpcerrors.StreamServerInterceptor))}
	c.Register(k.server)
	pipe := bufconn.Listen(1 << 20)
	go k.server.Serve(pipe)
	dial := func(opts ...grpc.DialOption) (*grpc.ClientConn, error) {
		return grpc.NewClient("passthrough:///buildkit", append(opts,
			grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return pipe.DialContext(ctx) }),
			grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	}
	var err error
	if k.raw, err = dial(grpc.WithDefaultCallOptions(grpc.ForceCodecV2(FrameCodec{}),
		grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))); err != nil {
		return nil, err
	}
	k.conn, err = dial(
		grpc.WithUnaryInterceptor(grpcerrors.UnaryClientInterceptor), grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor))
	return k, err
}

// Control is BuildKit's control service. A Solve of it that is cancelled returns once the build is over, or has gone on for solvePatience.
func (k *Kit) Control() controlapi.ControlClient {
	return waitingControl{controlapi.NewControlClient(k.conn), k.run, k.controller.Solve}
}

// waitingControl solves without gRPC, whose client returns as soon as it is cancelled: what the build makes until the
// server has seen that, its image too, would come to be after its caller has removed all of it.
type waitingControl struct {
	controlapi.ControlClient
	run   context.Context // nothing of the caller's but its end is for BuildKit
	solve func(context.Context, *controlapi.SolveRequest) (*controlapi.SolveResponse, error)
}

// Solve implements controlapi.ControlClient.
func (c waitingControl) Solve(ctx context.Context, req *controlapi.SolveRequest, _ ...grpc.CallOption) (*controlapi.SolveResponse, error) {
	own, cancel := context.WithCancelCause(c.run)
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })()
	type result struct {
		res *controlapi.SolveResponse
		err error
	}
	done := make(chan result, 1)
	go func() {
		res, err := c.solve(own, req)
		done <- result{res, grpcerrors.FromGRPC(grpcerrors.ToGRPC(own, err))}
	}()
	select {
	case r := <-done:
		return r.res, r.err
	case <-ctx.Done():
	}
	late := time.NewTimer(solvePatience)
	defer late.Stop()
	select {
	case r := <-done:
		return r.res, r.err
	case <-late.C:
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// solvePatience is how long a build that is cancelled may go on before its caller does.
const solvePatience = 30 * time.Second

// Bridge is what a frontend asks of BuildKit during a build.
func (k *Kit) Bridge() gatewayapi.LLBBridgeClient { return gatewayapi.NewLLBBridgeClient(k.conn) }

// Close ends BuildKit; builds that go on fail.
func (k *Kit) Close() {
	k.stop()
	k.conn.Close()
	k.raw.Close()
	k.server.Stop()
	k.controller.Close()
}

// openCache opens BuildKit's cache index; a damaged one is removed, for
// it only saves time.
func openCache(path string) (store *bboltcachestorage.Store, err error) {
	open := func() (s *bboltcachestorage.Store, err error) {
		// A page whose number is wrong is looked for outside of the file's memory.
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if p := recover(); p != nil {
				err = fmt.Errorf("damaged: %v", p)
			}
		}()
		return bboltcachestorage.NewStore(path)
	}
	if store, err = open(); err == nil {
		return store, nil
	}
	if rerr := os.Remove(path); rerr != nil {
		return nil, err
	}
	return open()
}
