package engine

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	coremetadata "github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	bolt "go.etcd.io/bbolt"

	"github.com/orlop/orlop/engine/buildkit"
	"github.com/orlop/orlop/engine/history"
	"github.com/orlop/orlop/engine/schedule"
	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/instance"
	"github.com/orlop/orlop/runner/network"
)

// desk is an engine without the servers of containerd and BuildKit: its images
// and containers are those of containerd's stores, and nothing runs.
type desk struct {
	*server
	named images.Store
	ctx   context.Context
}

func newDesk(t testing.TB) *desk {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	db, err := bolt.Open(filepath.Join(dir, "meta.db"), 0o600, nil)
	must(err)
	t.Cleanup(func() { db.Close() })
	meta := coremetadata.NewDB(db, nil, nil)
	d := &desk{named: coremetadata.NewImageStore(meta), ctx: leases.WithLease(namespaces.WithNamespace(t.Context(), Namespace), "none")}
	client, err := containerd.New("", containerd.WithDefaultNamespace(Namespace), containerd.WithServices(
		containerd.WithContainerStore(coremetadata.NewContainerStore(meta)), containerd.WithSandboxStore(coremetadata.NewSandboxStore(meta)),
		containerd.WithImageStore(d.named), containerd.WithLeasesService(coremetadata.NewLeaseManager(meta))))
	must(err)
	e := holder(t)
	e.cfg, e.log, e.started = Config{Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state"), Version: "v1"}, quiet(), time.Now()
	e.locks, e.activities, e.callers = newProjectLocks(time.Now), map[*string]struct{}{}, map[string]int{}
	e.kitReady = make(chan struct{})
	close(e.kitReady)
	e.ctx, e.cancel = context.WithCancelCause(d.ctx)
	e.instances, err = instance.Open(e.store, time.Now)
	must(err)
	e.images = image.New(client, e.hosts, "/")
	e.holdings = keeper.InProcess()
	e.networks = &network.Manager{}
	e.buildNetwork = buildkit.NewNetwork(e.networks, e.log)
	e.runner, err = runner.Open(d.ctx, runner.Config{
		Client: client, Images: e.images, Instances: e.instances, Networks: e.networks, Ports: e.holdings, Keeping: e.holdings, Store: e.store,
		Root: e.cfg.Root, State: e.cfg.State, ID: "desk", Bundles: filepath.Join(dir, "tasks"), Shim: "/bin/true", Runc: "/bin/true", Log: e.log,
	})
	must(err)
	e.schedules, err = schedule.Open(e.store, schedule.Wall{}, fires{e}, e.log)
	must(err)
	t.Cleanup(func() {
		e.cancel(errShutdown)
		if !e.work.End(5 * time.Second) {
			t.Error("something goes on after the end")
		}
		e.runner.Close()
	})
	e.history = history.New(e.runner)
	d.server = &server{Engine: e}
	return d
}

// image has a name lead to the image that is made of some text, and gives its
// digest; without text nothing has the name any more.
func (d *desk) image(t *testing.T, ref, text string) string {
	t.Helper()
	name, err := image.Normalize(ref)
	if err != nil {
		t.Fatal(err)
	}
	_ = d.named.Delete(d.ctx, name)
	if text == "" {
		return ""
	}
	target := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.FromString(text), Size: int64(len(text))}
	if _, err := d.named.Create(d.ctx, images.Image{Name: name, Target: target}); err != nil {
		t.Fatal(err)
	}
	return target.Digest.String()
}
