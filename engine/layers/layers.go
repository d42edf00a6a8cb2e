// Package layers keeps the layers of images for containerd, under its own content
// store and snapshotter: as those do, and besides so that a layer that was built here
// lies on the disk once. Its blob is read out of the files of its snapshot (a view),
// and its snapshot has as many names as there are who know it. It must know nothing of
// what images are for, and of BuildKit nothing at all.
package layers

import (
	"path/filepath"

	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/moby/sys/userns"
)

// Snapshotter is the ID of the snapshotter.
const Snapshotter = "overlayfs"

// Register makes both containerd's: in the places, and under the IDs, of those that it brings.
func Register() {
	registry.Register(&plugin.Registration{
		Type: plugins.ContentPlugin, ID: "content",
		InitFn: func(ic *plugin.InitContext) (any, error) {
			root := ic.Properties[plugins.PropertyRootDir]
			ic.Meta.Exports["root"] = root
			files, err := local.NewStore(root)
			if err != nil {
				return nil, err
			}
			return newStore(files, filepath.Join(root, viewsDir))
		},
	})
	registry.Register(&plugin.Registration{
		Type: plugins.SnapshotPlugin, ID: Snapshotter,
		InitFn: func(ic *plugin.InitContext) (any, error) {
			root := ic.Properties[plugins.PropertyRootDir]
			ic.Meta.Platforms = append(ic.Meta.Platforms, platforms.DefaultSpec())
			ic.Meta.Exports[plugins.SnapshotterRootDir] = root
			// What it can do is told as containerd's own does.
			opts := []overlay.Opt{overlay.AsynchronousRemove, overlay.WithUpperdirLabel}
			if ok, err := overlayutils.SupportsIDMappedMounts(); err == nil && ok {
				opts = append(opts, overlay.WithRemapIDs)
				ic.Meta.Capabilities = append(ic.Meta.Capabilities, "remap-ids")
			}
			ic.Meta.Capabilities = append(ic.Meta.Capabilities, "only-remap-ids")
			if !userns.RunningInUserNS() {
				ic.Meta.Capabilities = append(ic.Meta.Capabilities, "rebase")
			}
			return newSnapshotter(root, opts...)
		},
	})
}

func newSnapshotter(root string, opts ...overlay.Opt) (*shared, error) {
	store, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"))
	if err != nil {
		return nil, err
	}
	s, err := overlay.NewSnapshotter(root, append(opts, overlay.WithMetaStore(store))...)
	if err != nil {
		return nil, err
	}
	return &shared{Snapshotter: s, root: root, store: store}, nil
}
