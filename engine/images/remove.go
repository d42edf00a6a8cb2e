package images

import (
	"context"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/inventory"
)

// Remove removes an image, or a name of it.
func Remove(ctx context.Context, from *inventory.Inventory, r *api.RemoveImageRequest) (*api.RemoveImageReply, error) {
	return removal(ctx, from.Untag, r)
}

// Removal implements api.ImagesServer.
func (s *Server) Removal(ctx context.Context, r *api.RemoveImageRequest) (*api.RemoveImageReply, error) {
	return removal(ctx, s.Foresee, r)
}

// removal answers with what a way of removing has removed. An error takes the place of the whole answer, and what was removed before it is told.
func removal(ctx context.Context, way func(ctx context.Context, ref string, force bool) (inventory.Removed, error), r *api.RemoveImageRequest) (*api.RemoveImageReply, error) {
	removed, err := way(ctx, r.Name, r.Force)
	reply := &api.RemoveImageReply{Untagged: removed.Names, Deleted: removed.Digest}
	switch {
	case r.Force && image.IsAbsent(err):
		reply.Absent = true
	case err != nil && len(removed.Names) > 0:
		reply.Unfinished = err.Error()
	case err != nil:
		return nil, err
	}
	return reply, nil
}
