package engine

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	controlapi "github.com/moby/buildkit/api/services/control"
	bkconfig "github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/control"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	"github.com/moby/buildkit/frontend"
	dockerfile "github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/db/boltutil"
	"github.com/moby/buildkit/util/grpcerrors"
	bknetwork "github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/util/network/netproviders"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	bkcontainerd "github.com/moby/buildkit/worker/containerd"
	bolt "go.etcd.io/bbolt"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
)

// kit is BuildKit's controller in this process, on containerd's content
// store and snapshotter: an image that it builds is one that runs.
type kit struct {
	controller *control.Controller
	sessions   *session.Manager
	server     *grpc.Server
	conn       *grpc.ClientConn // to the server, in memory
	raw        *grpc.ClientConn // to the server, for messages as they came
	stop       context.CancelFunc
}

// kitConfig is what BuildKit needs of the engine.
type kitConfig struct {
	root     string
	id       string
	steps    *steps
	services containerd.Opt
	networks bknetwork.Provider
}

// startBuildKit opens BuildKit's state and gives a controller. RUN steps are
// executed by our runc on a bridge of ours. Frontends that an image brings
// are off: a Dockerfile's "# syntax" line can't run code of others here.
func startBuildKit(ctx context.Context, cfg kitConfig) (*kit, error) {
	if err := nameBuildKit(); err != nil {
		return nil, err
	}
	root := filepath.Join(cfg.root, "buildkit")
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, err
	}
	runc, err := cfg.steps.program(root)
	if err != nil {
		return nil, fmt.Errorf("cannot make the program that runs build steps: %w", err)
	}
	w, err := newWorker(ctx, root, runc, cfg)
	if err != nil {
		return nil, fmt.Errorf("cannot start BuildKit's worker: %w", err)
	}
	workers := &worker.Controller{}
	if err := workers.Add(w); err != nil {
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
	hosts, local := registryHosts(cfg.root), &localCache{}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	c, err := control.NewController(control.Opt{
		SessionManager:   sessions,
		WorkerController: workers,
		Frontends:        map[string]frontend.Frontend{"dockerfile.v0": forwarder.NewGatewayForwarder(workers.Infos(), dockerfile.Build)},
		CacheManager:     solver.NewCacheManager(run, "local", cacheStore, worker.NewCacheResultStorage(workers)),
		HistoryDB:        history,
		CacheStore:       cacheStore,
		LeaseManager:     w.LeaseManager(),
		ContentStore:     w.ContentStore(),
		HistoryConfig:    &bkconfig.HistoryConfig{MaxEntries: &entries},
		GarbageCollect:   w.GarbageCollect,
		GracefulStop:     run.Done(),

		ResolveCacheExporterFuncs: cacheExporters(sessions, hosts, local),
		ResolveCacheImporterFuncs: cacheImporters(sessions, w.ContentStore(), hosts, local),
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("cannot start BuildKit: %w", err)
	}
	return serveKit(c, sessions, stop)
}

// serveKit makes the controller callable in memory, through gRPC's own
// machinery, for its sessions and status streams are gRPC streams.
func serveKit(c *control.Controller, sessions *session.Manager, stop context.CancelFunc) (*kit, error) {
	k := &kit{controller: c, sessions: sessions, stop: stop, server: grpc.NewServer(
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
	if k.raw, err = dial(grpc.WithDefaultCallOptions(grpc.ForceCodecV2(frameCodec{}),
		grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage))); err != nil {
		return nil, err
	}
	k.conn, err = dial(
		grpc.WithUnaryInterceptor(grpcerrors.UnaryClientInterceptor), grpc.WithStreamInterceptor(grpcerrors.StreamClientInterceptor))
	return k, err
}

func (k *kit) control() controlapi.ControlClient { return controlapi.NewControlClient(k.conn) }

func (k *kit) close() {
	k.stop()
	k.conn.Close()
	k.raw.Close()
	k.server.Stop()
	k.controller.Close()
}

// openCache opens BuildKit's cache index; a damaged one is thrown away, for
// it only saves time.
func openCache(path string) (store *bboltcachestorage.Store, err error) {
	open := func() (s *bboltcachestorage.Store, err error) {
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
	if rerr := os.Rename(path, path+".damaged"); rerr != nil {
		return nil, err
	}
	return open()
}

// newWorker is BuildKit's containerd worker with our executor and networks.
func newWorker(ctx context.Context, root, runc string, cfg kitConfig) (*base.Worker, error) {
	opt, err := bkcontainerd.NewWorkerOpt(bkcontainerd.WorkerOptions{
		Root: root, SnapshotterName: "overlayfs", Namespace: Namespace,
		NetworkOpt: netproviders.Opt{Mode: "host"},
	}, cfg.services)
	if err != nil {
		return nil, err
	}
	opt.Applier, opt.Differ, opt.ImageStore = namedApplier{opt.Applier}, namedDiffer{opt.Differ}, namedImages{opt.ImageStore}
	networks := map[pb.NetMode]bknetwork.Provider{
		pb.NetMode_UNSET: cfg.networks, pb.NetMode_NONE: bknetwork.NewNoneProvider(), pb.NetMode_HOST: bknetwork.NewHostProvider(),
	}
	monitor, err := resources.NewMonitor()
	if err != nil {
		return nil, err
	}
	opt.ResourceMonitor = monitor
	opt.Executor, err = runcexecutor.New(runcexecutor.Opt{
		Root: cfg.steps.bundles, CommandCandidates: []string{runc},
		DefaultCgroupParent: "/orlop-" + cfg.id + "/build",
		ResourceMonitor:     monitor,
		DNS:                 &oci.DNSConfig{Nameservers: []string{"127.0.0.11"}},
	}, networks)
	if err != nil {
		return nil, err
	}
	opt.NetworkProviders = networks
	opt.RegistryHosts = loggedIn(registryHosts(cfg.root), cfg.root)
	return base.NewWorker(ctx, opt)
}
