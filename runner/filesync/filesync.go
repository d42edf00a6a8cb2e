// Package filesync writes files into all containers of a service: through the root file systems of those that run as
// their processes see them, and of the others as theirs will when they are started.
package filesync

import (
	"context"
	"errors"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/op"
	"github.com/orlop/orlop/runner/rootfs"
)

// Runner has the containers.
type Runner interface {
	Containers(project string) []planner.Container
	// OpenRoot opens the root of a container; of one that doesn't run it is to be released soon once wanted tells that
	// others wait. The error is a rootfs.ErrGone once it is removed.
	OpenRoot(ctx context.Context, id string, wanted chan struct{}) (root *rootfs.Root, release func(), err error)
}

// Sync is a batch of files for the containers of a service.
type Sync struct {
	*rootfs.Batch
	Still   int // containers among them that don't run
	release []func()
	wanted  chan struct{}
}

// Wanted tells that another command waits for a container of the sync that does
// not run: the sync is to be closed, and tried again.
func (s *Sync) Wanted() <-chan struct{} { return s.wanted }

// ErrWanted is why a sync that is wanted ends.
func (s *Sync) ErrWanted() error { return op.ErrWanted }

// Open opens the containers of a service, of which there may be none. One that doesn't run is
// not started before Close.
func Open(ctx context.Context, r Runner, project, service string) (*Sync, error) {
	s := &Sync{Batch: rootfs.NewBatch(), wanted: make(chan struct{}, 1)}
	for _, c := range r.Containers(project) {
		if c.Service != service || c.OneOff {
			continue
		}
		root, release, err := r.OpenRoot(ctx, c.ID, s.wanted)
		if errors.Is(err, rootfs.ErrGone) {
			continue
		}
		if err != nil {
			s.Close()
			return nil, err
		}
		if release != nil {
			s.release = append(s.release, release)
			s.Still++
		}
		s.Add(root)
	}
	return s, nil
}

// Close ends the sync; a file that was not finished is dropped.
func (s *Sync) Close() {
	s.Batch.Close()
	for _, release := range s.release {
		release()
	}
	s.release = nil
}
