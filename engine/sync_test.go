package engine

import (
	"context"
	"errors"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/rootfs"
)

// silentSync is a caller that has more to send, and doesn't.
type silentSync struct {
	api.Engine_SyncServer
	ctx context.Context
}

func (s silentSync) Recv() (*api.SyncInput, error) {
	<-s.ctx.Done()
	return nil, s.ctx.Err()
}

type wantedBatch struct {
	applied int
	wanted  chan struct{}
}

var errTestWanted = errors.New("wanted")

func (b *wantedBatch) Apply(entries []rootfs.Entry) { b.applied += len(entries) }
func (b *wantedBatch) Wanted() <-chan struct{}      { return b.wanted }
func (b *wantedBatch) ErrWanted() error             { return errTestWanted }

// TestACutSyncSaysWhatItHasWritten: the one that follows finds it there, and
// would not tell of it.
func TestACutSyncSaysWhatItHasWritten(t *testing.T) {
	b := &wantedBatch{wanted: make(chan struct{}, 1)}
	b.wanted <- struct{}{}
	first := &api.SyncInput{Entries: []*api.SyncEntry{{Path: "/app/state", Content: []byte("good")}}}
	cut, err := applyAll(first, silentSync{ctx: t.Context()}, b)
	if err != nil || cut != errTestWanted.Error() || b.applied != 1 {
		t.Errorf("cut %q, %v, %d applied", cut, err, b.applied)
	}
}
