package engine

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	ctdserver "github.com/containerd/containerd/v2/cmd/containerd/server"
	srvconfig "github.com/containerd/containerd/v2/cmd/containerd/server/config"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"

	// The plugins of containerd that Orlop runs. Left out are those that it
	// must not run (restart, which starts what labels say) and those that it
	// has no use for (CRI, NRI, other snapshotters, metrics).
	_ "github.com/containerd/containerd/api/types/runc/options"
	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	_ "github.com/containerd/containerd/v2/plugins/events"
	_ "github.com/containerd/containerd/v2/plugins/gc"
	_ "github.com/containerd/containerd/v2/plugins/leases"
	_ "github.com/containerd/containerd/v2/plugins/metadata"
	_ "github.com/containerd/containerd/v2/plugins/mount"
	_ "github.com/containerd/containerd/v2/plugins/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/server/grpc"
	_ "github.com/containerd/containerd/v2/plugins/server/ttrpc"
	_ "github.com/containerd/containerd/v2/plugins/services/containers"
	_ "github.com/containerd/containerd/v2/plugins/services/content"
	_ "github.com/containerd/containerd/v2/plugins/services/diff"
	_ "github.com/containerd/containerd/v2/plugins/services/events"
	_ "github.com/containerd/containerd/v2/plugins/services/healthcheck"
	_ "github.com/containerd/containerd/v2/plugins/services/images"
	_ "github.com/containerd/containerd/v2/plugins/services/introspection"
	_ "github.com/containerd/containerd/v2/plugins/services/leases"
	_ "github.com/containerd/containerd/v2/plugins/services/mounts"
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"
	_ "github.com/containerd/containerd/v2/plugins/services/sandbox"
	_ "github.com/containerd/containerd/v2/plugins/services/snapshots"
	_ "github.com/containerd/containerd/v2/plugins/services/streaming"
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"
	_ "github.com/containerd/containerd/v2/plugins/services/transfer"
	_ "github.com/containerd/containerd/v2/plugins/services/version"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
	_ "github.com/containerd/containerd/v2/plugins/streaming"
	_ "github.com/containerd/containerd/v2/plugins/transfer"

	"github.com/orlop/orlop/engine/layers"
	"github.com/orlop/orlop/engine/unpack"
)

// Namespace is the namespace of containerd that holds all that Orlop makes.
const Namespace = "orlop"

// taskBundles is where containerd keeps what it knows of running tasks.
func taskBundles(state string) string {
	return filepath.Join(state, "containerd", "io.containerd.runtime.v2.task", Namespace)
}

// metadataDB is where containerd keeps what it knows of images and containers.
func metadataDB(root string) string {
	return filepath.Join(root, "containerd", "io.containerd.metadata.v1.bolt", "meta.db")
}

// socket is where containerd answers its own clients.
func socket(state string) string { return filepath.Join(state, "containerd.sock") }

// eventSocket is where containerd takes the events of shims.
func eventSocket(state string) string { return filepath.Join(state, "ttrpc.sock") }

// daemon is containerd in this process.
type daemon struct {
	server   *ctdserver.Server
	client   *containerd.Client
	services containerd.Opt // in-memory services, for a further client
}

// startContainerd runs containerd's server with its state below root and
// state, its standard sockets open, and gives a client that calls it in memory.
func startContainerd(ctx context.Context, root, state string) (*daemon, error) {
	d := &daemon{}
	unpack.Register()
	layers.Register()
	registerTap(func(ic *plugin.InitContext) error {
		d.services = containerd.WithInMemoryServices(ic)
		var err error
		d.client, err = containerd.New("",
			containerd.WithDefaultNamespace(Namespace),
			containerd.WithDefaultPlatform(platforms.Default()),
			d.services)
		return err
	})
	config := &srvconfig.Config{
		Version: version.ConfigVersion,
		Root:    filepath.Join(root, "containerd"),
		State:   filepath.Join(state, "containerd"),
		Plugins: map[string]any{
			"io.containerd.server.v1.grpc":  map[string]any{"address": socket(state)},
			"io.containerd.server.v1.ttrpc": map[string]any{"address": eventSocket(state)},
			"io.containerd.shim.v1.manager": map[string]any{"socket_dir": filepath.Join(state, "s")},
		},
		RequiredPlugins: []string{"io.containerd.internal.v1.orlop", "io.containerd.snapshotter.v1.overlayfs"},
	}
	if err := ctdserver.CreateTopLevelDirectories(config); err != nil {
		return nil, fmt.Errorf("cannot make containerd's directories: %w", err)
	}
	srv, err := ctdserver.New(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("cannot start containerd: %w", err)
	}
	d.server = srv
	if err := srv.Start(ctx); err != nil {
		srv.Stop()
		return nil, fmt.Errorf("cannot open containerd's sockets: %w", err)
	}
	srv.Wait()
	return d, nil
}

// close ends the server; its plugins are closed in reverse order.
func (d *daemon) close() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.client.Close()
		d.server.Stop()
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
	}
}

// registerTap adds the one plugin of ours: it hands the services of the
// others over. Containerd's registry is global, so it is filled once a process.
func registerTap(tap func(*plugin.InitContext) error) {
	registry.Register(&plugin.Registration{
		Type: plugins.InternalPlugin,
		ID:   "orlop",
		Requires: []plugin.Type{
			plugins.EventPlugin, plugins.LeasePlugin, plugins.SandboxStorePlugin, plugins.SandboxControllerPlugin,
			plugins.ServicePlugin, plugins.MountManagerPlugin, plugins.TransferPlugin, plugins.SnapshotPlugin,
		},
		InitFn: func(ic *plugin.InitContext) (any, error) { return struct{}{}, tap(ic) },
	})
}
