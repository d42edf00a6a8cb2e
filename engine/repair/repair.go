// Package repair looks at containerd's and BuildKit's databases before anything
// opens them. One that is damaged is set aside; what nobody could reach without it
// is removed, processes among that; and it says so. It runs before containerd, and
// knows of volumes only that they are not here.
package repair

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/orlop/orlop/engine/boltfile"
)

// snapshotterDB is the database in a snapshotter's directory.
const snapshotterDB = "metadata.db"

// Stores are the places of what containerd keeps.
type Stores struct {
	Metadata    string    // file of the metadata
	Snapshotter string    // directory of the snapshotter
	Mounts      string    // file of what is mounted
	Content     string    // directory of the blobs
	Cache       string    // directory of the build cache, whose layers are among the snapshots; may be ""
	Namespace   string    // of what is ours
	Now         time.Time // by which damaged files are named
}

// At gives the places below containerd's root and state.
func At(root, state, namespace string) Stores {
	return Stores{
		Metadata:    filepath.Join(root, "io.containerd.metadata.v1.bolt", "meta.db"),
		Snapshotter: filepath.Join(root, "io.containerd.snapshotter.v1.overlayfs"),
		Mounts:      filepath.Join(state, "io.containerd.mount-manager.v1.bolt", "mounts.db"),
		Content:     filepath.Join(root, "io.containerd.content.v1.content"),
		Namespace:   namespace,
		Now:         time.Now(),
	}
}

// Found is what Inspect has found.
type Found struct {
	// Known are the IDs of the containers that the metadata has.
	Known map[string]bool
	// Metadata, Snapshotter and Mounts say what is damaged, nil what is whole or new.
	Metadata, Snapshotter, Mounts error

	named map[string]string // directories of snapshots that have a record
}

// errGone is the damage of a database that is not there, though what only it
// could name is.
var errGone = errors.New("it is gone")

// Inspect reads all databases of containerd, and changes nothing. An error is
// one that says nothing about the files, as when another process has them open.
func (s *Stores) Inspect() (*Found, error) {
	f := &Found{Known: map[string]bool{}, named: map[string]string{}}
	known, err := readMetadata(s.Metadata, s.Namespace)
	if f.Metadata, err = s.damage(err); err != nil {
		return nil, err
	}
	if known != nil {
		f.Known = known
	}
	named, err := readSnapshotter(s.Snapshotter)
	if f.Snapshotter, err = s.damage(err); err != nil {
		return nil, err
	}
	if named != nil {
		f.named = named
	}
	f.Mounts, err = s.damage(CheckPages(s.Mounts))
	if errors.Is(f.Mounts, errGone) { // it names nothing that a restart of the machine leaves
		f.Mounts = nil
	}
	return f, err
}

// damage tells damage from what a read says of a database otherwise: that it is
// not there yet, or can't be reached.
func (s *Stores) damage(read error) (damage, unreached error) {
	switch {
	case read == nil:
		return nil, nil
	case errors.Is(read, fs.ErrNotExist):
		if s.isNew() {
			return nil, nil
		}
		return errGone, nil
	case IsDamage(read):
		return read, nil
	}
	return nil, fmt.Errorf("cannot read containerd's databases: %w", read)
}

// isNew says that nothing was ever kept here: no blob, no snapshot, no build.
func (s *Stores) isNew() bool {
	for _, pattern := range []string{filepath.Join(s.Cache, cacheLayers), filepath.Join(s.Snapshotter, "snapshots", "*"), filepath.Join(s.Content, "blobs", "*", "*")} {
		if some, _ := filepath.Glob(pattern); len(some) > 0 {
			return false
		}
	}
	return true
}

// Repair sets aside what is damaged, and removes what depended on it from the
// other databases and from the disk. It gives what a user is to be told, and
// whether the build cache has lost what it refers to. No process may use the
// snapshots any more whose database is damaged.
func (s *Stores) Repair(f *Found) (told string, cacheLost bool, err error) {
	if f.Mounts != nil {
		if err := os.Remove(s.Mounts); err != nil {
			return "", false, fmt.Errorf("cannot remove a damaged database: %w", err)
		}
	}
	var aside string
	var cause error
	switch {
	case f.Metadata != nil:
		aside, err = boltfile.SetAside(s.Metadata, s.Now)
		told, cause = "containerd's metadata was damaged (%v): images and containers are lost, volumes are not", f.Metadata
		// Its keys would be in the way of new ones.
		err = errors.Join(err, os.RemoveAll(filepath.Join(s.Snapshotter, snapshotterDB)))
	case f.Snapshotter != nil:
		aside, err = boltfile.SetAside(filepath.Join(s.Snapshotter, snapshotterDB), s.Now)
		told, cause = "the database of images' layers was damaged (%v): containers are lost, images and volumes are not", f.Snapshotter
		err = errors.Join(err, s.forgetSnapshots())
	default:
		return "", false, s.clearStrays(f)
	}
	if err != nil {
		return "", false, fmt.Errorf("cannot set a damaged database aside: %w", err)
	}
	told = fmt.Sprintf(told, cause)
	if aside != "" {
		told += "; the damaged file is " + aside
	}
	f.Known, f.named = map[string]bool{}, map[string]string{}
	return told, true, s.clearStrays(f)
}

// forgetSnapshots takes what refers to snapshots out of the metadata: it would
// be found by name and not be there.
func (s *Stores) forgetSnapshots() error {
	db, err := bolt.Open(s.Metadata, 0o644, &bolt.Options{Timeout: openTimeout, NoFreelistSync: true})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer db.Close()
	return db.Update(func(tx *bolt.Tx) error {
		v1 := tx.Bucket([]byte("v1"))
		if v1 == nil {
			return nil
		}
		return v1.ForEachBucket(func(namespace []byte) error {
			b := v1.Bucket(namespace)
			for _, part := range []string{"snapshots", "containers", "leases"} {
				if b.Bucket([]byte(part)) == nil {
					continue
				}
				if err := b.DeleteBucket([]byte(part)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// strayName begins the names of directories that are to be deleted.
const strayName = "new-stray-"

// clearStrays moves away the directories of snapshots that have no record: an
// engine that was killed between the two left them. The name of the next
// snapshot may be theirs.
func (s *Stores) clearStrays(f *Found) error {
	dir := filepath.Join(s.Snapshotter, "snapshots")
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot look for snapshots that were never finished: %w", err)
	}
	for _, e := range entries {
		if _, known := f.named[e.Name()]; known || strings.HasPrefix(e.Name(), strayName) {
			continue
		}
		stray := filepath.Join(dir, fmt.Sprintf("%s%s-%d", strayName, e.Name(), s.Now.UnixNano()))
		if err := os.Rename(filepath.Join(dir, e.Name()), stray); err != nil {
			return fmt.Errorf("cannot move a snapshot away that was never finished: %w", err)
		}
	}
	return nil
}

// RemoveStrays deletes what Repair has moved away, which may take long: anybody
// may use the snapshots meanwhile. What is left when ctx ends is for the next.
func (s *Stores) RemoveStrays(ctx context.Context) error {
	strays, _ := filepath.Glob(filepath.Join(s.Snapshotter, "snapshots", strayName+"*"))
	var errs []error
	for _, stray := range strays {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, os.RemoveAll(stray))
	}
	return errors.Join(errs...)
}
