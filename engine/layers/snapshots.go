package layers

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
)

const (
	// labelRef is by which containerd's metadata asks a snapshotter whether it has a snapshot already.
	labelRef = "containerd.io/snapshot.ref"
	// LabelDir is in what the snapshotter tells of a snapshot: the directory of its own files. It is no label
	// that containerd hands on from the annotations of a manifest, which anybody may write.
	LabelDir = "io.orlop.snapshot.directory"
	// labelUpper is containerd's own for it. What containerd's metadata tells of it may be an annotation's.
	labelUpper = "containerd.io/snapshot/overlay.upperdir"
)

// sameAs is of a request for a further name of a snapshot: that which has this directory. It is no label, for
// the same reason.
type sameAs struct{}

// SameAs is the directory of the snapshot that a further name is asked for in a context; "" where none is.
func SameAs(ctx context.Context) string {
	dir, _ := ctx.Value(sameAs{}).(string)
	return dir
}

// Dir is the directory of the files that a snapshot has beside those of its parents.
func Dir(info snapshots.Info) string { return info.Labels[LabelDir] }

// Same gives a committed snapshot, the one with a directory, a further name. parent is any name of
// its parent. The name is a snapshot of its own to all who use it, leases and collection among them;
// the files are gone with the last name. One that has the name already keeps it.
func Same(ctx context.Context, s snapshots.Snapshotter, name, parent, dir string) error {
	ctx = context.WithValue(ctx, sameAs{}, dir)
	_, err := s.Prepare(ctx, "same-"+rand.Text(), parent, snapshots.WithLabels(map[string]string{labelRef: name}))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err == nil {
		err = errdefs.ErrNotImplemented
	}
	return fmt.Errorf("cannot name the snapshot in %s %s: %w", dir, name, err)
}

// shared is a snapshotter whose snapshots can have several names. Containerd's metadata maps
// names to snapshots, and asks for one that may be there already as for those of remote
// snapshotters: by a label of a snapshot that is to be prepared. Which one it is, Same alone says.
type shared struct {
	snapshots.Snapshotter
	root  string
	store *storage.MetaStore
}

// Prepare implements snapshots.Snapshotter.
func (s *shared) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	dir := SameAs(ctx)
	if dir == "" {
		return s.Snapshotter.Prepare(ctx, key, parent, opts...)
	}
	var asked snapshots.Info
	for _, o := range opts {
		if err := o(&asked); err != nil {
			return nil, err
		}
	}
	name, err := s.committed(ctx, dir, parent)
	if err != nil {
		return nil, err
	}
	ref := snapshots.Info{Name: name, Labels: map[string]string{labelRef: asked.Labels[labelRef]}}
	if _, err := s.Update(ctx, ref, "labels."+labelRef); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("snapshot %s: %w", name, errdefs.ErrAlreadyExists)
}

// Stat implements snapshots.Snapshotter.
func (s *shared) Stat(ctx context.Context, key string) (snapshots.Info, error) {
	info, err := s.Snapshotter.Stat(ctx, key)
	if err == nil && info.Labels[labelUpper] != "" {
		info.Labels[LabelDir] = info.Labels[labelUpper]
	}
	return info, err
}

// Mounts implements snapshots.Snapshotter. A snapshot that is written to is recorded at once, and its
// directories come to the disk when the file system sees fit: those that a loss of power has taken are made again,
// empty, as is what was written to them.
func (s *shared) Mounts(ctx context.Context, key string) ([]mount.Mount, error) {
	info, err := s.Stat(ctx, key)
	if err == nil && info.Kind == snapshots.KindActive && Dir(info) != "" {
		err = s.restore(ctx, info)
	}
	if err != nil {
		return nil, err
	}
	return s.Snapshotter.Mounts(ctx, key)
}

// restore makes the directories of an active snapshot that are not there, as those of a new one are.
func (s *shared) restore(ctx context.Context, info snapshots.Info) error {
	files := Dir(info)
	whole, work := filepath.Dir(files), filepath.Join(filepath.Dir(files), "work")
	if _, err := os.Lstat(files); err == nil {
		if err := os.Mkdir(work, 0o711); !errors.Is(err, fs.ErrExist) {
			return err
		}
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	log.G(ctx).WithField("directory", files).Warn("the writable layer of a container was lost with the power: it begins anew")
	owners := map[string]string{}
	for _, label := range []string{snapshots.LabelSnapshotUIDMapping, snapshots.LabelSnapshotGIDMapping} {
		if value, is := info.Labels[label]; is {
			owners[label] = value
		}
	}
	fresh := "restored-" + rand.Text()
	if _, err := s.Snapshotter.Prepare(ctx, fresh, info.Parent, snapshots.WithLabels(owners)); err != nil {
		return err
	}
	made, err := s.Stat(ctx, fresh)
	if err == nil {
		err = os.RemoveAll(whole)
	}
	if err == nil {
		err = os.Rename(filepath.Dir(Dir(made)), whole)
	}
	return errors.Join(err, s.Remove(ctx, fresh))
}

// committed is the snapshot with a directory, if it is a committed one on a parent.
func (s *shared) committed(ctx context.Context, dir, parent string) (name string, err error) {
	err = s.store.WithTransaction(ctx, false, func(ctx context.Context) error {
		all, err := storage.IDMap(ctx)
		if err != nil {
			return err
		}
		id := filepath.Base(filepath.Dir(dir))
		if name = all[id]; dir != filepath.Join(s.root, "snapshots", id, "fs") {
			return fmt.Errorf("%s is no directory of a snapshot: %w", dir, errdefs.ErrNotFound)
		}
		_, info, _, err := storage.GetInfo(ctx, name)
		if err != nil {
			return err
		}
		if info.Kind != snapshots.KindCommitted || info.Parent != parent {
			return fmt.Errorf("snapshot %s on %s: %w", name, parent, errdefs.ErrNotFound)
		}
		return nil
	})
	return name, err
}

// Cleanup implements snapshots.Cleaner: it deletes the files of what is removed.
func (s *shared) Cleanup(ctx context.Context) error {
	if c, ok := s.Snapshotter.(snapshots.Cleaner); ok {
		return c.Cleanup(ctx)
	}
	return errdefs.ErrNotImplemented
}
