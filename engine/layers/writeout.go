package layers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Forget removes all views, for nobody knows any more what they are of.
func Forget(root string) error { return os.RemoveAll(filepath.Join(root, viewsDir)) }

// IsForWantOfRoom says that a view could not be written out, though it can be read.
func IsForWantOfRoom(err error) bool {
	return errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EROFS)
}

// WriteOut makes files of all views below the directory of a content store that nobody has open, for the
// directories that they are of are to be removed. A layer that can't be read any more is an error, and gone.
func WriteOut(ctx context.Context, root string) error {
	files, err := local.NewStore(root)
	if err != nil {
		return err
	}
	s, err := newStore(files, filepath.Join(root, viewsDir))
	if err != nil {
		return err
	}
	var views []digest.Digest
	entries, err := os.ReadDir(s.views)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		views = append(views, viewOf(e.Name()))
	}
	var errs []error
	for _, sum := range views {
		errs = append(errs, s.writeOut(ctx, sum))
	}
	return errors.Join(errs...)
}

// writeOut makes a file of a view, and removes the view.
func (s *store) writeOut(ctx context.Context, sum digest.Digest) error {
	views := s.viewsOf(sum)
	if len(views) == 0 {
		return nil // it is no view, or had several
	}
	if _, err := s.Info(ctx, sum); errdefs.IsNotFound(err) {
		ra, err := s.ReaderAt(ctx, ocispec.Descriptor{Digest: sum})
		if err != nil {
			for _, path := range views { // they would be in the way of better ones
				err = errors.Join(err, os.Remove(path))
			}
			return err
		}
		defer ra.Close()
		if err := content.WriteBlob(ctx, s.Store, "view-"+sum.Encoded(), content.NewReader(ra), ocispec.Descriptor{Digest: sum, Size: ra.Size()}); err != nil {
			return fmt.Errorf("cannot write layer %s to a file: %w", sum, err)
		}
	}
	var errs []error
	for _, path := range views {
		errs = append(errs, os.Remove(path))
	}
	return errors.Join(errs...)
}
