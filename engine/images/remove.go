package images

import (
	"context"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/inventory"
)

// Remove removes an image, or a name of it.
func Remove(ctx context.Context, from *inventory.Inventory, r *api.RemoveImageRequest) (*api.RemoveImageReply, error) {
	removed, err := from.Untag(ctx, r.Name, r.Force)
	if r.Force && image.IsAbsent(err) {
		return &api.RemoveImageReply{Absent: true}, nil
	}
	return &api.RemoveImageReply{Untagged: removed.Names, Deleted: removed.Digest}, err
}
