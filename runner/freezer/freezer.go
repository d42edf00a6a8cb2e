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
	"sync"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
)

// Containers pauses containers, and has them go on. What is to have one go on is nil where
// none was paused, and does nothing once lost was called: somebody else has paused it, or had
// it go on.
type Containers interface {
	Freeze(ctx context.Context, id string, lost func()) (thaw func(context.Context) error, err error)
}

// Freezer holds containers still.
type Freezer struct {
	Containers Containers
	Client     *containerd.Client
	Dir        string // a note of each that is held, so that the next engine knows
	Log        *slog.Logger

	mu   sync.Mutex
	held map[string]*hold // guarded by mu
}

// hold is a container that is held still, by one or several.
type hold struct {
	turn    chan struct{}               // holds a value while somebody pauses it, or has it go on
	entered int                         // guarded by mu of the Freezer: those who hold it, or are about to
	holders int                         // guarded by turn
	goOn    func(context.Context) error // guarded by turn; nil: nothing was paused
	isLost  atomic.Bool                 // to somebody else
}

// thawTimeout bounds how long the processes of a container take to go on.
const thawTimeout = 10 * time.Second

// Freeze holds the processes of a container until thaw is called, and all others who hold it
// have called theirs. One that does not run, or is paused by somebody else, is left as it is.
func (f *Freezer) Freeze(ctx context.Context, id string) (thaw func(), err error) {
	h := f.enter(id)
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		f.leave(id, h)
		return func() {}, context.Cause(ctx)
	}
	defer func() { <-h.turn }()
	if h.goOn == nil || h.isLost.Load() {
		if err := f.begin(ctx, id, h); err != nil {
			f.leave(id, h)
			return func() {}, err
		}
	}
	h.holders++
	return func() { f.end(context.WithoutCancel(ctx), id, h) }, nil
}

func (f *Freezer) enter(id string) *hold {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := f.held[id]
	if h == nil {
		if f.held == nil {
			f.held = map[string]*hold{}
		}
		h = &hold{turn: make(chan struct{}, 1)}
		f.held[id] = h
	}
	h.entered++
	return h
}

func (f *Freezer) leave(id string, h *hold) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.entered--; h.entered == 0 {
		delete(f.held, id)
	}
}

// begin pauses a container. The note comes first: what is paused without one would stay so.
// One that is there already is of a time when it could not go on.
func (f *Freezer) begin(ctx context.Context, id string, h *hold) (err error) {
	if err := os.MkdirAll(f.Dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(f.note(id), nil, 0o600); err != nil {
		return err
	}
	h.isLost.Store(false)
	h.goOn, err = f.Containers.Freeze(ctx, id, func() {
		h.isLost.Store(true)
		f.forget(id)
	})
	if err != nil || h.goOn == nil {
		h.goOn = nil
		f.forget(id)
	}
	return err
}

// forget takes the note of a container away.
func (f *Freezer) forget(id string) {
	if err := os.Remove(f.note(id)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.Log.Warn("the next engine may have a container go on that is paused", "container", id, "error", err)
	}
}

func (f *Freezer) end(ctx context.Context, id string, h *hold) {
	h.turn <- struct{}{} // who has it pauses, or has it go on, and both have a time
	if h.holders--; h.holders == 0 && h.goOn != nil {
		f.thaw(ctx, id, h.goOn)
		h.goOn = nil
	}
	<-h.turn
	f.leave(id, h)
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
	if err := goOn(ctx); err != nil && !errdefs.IsNotFound(err) {
		f.Log.Warn("the processes of a container may stay paused", "container", id, "error", err)
		return
	}
	f.forget(id)
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
