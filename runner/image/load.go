package image

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/orlop/orlop/runner/disk"
)

// Load imports the images of an OCI or Docker archive and gives their names. Of
// one that can't be loaded whole nothing stays, neither bytes nor names. progress
// is told how much of the archive is read. open gives the archive as it is without compression.
func (s *Store) Load(ctx context.Context, in io.Reader, open func(io.Reader) (io.ReadCloser, error), progress Progress) (names []string, err error) {
	read := &counted{from: in}
	whole, err := open(read)
	if err != nil {
		return nil, err
	}
	defer whole.Close()
	var layers unpacking
	stop := repeating(ctx, func(context.Context) { progress(read.bytes.Load(), 0, layers.doing(time.Now())) })
	err = s.whole(ctx, "", func(ctx context.Context) error {
		names, err = s.load(ctx, whole, &layers)
		return err
	})
	stop()
	if err != nil {
		return nil, disk.Explain(err, s.dir, 2*read.bytes.Load()) // as they came, and unpacked
	}
	return names, nil
}

func (s *Store) load(ctx context.Context, in io.Reader, layers *unpacking) (names []string, err error) {
	before, err := s.targets(ctx)
	if err != nil {
		return nil, err
	}
	fits := func(bytes int64) error { return disk.Need(s.dir, bytes) }
	read := newScreen(in, mostEntries, fits)
	list, err := s.readArchive(ctx, read)
	if err != nil {
		return nil, notLoaded(err, read)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.restore(context.WithoutCancel(ctx), list, before))
		}
	}()
	for _, img := range list {
		names = append(names, img.Name)
		if err := s.name(ctx, img); err != nil {
			return nil, fmt.Errorf("cannot load image %s: %w", img.Name, plainError(err))
		}
		if err := s.unpackLoaded(ctx, containerd.NewImage(s.client, img), layers); err != nil {
			return nil, fmt.Errorf("cannot unpack image %s: %w", img.Name, plainError(err))
		}
	}
	return names, nil
}

// errCutOff is the error of an archive that lacks its end.
var errCutOff = errors.New("the archive ends in the middle: it was cut off, fetch or save it again")

// notLoaded says why an archive gives no images; what they consist of comes before what names them.
func notLoaded(err error, read *screen) error {
	isNone := strings.Contains(err.Error(), "unrecognized image format") // which containerd has no type for
	switch {
	case isNone && read.has.hasParts, errors.Is(err, io.ErrUnexpectedEOF):
		return errCutOff
	case isNone && read.entries == 0:
		return errors.New("there is nothing in the archive")
	case isNone:
		return errors.New(`it is an archive of files and of no images: it has neither index.json (OCI) nor manifest.json (Docker); "orlop image import" makes an image of files`)
	}
	return plainError(err)
}

// readArchive stores what an archive consists of, and gives the images that it names.
func (s *Store) readArchive(ctx context.Context, in io.Reader) (list []images.Image, err error) {
	store := documents{s.client.ContentStore()}
	index, err := archive.ImportIndex(ctx, store, in)
	if err != nil {
		return nil, err
	}
	seen := map[digest.Digest]bool{} // an index that lists another ten times, which does too, would multiply
	var handler images.HandlerFunc = func(ctx context.Context, desc ocispec.Descriptor) ([]ocispec.Descriptor, error) {
		if seen[desc.Digest] {
			return nil, images.ErrSkipDesc
		}
		seen[desc.Digest] = true
		isOwn := desc.Platform == nil || platforms.Default().Match(*desc.Platform)
		parts, err := store.children(ctx, desc)
		switch {
		case desc.Digest == index.Digest && err == nil:
			list, err = named(parts)
		case errdefs.IsNotFound(err), err != nil && !isOwn:
			return nil, images.ErrSkipDesc // of another platform
		case err == nil && isOwn && images.IsManifestType(desc.MediaType):
			err = checkManifest(parts)
		}
		return parts, err
	}
	handler = images.SetChildrenLabels(store, handler) // by them all of it stays, what is of other platforms too
	if err := images.WalkNotEmpty(ctx, handler, index); err != nil {
		return nil, err
	}
	return list, nil
}

// named are the images to which an archive gives names.
func named(all []ocispec.Descriptor) (list []images.Image, err error) {
	for _, m := range all {
		text := cmp.Or(m.Annotations[images.AnnotationImageName], m.Annotations[ocispec.AnnotationRefName])
		if text == "" {
			continue
		}
		name, err := Normalize(text)
		if err != nil {
			return nil, fmt.Errorf("the archive names an image %.200q, which is no reference", text)
		}
		if CheckDigest(name, m.Digest) != nil {
			return nil, fmt.Errorf("the archive names an image %.200q, which has the digest %.100s", text, m.Digest)
		}
		list = append(list, images.Image{Name: name, Target: m})
	}
	return list, nil
}

// name makes a name point to an image that was made or loaded here.
func (s *Store) name(ctx context.Context, img images.Image) error {
	if err := MarkMade(ctx, s.client.ContentStore(), img.Target.Digest); err != nil {
		return err
	}
	return point(ctx, s.client.ImageService(), img)
}

// point makes a name point to an image, whether it is there or not: others may make it, or remove it, at the same time.
func point(ctx context.Context, store images.Store, img images.Image) error {
	for {
		if _, err := store.Update(ctx, img, "target"); !errdefs.IsNotFound(err) {
			return err
		}
		if _, err := store.Create(ctx, img); !errdefs.IsAlreadyExists(err) {
			return err
		}
	}
}

func (s *Store) unpackLoaded(ctx context.Context, img containerd.Image, layers *unpacking) error {
	config, err := img.Config(ctx)
	if err != nil {
		return err
	}
	if err := checkManifest([]ocispec.Descriptor{config}); err != nil {
		return err
	}
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
	return img.Unpack(s.telling(ctx, layers), Snapshotter, synced(), containerd.WithUnpackApplyOpts(diff.WithProgress(layers.note)))
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
