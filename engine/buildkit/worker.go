package buildkit

import (
	"context"
	"os"
	"path/filepath"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/gc"
	"github.com/containerd/platforms"
	"github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/resources"
	"github.com/moby/buildkit/executor/runcexecutor"
	"github.com/moby/buildkit/snapshot"
	containerdsnapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/source/containerblob"
	bkhttp "github.com/moby/buildkit/source/http"
	"github.com/moby/buildkit/util/leaseutil"
	bknetwork "github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/util/tracing"
	"github.com/moby/buildkit/util/winlayers"
	"github.com/moby/buildkit/worker/base"
	"github.com/moby/buildkit/worker/label"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/proc"
)

// newWorker is BuildKit's containerd worker with our executor and networks.
func newWorker(ctx context.Context, root, runc string, cfg Config) (*base.Worker, error) {
	opt, err := workerOpt(ctx, filepath.Join(root, "containerd-"+snapshotter), cfg)
	if err != nil {
		return nil, err
	}
	networks := map[pb.NetMode]bknetwork.Provider{
		pb.NetMode_UNSET: cfg.Network, pb.NetMode_NONE: bknetwork.NewNoneProvider(), pb.NetMode_HOST: bknetwork.NewHostProvider(),
	}
	monitor, err := resources.NewMonitor()
	if err != nil {
		return nil, err
	}
	opt.ResourceMonitor = monitor
	newSteps := func(dns *oci.DNSConfig) (executor.Executor, error) {
		return runcexecutor.New(runcexecutor.Opt{
			Root: cfg.Steps.Bundles, CommandCandidates: []string{runc},
			DefaultCgroupParent: cfg.CgroupPath,
			ResourceMonitor:     monitor,
			OOMScoreAdj:         proc.OOMScore(0), // not that of the engine, which the kernel is to spare
			DNS:                 dns,
		}, networks)
	}
	steps := clearing{cgroup: cfg.CgroupPath, log: cfg.Steps.Log}
	if steps.Executor, err = newSteps(&oci.DNSConfig{Nameservers: []string{"127.0.0.11"}}); err != nil {
		return nil, err
	}
	onHost, err := newSteps(nil)
	if err != nil {
		return nil, err
	}
	opt.Executor = placed{steps, clearing{onHost, cfg.CgroupPath, cfg.Steps.Log}, cfg.Network}
	opt.NetworkProviders = networks
	opt.RegistryHosts = cfg.LoggedIn
	w, err := base.NewWorker(ctx, opt)
	if err != nil {
		return nil, err
	}
	web, err := bkhttp.NewSource(bkhttp.Opt{CacheAccessor: w.CacheMgr, Transport: tracing.NewTransport(cfg.Web)})
	if err != nil {
		return nil, err
	}
	w.SourceManager.Register(web) // in place of the one that goes by the engine's environment
	w.SourceManager.Register(admittedImages{w.ImageSource, cfg.Admit})
	blobs, err := containerblob.NewSource(containerblob.SourceOpt{ContentStore: opt.ContentStore, CacheAccessor: w.CacheMgr, RegistryHosts: opt.RegistryHosts})
	if err != nil {
		return nil, err
	}
	w.SourceManager.Register(admittedBlobs{blobs, cfg.Admit})
	return w, nil
}

// snapshotter is the one of containerd that holds layers.
const snapshotter = "overlayfs"

// workerOpt is the worker's share of the engine's containerd. BuildKit's own way to it
// (worker/containerd) makes a key of RSA besides, for a proxy that nobody uses here: a
// fifth of the time that the engine takes to start.
func workerOpt(ctx context.Context, root string, cfg Config) (opt base.WorkerOpt, err error) {
	if err := os.MkdirAll(root, 0o700); err != nil {
		return opt, err
	}
	client, err := containerd.New("", containerd.WithDefaultNamespace(cfg.Namespace), cfg.Services)
	if err != nil {
		return opt, err
	}
	server, err := client.IntrospectionService().Server(ctx)
	if err != nil {
		return opt, err
	}
	if opt.ID, err = base.ID(root); err != nil {
		return opt, err
	}
	if opt.MetadataStore, err = metadata.NewStore(filepath.Join(root, "metadata_v2.db")); err != nil {
		return opt, err
	}
	ns := inNamespace(cfg.Namespace)
	content := containerdsnapshot.NewContentStore(client.ContentStore(), cfg.Namespace)
	opt.Root, opt.MountPoolRoot = root, filepath.Join(root, "cachemounts")
	opt.Labels = map[string]string{ // by which clients know that images need not be sent to containerd
		label.Executor: "containerd", label.Snapshotter: snapshotter, label.Network: "host", label.SELinuxEnabled: "false",
		label.ContainerdNamespace: cfg.Namespace, label.ContainerdUUID: server.UUID,
	}
	if opt.Labels[label.Hostname], err = os.Hostname(); err != nil {
		opt.Labels[label.Hostname] = "unknown"
	}
	opt.Platforms = []ocispec.Platform{platforms.Normalize(platforms.DefaultSpec())}
	opt.Applier = namedApplier{winlayers.NewFileSystemApplierWithWindows(content, client.DiffService()), ns}
	opt.Differ = namedDiffer{winlayers.NewWalkingDiffWithWindows(content, client.DiffService()), ns}
	opt.ImageStore = namedImages{client.ImageService(), client.ContentStore(), ns}
	snapshots := knownLayers{containerdsnapshot.NSSnapshotter(cfg.Namespace, client.SnapshotService(snapshotter)), content}
	opt.Snapshotter = snapshot.FromContainerdSnapshotter(snapshotter, snapshots, nil)
	opt.LeaseManager = leaseutil.WithNamespace(madeLeases{client.LeasesService(), client.ContentStore()}, cfg.Namespace)
	opt.GarbageCollect = collect(opt.LeaseManager)
	opt.ContentStore = content
	opt.ContentStore.Store = madeBlobs{image.Documents(content.Store), snapshots}
	return opt, nil
}

// collect has containerd collect what nothing holds: it does so when a lease ends.
func collect(all leases.Manager) func(context.Context) (gc.Stats, error) {
	return func(ctx context.Context) (gc.Stats, error) {
		lease, err := all.Create(ctx, leases.WithRandomID())
		if err != nil {
			return nil, err
		}
		return nil, all.Delete(ctx, lease, leases.SynchronousDelete)
	}
}
