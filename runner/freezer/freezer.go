// Package freezer holds the processes of a container still for a moment, while somebody
// reads its files. An engine that is killed meanwhile is followed by one that lets them go
// on. It knows nothing of what a container is wanted to be.
package freezer

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
)

// Containers pauses containers, and has them go on. What is to have one go on is nil where
// none was paused.
type Containers interface {
	Freeze(ctx context.Context, id string) (thaw func(context.Context) error, err error)
}

// Freezer holds containers still.
type Freezer struct {
	Containers Containers
	Client     *containerd.Client
	Dir        string // a note of each that is held, so that the next engine knows
	Log        *slog.Logger
}

// thawTimeout bounds how long the processes of a container take to go on.
const thawTimeout = 10 * time.Second

// Freeze holds the processes of a container until thaw is called. One that does not run, or
// is paused by somebody else, is left as it is.
func (f *Freezer) Freeze(ctx context.Context, id string) (thaw func(), err error) {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return nil, err
	}
	// The note comes first: what is paused without one would stay so.
	note, err := os.OpenFile(f.note(id), os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil // somebody else holds it
	}
	if err != nil {
		return nil, err
	}
	note.Close()
	goOn, err := f.Containers.Freeze(ctx, id)
	if err != nil || goOn == nil {
		return func() {}, errors.Join(err, os.Remove(f.note(id)))
	}
	return func() { f.thaw(context.WithoutCancel(ctx), id, goOn) }, nil
}

func (f *Freezer) note(id string) string { return filepath.Join(f.Dir, id) }

// task is the process of a container; nil where there is none.
func (f *Freezer) task(ctx context.Context, id string) (containerd.Task, error) {
	c, err := f.Client.LoadContainer(ctx, id)
	if err != nil {
		return nil, err
	}
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return nil, nil
	}
	return task, err
}

func (f *Freezer) thaw(ctx context.Context, id string, goOn func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, thawTimeout)
	defer cancel()
	err := goOn(ctx)
	if err == nil || errdefs.IsNotFound(err) {
		err = os.Remove(f.note(id))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Log.Warn("the processes of a container may stay paused", "container", id, "error", err)
	}
}

func (f *Freezer) resume(ctx context.Context, id string) error {
	task, err := f.task(ctx, id)
	if err != nil || task == nil {
		return err
	}
	status, err := task.Status(ctx)
	if err != nil || status.Status != containerd.Paused && status.Status != containerd.Pausing {
		return err
	}
	if err := task.Resume(ctx); err != nil {
		return fmt.Errorf("cannot resume it: %w", err)
	}
	return nil
}

// ThawAll lets the processes go on that an engine before this one held. It is to be called
// before their containers are adopted.
func (f *Freezer) ThawAll(ctx context.Context) {
	entries, err := os.ReadDir(f.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Log.Warn("cannot tell which containers an earlier engine held", "error", err)
	}
	for _, e := range entries {
		f.thaw(ctx, e.Name(), func(ctx context.Context) error { return f.resume(ctx, e.Name()) })
	}
}
