package files

import (
	"context"
	"fmt"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/layer"
)

// Changes implements api.FilesServer.
func (s *Server) Changes(r *api.ContainerRequest, stream grpc.ServerStreamingServer[api.FileChanges]) error {
	c, err := s.one(r)
	if err != nil {
		return err
	}
	l, mounts, err := s.layerOf(stream.Context(), c.ID)
	if err != nil {
		return err
	}
	var list []layer.Change
	err = s.whole(stream.Context(), c, func() (err error) {
		list, err = l.Changes(stream.Context(), mounts)
		return err
	})
	if err != nil {
		return fmt.Errorf("cannot tell what %s has changed: %w", c.Name, err)
	}
	return sendChanges(stream, list, nil)
}

// changesAtOnce is how many changes a message has at most.
const changesAtOnce = 1000

func sendChanges(stream grpc.ServerStreamingServer[api.FileChanges], list []layer.Change, layers []image.Layer) error {
	for len(list) > 0 {
		m := &api.FileChanges{}
		for _, c := range list[:min(len(list), changesAtOnce)] {
			change := &api.FileChange{Kind: string(c.Kind), Path: []byte(c.Path), Size: c.Size, File: c.IsFile}
			if c.Layer >= 0 && c.Layer < len(layers) {
				change.Layer = layers[c.Layer].DiffID.String()
			}
			m.Changes = append(m.Changes, change)
		}
		if err := stream.Send(m); err != nil {
			return err
		}
		list = list[len(m.Changes):]
	}
	return nil
}

// Compare implements api.FilesServer.
func (s *Server) Compare(r *api.CompareRequest, stream grpc.ServerStreamingServer[api.FileChanges]) error {
	ctx := stream.Context()
	_, from, release, err := s.view(ctx, r.From, r.Platform)
	if err != nil {
		return err
	}
	defer release()
	now, to, releaseTo, err := s.view(ctx, r.To, r.Platform)
	if err != nil {
		return err
	}
	defer releaseTo()
	list, err := layer.Compare(ctx, from, to)
	if err != nil {
		return fmt.Errorf("cannot compare %s with %s: %w", r.From, r.To, err)
	}
	return sendChanges(stream, list, now.Layers)
}

func (s *Server) view(ctx context.Context, ref, platform string) (*image.Details, layer.Layer, func(), error) {
	details, mounts, release, err := s.Images.Views(ctx, ref, platform)
	if err != nil {
		return nil, layer.Layer{}, nil, err
	}
	l, err := layer.Of(mounts)
	if err != nil {
		release()
		return nil, l, nil, err
	}
	return details, l, release, nil
}
