package images

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/inventory"
)

// Measure adds to images what they take on the disk, and who uses them.
func Measure(ctx context.Context, reply *api.ImagesReply, store Sizer, users func(digest string) []inventory.ImageUser) error {
	sizes, _, err := store.Sizes(ctx)
	if err != nil {
		return err
	}
	for _, i := range reply.Images {
		i.DiskBytes, i.SharedBytes = sizes[i.Digest].All, sizes[i.Digest].Shared
		for _, u := range users(i.Digest) {
			i.Users = append(i.Users, &api.ImageUser{Container: u.Container, Project: u.Project})
		}
	}
	return nil
}

// Prune implements api.ImagesServer.
func (s *Server) Prune(ctx context.Context, r *api.PruneRequest) (*api.PruneReply, error) {
	list, err := s.Store.List(ctx)
	if err != nil {
		return nil, err
	}
	_, before, err := s.Store.Sizes(ctx)
	if err != nil {
		return nil, err
	}
	jobs := map[string]bool{}
	for _, ref := range s.Jobs() {
		if name, err := image.Normalize(ref); err == nil {
			jobs[name] = true
		}
	}
	reply := &api.PruneReply{TotalBytes: before}
	stays := map[string]bool{} // digests
	var errs []error
	for _, i := range list {
		if jobs[i.Name] || s.Held.has(i.Name) || s.isUsed(i.Digest, r.Gone) || !isMeant(i, r) {
			stays[i.Digest] = true
			continue
		}
		if !r.DryRun {
			_, err := s.Remove(ctx, i.Name, false)
			if _, isUsed := errors.AsType[*inventory.UsedError](err); isUsed {
				continue // a container that was made of another image of this name
			}
			if err != nil {
				errs = append(errs, err)
				continue
			}
		}
		reply.Names, reply.Digests = append(reply.Names, i.Name), append(reply.Digests, i.Digest)
	}
	if r.DryRun {
		after, err := s.Store.Without(ctx, func(digest string) bool { return !stays[digest] })
		reply.DiskBytes = max(before-after, 0)
		return reply, err
	}
	_, after, err := s.Store.Sizes(ctx)
	reply.DiskBytes = max(before-after, 0)
	return reply, errors.Join(append(errs, err)...)
}

// isUsed says that a container is made of an image, other than those that are as good as gone.
func (s *Server) isUsed(digest string, gone []string) bool {
	return slices.ContainsFunc(s.Users(digest), func(u inventory.ImageUser) bool { return !slices.Contains(gone, u.Container) })
}

// isMeant says that an image is one of those that a request asks for.
func isMeant(i image.Info, r *api.PruneRequest) bool {
	has := func(want string) bool {
		name, value, valued := strings.Cut(want, "=")
		have, ok := i.Labels[name]
		return ok && (!valued || have == value)
	}
	if digest, isShown := r.Only[i.Name]; len(r.Only) > 0 && (!isShown || digest != i.Digest) {
		return false
	}
	lacks := func(want string) bool { return !has(want) }
	return (r.UntilUnixMs == 0 || i.Created.Before(time.UnixMilli(r.UntilUnixMs))) && !slices.ContainsFunc(r.Labels, lacks) && !slices.ContainsFunc(r.Without, has)
}
