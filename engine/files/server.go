// Package files is the API of the files of containers and images: archives of them are
// read and written, changes listed, images made. What is at a path, and what may be
// written there, is decided in the package archive and below runner.
package files

import (
	"context"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/layer"
	"github.com/orlop/orlop/runner/rootfs"
)

// Containers has the containers.
type Containers interface {
	Containers(project string) []planner.Container
	// OpenRoot opens a container's root; that of one that does not run is to be released.
	OpenRoot(ctx context.Context, id string, wanted chan struct{}) (root *rootfs.Root, release func(), err error)
	Layer(ctx context.Context, id string) ([]mount.Mount, *specs.Spec, error)
}

// Images has the images.
type Images interface {
	At(ctx context.Context, ref, digest, platform string) (*image.Image, error)
	Make(ctx context.Context, m image.Making) (image.Made, error)
	Views(ctx context.Context, ref, platform string) (*image.Details, []mount.Mount, func(), error)
	ContainerSize(ctx context.Context, id string) (layer, total int64, err error)
}

// Freezer holds the processes of a container still.
type Freezer interface {
	Freeze(ctx context.Context, id string) (thaw func(), err error)
}

// Server is the API of files.
type Server struct {
	api.UnimplementedFilesServer
	Containers Containers
	Images     Images
	Freezer    Freezer
	Now        func() time.Time

	roots roots
}

// Sizes implements api.FilesServer.
func (s *Server) Sizes(ctx context.Context, r *api.SizesRequest) (*api.SizesReply, error) {
	reply := &api.SizesReply{Sizes: map[string]*api.SizesReply_Size{}}
	for _, id := range r.Ids {
		written, total, err := s.Images.ContainerSize(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("cannot measure the writable layer of container %.12s: %w", id, err)
		}
		reply.Sizes[id] = &api.SizesReply_Size{LayerBytes: written, TotalBytes: total}
	}
	return reply, nil
}

// layerOf are the layers of a container, and the places at which it has mounts.
func (s *Server) layerOf(ctx context.Context, id string) (l layer.Layer, mounts []string, err error) {
	roots, doc, err := s.Containers.Layer(ctx, id)
	if err != nil {
		return l, nil, err
	}
	for _, m := range doc.Mounts {
		mounts = append(mounts, m.Destination)
	}
	l, err = layer.Of(roots)
	return l, mounts, err
}

// whole calls what reads the layers of a container. It is an error where the container was
// removed meanwhile: then files were missing that nobody missed.
func (s *Server) whole(ctx context.Context, c *planner.Container, read func() error) error {
	err := read()
	if ctx.Err() != nil {
		return err
	}
	if _, _, gone := s.Containers.Layer(ctx, c.ID); gone != nil {
		return fmt.Errorf("%s was removed while its files were read: not all of them were there any more", c.Name)
	}
	return err
}
