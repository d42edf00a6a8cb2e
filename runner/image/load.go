package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	"github.com/orlop/orlop/runner/disk"
)

// Load imports the images of an OCI or Docker archive and gives their names. Of
// one that can't be loaded whole nothing stays, neither bytes nor names. progress
// is told how much of the archive is read.
func (s *Store) Load(ctx context.Context, archive io.Reader, progress Progress) (names []string, err error) {
	read := &counted{from: archive}
	var layers unpacking
	stop := repeating(ctx, func(context.Context) { progress(read.bytes.Load(), 0, layers.doing(time.Now())) })
	err = s.whole(ctx, "", func(ctx context.Context) error {
		names, err = s.load(ctx, read, &layers)
		return err
	})
	stop()
	if err != nil {
		return nil, disk.Explain(err, s.dir, 2*read.bytes.Load()) // as they came, and unpacked
	}
	return names, nil
}

func (s *Store) load(ctx context.Context, archive io.Reader, layers *unpacking) (names []string, err error) {
	before, err := s.targets(ctx)
	if err != nil {
		return nil, err
	}
	within, done := countEntries(archive, mostEntries)
	list, err := s.client.Import(ctx, within, containerd.WithAllPlatforms(false), containerd.WithSkipMissing())
	if limit := done(); limit != nil {
		err = limit
	}
	if err != nil {
		return nil, fmt.Errorf("cannot load images: %w", plainError(err))
	}
	for _, img := range list {
		names = append(names, img.Name)
		if err := s.unpackLoaded(ctx, containerd.NewImage(s.client, img), layers); err != nil {
			err = fmt.Errorf("cannot unpack image %s: %w", img.Name, plainError(err))
			return nil, errors.Join(err, s.restore(context.WithoutCancel(ctx), list, before))
		}
	}
	return names, nil
}

func (s *Store) unpackLoaded(ctx context.Context, img containerd.Image, layers *unpacking) error {
	done, err := img.IsUnpacked(ctx, Snapshotter)
	if err != nil {
		return err
	}
	if !done {
		diffs, err := img.RootFS(ctx)
		if err != nil {
			return err
		}
		layers.add(len(diffs))
	}
	return img.Unpack(ctx, Snapshotter, synced(), containerd.WithUnpackApplyOpts(diff.WithProgress(layers.note)))
}

// targets are what the names of all images point to.
func (s *Store) targets(ctx context.Context) (map[string]images.Image, error) {
	list, err := s.client.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("cannot list images: %w", err)
	}
	out := map[string]images.Image{}
	for _, img := range list {
		out[img.Name] = img
	}
	return out, nil
}

// restore makes the names of images point to what they did before, unless
// somebody else has changed them since.
func (s *Store) restore(ctx context.Context, loaded []images.Image, before map[string]images.Image) error {
	var errs []error
	for _, img := range loaded {
		now, err := s.client.ImageService().Get(ctx, img.Name)
		if err != nil || now.Target.Digest != img.Target.Digest {
			continue
		}
		if old, was := before[img.Name]; was {
			_, err = s.client.ImageService().Update(ctx, old)
		} else {
			err = s.client.ImageService().Delete(ctx, img.Name)
		}
		if err != nil && !errdefs.IsNotFound(err) {
			errs = append(errs, fmt.Errorf("cannot take back the name %s: %w", img.Name, err))
		}
	}
	return errors.Join(errs...)
}

// counted counts the bytes that are read.
type counted struct {
	from  io.Reader
	bytes atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}
