package layers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// viewsDir is where views are, below the directory of a content store.
	viewsDir = "views"
	// newView begins the names of those that are being written.
	newView = "new-"
)

// madeOf is the directory that an archive is made of.
type madeOf struct{}

// MadeOf has a blob that is written be kept as a view: it is the archive of a layer, and is being
// made of the files in a directory, which stay as they are for as long as there is the blob. Of what
// goes by containerd's services a content store is told by this alone.
func MadeOf(ctx context.Context, dir string) context.Context {
	return context.WithValue(ctx, madeOf{}, dir)
}

// store is a content store some of whose blobs are views. A blob that is there as a file as well is
// read from that. Of one digest there may be views of several directories, one of which is enough.
type store struct {
	content.Store
	views string

	mu   sync.Mutex
	open map[string]*recorder // by their references
}

// newStore gives a content store with views in a directory.
func newStore(files content.Store, views string) (*store, error) {
	left, err := filepath.Glob(filepath.Join(views, newView+"*"))
	for _, path := range left { // of an engine that was killed
		err = errors.Join(err, os.Remove(path))
	}
	return &store{Store: files, views: views, open: map[string]*recorder{}}, err
}

// viewPath is where the view of a blob is that is made of a directory. Each snapshot has a number
// that none has after it.
func (s *store) viewPath(sum digest.Digest, dir string) string {
	return filepath.Join(s.views, sum.Encoded()+"."+filepath.Base(filepath.Dir(dir)))
}

// viewOf is the blob that a file by its name is a view of.
func viewOf(name string) digest.Digest {
	hex, _, _ := strings.Cut(name, ".")
	return digest.NewDigestFromEncoded(digest.Canonical, hex)
}

// viewsOf are the views of a blob.
func (s *store) viewsOf(sum digest.Digest) []string {
	if sum.Validate() != nil || sum.Algorithm() != digest.Canonical {
		return nil
	}
	paths, _ := filepath.Glob(filepath.Join(s.views, sum.Encoded()+".*"))
	return paths
}

// ReaderAt implements content.Provider.
func (s *store) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	r, err := s.Store.ReaderAt(ctx, desc)
	if !errdefs.IsNotFound(err) && !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	var errs []error
	for _, path := range s.viewsOf(desc.Digest) {
		view, err := openView(path)
		if err == nil {
			return view, nil
		}
		errs = append(errs, err)
	}
	if len(errs) == 0 {
		return nil, err
	}
	return nil, fmt.Errorf("cannot read layer %s: %w: build the image again", desc.Digest, errors.Join(errs...))
}

// Writer implements content.Ingester.
func (s *store) Writer(ctx context.Context, opts ...content.WriterOpt) (content.Writer, error) {
	dir, is := ctx.Value(madeOf{}).(string)
	if !is {
		return s.Store.Writer(ctx, opts...)
	}
	var w content.WriterOpts
	for _, o := range opts {
		if err := o(&w); err != nil {
			return nil, err
		}
	}
	r := &recorder{store: s, ref: w.Ref, dir: dir}
	if !s.take(r) {
		return nil, fmt.Errorf("%s is being written: %w", w.Ref, errdefs.ErrUnavailable)
	}
	if err := r.begin(); err != nil {
		r.discard()
		return nil, fmt.Errorf("cannot keep the layer in %s: %w", dir, err)
	}
	return r, nil
}

// take says whether a recorder is the only one of its reference.
func (s *store) take(r *recorder) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.open[r.ref]; taken {
		return false
	}
	s.open[r.ref] = r
	return true
}

// forget forgets a recorder that has ended.
func (s *store) forget(r *recorder) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open[r.ref] == r {
		delete(s.open, r.ref)
	}
}

func (s *store) recorder(ref string) *recorder {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[ref]
}

// Status implements content.IngestManager.
func (s *store) Status(ctx context.Context, ref string) (content.Status, error) {
	if r := s.recorder(ref); r != nil {
		return content.Status{Ref: ref, StartedAt: r.start, UpdatedAt: r.start}, nil // how far it is, its writer alone knows
	}
	return s.Store.Status(ctx, ref)
}

// Abort implements content.IngestManager. Who writes a view ends it.
func (s *store) Abort(ctx context.Context, ref string) error {
	if s.recorder(ref) != nil {
		return nil
	}
	return s.Store.Abort(ctx, ref)
}

// Walk implements content.Manager. The size of a view is that of its own file.
func (s *store) Walk(ctx context.Context, fn content.WalkFunc, match ...string) error {
	if err := s.Store.Walk(ctx, fn, match...); err != nil {
		return err
	}
	filter, err := filters.ParseAll(match...)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(s.views)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		info := content.Info{Digest: viewOf(e.Name())}
		file, err := e.Info()
		if info.Digest.Validate() != nil || err != nil {
			continue // it is being written, or gone
		}
		info.Size, info.CreatedAt, info.UpdatedAt = file.Size(), file.ModTime(), file.ModTime()
		if filter.Match(content.AdaptInfo(info)) {
			if err := fn(info); err != nil {
				return err
			}
		}
	}
	return nil
}

// Delete implements content.Manager.
func (s *store) Delete(ctx context.Context, sum digest.Digest) error {
	err := s.Store.Delete(ctx, sum)
	views := s.viewsOf(sum)
	if errdefs.IsNotFound(err) && len(views) > 0 {
		err = nil
	}
	for _, path := range views {
		if gone := os.Remove(path); !errors.Is(gone, fs.ErrNotExist) {
			err = errors.Join(err, gone)
		}
	}
	return err
}

// WalkStatusRefs tells containerd's collection of what is being written to files.
func (s *store) WalkStatusRefs(ctx context.Context, fn func(string) error) error {
	w, ok := s.Store.(interface {
		WalkStatusRefs(context.Context, func(string) error) error
	})
	if !ok {
		return errdefs.ErrNotImplemented
	}
	return w.WalkStatusRefs(ctx, fn)
}
