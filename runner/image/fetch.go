package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Bounds of what a registry is asked for one blob: resumptions one after the
// other that bring nothing, and all that bring less than is worth a request.
const (
	staleResumes = 3
	mostResumes  = 50
	worthwhile   = 1 << 20 // bytes
	resumePause  = 100 * time.Millisecond
)

// cutBlob is the error of a blob that a registry doesn't send to its end.
type cutBlob struct {
	what      string // layer, configuration or manifest
	digest    digest.Digest
	got, size int64
}

func (e *cutBlob) Error() string {
	return fmt.Sprintf("%s %s ends after %d of %d bytes, again and again: the registry, or a proxy before it, cuts it off", e.what, e.digest, e.got, e.size)
}

// resuming is a resolver whose blobs are gone on with where they were cut off.
type resuming struct{ remotes.Resolver }

// Fetcher gives the fetcher of a reference.
func (r resuming) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	f, err := r.Resolver.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return resumingFetcher{f}, nil
}

type resumingFetcher struct{ remotes.Fetcher }

// Fetch opens a blob.
func (f resumingFetcher) Fetch(ctx context.Context, desc ocispec.Descriptor) (io.ReadCloser, error) {
	rc, err := f.Fetcher.Fetch(ctx, desc)
	if err != nil {
		return nil, err
	}
	b := &blob{ctx: ctx, desc: desc, now: rc}
	b.open = func() (io.ReadCloser, error) { return f.Fetcher.Fetch(ctx, desc) }
	return b, nil
}

// blob is a blob as it is read. One that ends too soon is asked for again from
// there, a bounded number of times.
type blob struct {
	ctx   context.Context //nolint:containedctx // of one Fetch, as the reader that it gives is
	desc  ocispec.Descriptor
	open  func() (io.ReadCloser, error)
	now   io.ReadCloser
	at    int64 // offset of what is read next
	fresh int64 // offset at the last resumption
	stale int   // resumptions since then that brought nothing
	asked int   // resumptions in all after which little had come
}

// Read reads on, over cuts.
func (b *blob) Read(p []byte) (int, error) {
	for {
		n, err := b.now.Read(p)
		b.at += int64(n)
		if n > 0 || err == nil {
			return n, nil // an error comes again with the next call
		}
		if !b.isCut(err) {
			return 0, err
		}
		if err := b.resume(err); err != nil {
			return 0, err
		}
	}
}

func (b *blob) isCut(err error) bool {
	return b.at < b.desc.Size && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, unix.ECONNRESET))
}

// resume asks for the rest. Where a connection broke off, containerd has asked
// for it three times already, and once more tells what keeps it from being sent.
func (b *blob) resume(cut error) error {
	if b.at-b.fresh < worthwhile {
		b.asked++
	}
	if b.at > b.fresh {
		b.fresh, b.stale = b.at, 0
	}
	b.stale++
	if errors.Is(cut, io.ErrUnexpectedEOF) {
		b.stale += staleResumes - 1
	}
	if b.stale > staleResumes || b.asked > mostResumes {
		return &cutBlob{kindOf(b.desc), b.desc.Digest, b.at, b.desc.Size}
	}
	b.now.Close()
	select {
	case <-time.After(resumePause * time.Duration(b.stale)):
	case <-b.ctx.Done():
		return context.Cause(b.ctx)
	}
	rc, err := b.open()
	if err != nil {
		return err
	}
	b.now = rc
	_, err = b.Seek(b.at, io.SeekStart)
	return err
}

// Seek goes to an offset; containerd goes on with what it has of a blob by it.
func (b *blob) Seek(offset int64, whence int) (int64, error) {
	s, ok := b.now.(io.Seeker)
	if !ok {
		return 0, fmt.Errorf("internal error: blob %s can't be gone on with", b.desc.Digest)
	}
	at, err := s.Seek(offset, whence)
	if err == nil {
		b.at, b.fresh = at, at
	}
	return at, err
}

// Close ends the reading.
func (b *blob) Close() error { return b.now.Close() }

func kindOf(d ocispec.Descriptor) string {
	switch {
	case images.IsLayerType(d.MediaType):
		return "layer"
	case images.IsConfigType(d.MediaType):
		return "configuration"
	}
	return "manifest"
}
