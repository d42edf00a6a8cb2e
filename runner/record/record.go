// Package record keeps the records of containers across engines: what each was
// made from with containerd's container, its status in the engine's store. What a
// record says, and what follows from it, is the supervisor's.
package record

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/typeurl/v2"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/runner/supervisor"
)

// Store keeps small documents across engines. Save and Delete take effect at
// once for Load and reach the disk with the next Flush, or soon by themselves.
type Store interface {
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
	Load(bucket string) (map[string][]byte, error)
	Flush() error
}

// Bucket is the bucket of the containers' statuses in the store.
const Bucket = "containers"

// Book is the records of an engine's containers.
type Book struct {
	store Store
	dir   func(id string) string // of a container's files
	log   *slog.Logger
}

// NewBook is the records in a store. dir gives the directory of a container.
func NewBook(store Store, dir func(id string) string, log *slog.Logger) *Book {
	return &Book{store: store, dir: dir, log: log}
}

// Save keeps a container's status.
func (b *Book) Save(id string, s supervisor.Status) {
	doc, err := json.Marshal(s)
	if err != nil {
		b.log.Error("cannot encode the status of a container", "container", id, "error", err)
		return
	}
	b.store.Save(Bucket, id, doc)
}

// Flush brings what was saved to the disk.
func (b *Book) Flush() error { return b.store.Flush() }

// Delete forgets a container's status.
func (b *Book) Delete(id string) { b.store.Delete(Bucket, id) }

// Statuses are the statuses that are kept, by container ID, for Read.
func (b *Book) Statuses() (map[string][]byte, error) { return b.store.Load(Bucket) }

// With makes a container with what it is made from.
func With(m *supervisor.Metadata) containerd.NewContainerOpts {
	return func(_ context.Context, _ *containerd.Client, k *containers.Container) error { return m.Extend(k) }
}

// Amend changes what a container was made from, and the document that its next
// process is made from, in one step: both hold, or neither. The document may
// be left as it is.
func Amend(ctx context.Context, ctr containerd.Container, made *supervisor.Metadata, doc func(*specs.Spec)) error {
	err := ctr.Update(ctx, func(_ context.Context, _ *containerd.Client, k *containers.Container) error {
		if doc != nil {
			if err := redocument(k, doc); err != nil {
				return err
			}
		}
		return made.Extend(k)
	})
	if err != nil {
		return fmt.Errorf("cannot change the record of %s: %w", made.Name, err)
	}
	return nil
}

// redocument changes the document that a container's next process is made from.
func redocument(k *containers.Container, change func(doc *specs.Spec)) error {
	var doc specs.Spec
	if err := json.Unmarshal(k.Spec.GetValue(), &doc); err != nil {
		return err
	}
	change(&doc)
	encoded, err := typeurl.MarshalAny(&doc)
	if err == nil {
		k.Spec = encoded
	}
	return err
}

// Read reads the record of a container of an earlier engine, of which the
// store has doc or nothing. That of an engine which kept it elsewhere is
// carried over. ErrNoMetadata says that there is none.
func (b *Book) Read(ctx context.Context, ctr containerd.Container, doc []byte) (supervisor.Record, error) {
	k, err := ctr.Info(ctx, containerd.WithoutRefreshedMetadata)
	if err != nil {
		return supervisor.Record{}, err
	}
	rec, err := supervisor.ReadRecord(&k, doc)
	path := filepath.Join(b.dir(ctr.ID()), "record.json")
	if err == nil {
		_ = os.Remove(path) // of an engine that was lost while it carried it over
		return rec, nil
	}
	if !errors.Is(err, supervisor.ErrNoMetadata) {
		return rec, err
	}
	first, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return rec, err
	}
	if rec, err = supervisor.ReadOldRecord(doc, first); err != nil {
		return rec, err
	}
	update := func(_ context.Context, _ *containerd.Client, k *containers.Container) error { return rec.Extend(k) }
	if err := ctr.Update(ctx, update); err != nil {
		return rec, fmt.Errorf("cannot carry the record of %s over from an earlier version: %w", rec.Name, err)
	}
	if rec.State != supervisor.Unknown {
		b.Save(rec.ID, rec.Status)
	}
	_ = os.Remove(path)
	return rec, nil
}
