// Package images is the API of what images consist of.
package images

import (
	"context"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/inventory"
)

// Store has the images.
type Store interface {
	Details(ctx context.Context, ref, platform string) (*image.Details, error)
	Save(ctx context.Context, refs []string, platform string, out io.Writer) error
	List(ctx context.Context) ([]image.Info, error)
	Sizer
}

// Sizer measures images.
type Sizer interface {
	Sizes(ctx context.Context) (sizes map[string]image.Size, total int64, err error)
	Without(ctx context.Context, gone func(digest string) bool) (int64, error)
}

// Server is the API of a store.
type Server struct {
	api.UnimplementedImagesServer
	Store Store
	// Users are the containers that are made of an image, by its digest.
	Users func(digest string) []inventory.ImageUser
	// Remove removes the name of an image that no container is made of.
	Remove func(ctx context.Context, ref string, force bool) (isAbsent bool, err error)
	// Foresee is what the removal of an image would take away.
	Foresee func(ctx context.Context, ref string, force bool) (inventory.Removed, error)
	// Jobs are the images of jobs that are run when it is time.
	Jobs func() []string
	// Trust is what the policy says of an image; nil: nothing.
	Trust func(ctx context.Context, name string, digests ...digest.Digest) *api.ImageTrust
	// Held are the images of plans that are being carried out.
	Held *Held
}

// Describe implements api.ImagesServer.
func (s *Server) Describe(ctx context.Context, r *api.DescribeRequest) (*api.ImageDetails, error) {
	d, err := s.Store.Details(ctx, r.Name, r.Platform)
	if image.IsAbsent(err) {
		return nil, status.Error(codes.NotFound, err.Error())
	}
	if err != nil {
		return nil, err
	}
	out := &api.ImageDetails{
		Name: d.Name, Names: d.Names, Digest: d.Digest.String(), Id: d.ID.String(), Platform: d.Platform, Config: d.Config,
	}
	if s.Trust != nil {
		out.Trust = s.Trust(ctx, d.Name, d.Digest, d.Manifest())
	}
	for _, u := range s.Users(d.Digest.String()) {
		out.Users = append(out.Users, &api.ImageUser{Container: u.Container, Project: u.Project})
	}
	places := map[*image.Layer]int32{}
	for i := range d.Layers {
		l := &d.Layers[i]
		places[l] = int32(i + 1)
		out.Layers = append(out.Layers, &api.ImageLayer{
			Digest: l.Digest.String(), DiffId: l.DiffID.String(), MediaType: l.MediaType, SentBytes: l.Sent, UnpackedBytes: l.Unpacked,
		})
	}
	for _, step := range d.History {
		out.History = append(out.History, &api.ImageStep{CreatedUnixMs: unixMs(step.Created), By: step.By, Comment: step.Comment, Layer: places[step.Layer]})
	}
	for _, v := range d.Variants {
		out.Variants = append(out.Variants, &api.ImageVariant{Platform: v.Platform, Digest: v.Digest.String(), Here: v.IsHere, Attestations: v.Attestations})
	}
	return out, nil
}

func unixMs(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Save implements api.ImagesServer.
func (s *Server) Save(r *api.SaveRequest, stream grpc.ServerStreamingServer[api.Chunk]) error {
	return s.Store.Save(stream.Context(), r.Names, r.Platform, &chunks{stream})
}

// chunks sends what is written.
type chunks struct {
	stream grpc.ServerStreamingServer[api.Chunk]
}

func (c *chunks) Write(p []byte) (int, error) {
	if err := c.stream.Send(&api.Chunk{Data: p}); err != nil {
		return 0, err
	}
	return len(p), nil
}
