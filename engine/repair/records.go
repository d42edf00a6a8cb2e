package repair

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/metadata/boltutil"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// openTimeout bounds the wait for a database that another process has open.
const openTimeout = 5 * time.Second

// guarded calls read and makes an error of a panic: what decodes a record may
// believe it.
func guarded(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("a record can't be read: %v", p)
		}
	}()
	return read()
}

// view reads a database whose pages are sound.
func view(path string, read func(tx *bolt.Tx) error) error {
	return guarded(func() error {
		db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: openTimeout})
		if err != nil {
			return err
		}
		defer db.Close()
		return db.View(read)
	})
}

// readMetadata reads all that containerd's metadata holds as containerd does, and
// gives the IDs of the containers of a namespace.
func readMetadata(path, namespace string) (known map[string]bool, err error) {
	if err := CheckPages(path); err != nil {
		return nil, err
	}
	known = map[string]bool{}
	err = view(path, func(tx *bolt.Tx) error {
		ctx := boltutil.WithTransaction(context.Background(), tx)
		names, err := metadata.NewNamespaceStore(tx).List(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := readNamespace(namespaces.WithNamespace(ctx, name), tx, name); err != nil {
				return fmt.Errorf("in namespace %s: %w", name, err)
			}
		}
		b := bucketAt(tx, "v1", namespace, "containers")
		if b == nil {
			return nil
		}
		return b.ForEachBucket(func(id []byte) error {
			known[string(id)] = true
			return nil
		})
	})
	return known, err
}

// bucketAt gives a bucket by its path; nil if there is none.
func bucketAt(tx *bolt.Tx, path ...string) *bolt.Bucket {
	b := tx.Bucket([]byte(path[0]))
	for _, name := range path[1:] {
		if b == nil {
			return nil
		}
		b = b.Bucket([]byte(name))
	}
	return b
}

// readNamespace reads the records of a namespace. ctx carries it, and the
// transaction.
func readNamespace(ctx context.Context, tx *bolt.Tx, name string) error {
	db := metadata.NewDB(nil, nil, nil)
	if _, err := metadata.NewContainerStore(db).List(ctx); err != nil {
		return fmt.Errorf("containers: %w", err)
	}
	if _, err := metadata.NewImageStore(db).List(ctx); err != nil {
		return fmt.Errorf("images: %w", err)
	}
	if _, err := metadata.NewLeaseManager(db).List(ctx); err != nil {
		return fmt.Errorf("leases: %w", err)
	}
	if _, err := metadata.NewSandboxStore(db).List(ctx); err != nil {
		return fmt.Errorf("sandboxes: %w", err)
	}
	if err := db.ContentStore().Walk(ctx, func(content.Info) error { return nil }); err != nil {
		return fmt.Errorf("content: %w", err)
	}
	all := bucketAt(tx, "v1", name, "snapshots")
	if all == nil {
		return nil
	}
	return all.ForEachBucket(func(snapshotter []byte) error {
		list := all.Bucket(snapshotter)
		return list.ForEachBucket(func(key []byte) error { return readSnapshot(list.Bucket(key)) })
	})
}

// readSnapshot reads what the metadata says of a snapshot.
func readSnapshot(b *bolt.Bucket) error {
	var created, updated time.Time
	_, err := boltutil.ReadLabels(b)
	if err := errors.Join(err, boltutil.ReadTimestamps(b, &created, &updated)); err != nil {
		return fmt.Errorf("snapshots: %w", err)
	}
	if len(b.Get([]byte("name"))) == 0 {
		return errors.New("snapshots: one has no name")
	}
	return nil
}

// readSnapshotter reads the records of the snapshotter in a directory, as it
// does. Each must have its files. It gives the names of the directories that
// have records.
func readSnapshotter(dir string) (known map[string]string, err error) {
	path := filepath.Join(dir, snapshotterDB)
	if err := CheckPages(path); err != nil {
		return nil, err
	}
	err = guarded(func() error {
		store, err := storage.NewMetaStore(path, func(o *bolt.Options) error {
			o.ReadOnly, o.Timeout = true, openTimeout
			return nil
		})
		if err != nil {
			return err
		}
		defer store.Close()
		return store.WithTransaction(context.Background(), false, func(ctx context.Context) error {
			known, err = storage.IDMap(ctx)
			if errdefs.IsNotFound(err) { // it was never written to
				known = map[string]string{}
				return nil
			}
			if err != nil {
				return err
			}
			all := names(known)
			return storage.WalkInfo(ctx, func(_ context.Context, info snapshots.Info) error {
				if info.Kind == snapshots.KindUnknown || info.Parent != "" && !all[info.Parent] {
					return fmt.Errorf("the record of snapshot %s can't be", info.Name)
				}
				return nil
			})
		})
	})
	if err != nil {
		return nil, err
	}
	return known, nil
}

// names are those of snapshots, by the names of their directories.
func names(known map[string]string) map[string]bool {
	out := map[string]bool{}
	for _, name := range known {
		out[name] = true
	}
	return out
}

// IsDamage says that what keeps a file from being read is in the file. One that
// another process has, or that the kernel fails to open or to read (EIO, ENOMEM), may
// be whole: to take it for damaged would be the damage.
func IsDamage(err error) bool {
	_, unread := errors.AsType[unix.Errno](err)
	return !unread && !errors.Is(err, bolterrors.ErrTimeout)
}
