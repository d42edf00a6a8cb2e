package engine

import (
	"context"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

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

// spokenSync is a caller that sends messages and then ends, or breaks.
type spokenSync struct {
	api.Engine_SyncServer
	says []*api.SyncInput
	end  error
}

func (s *spokenSync) Recv() (*api.SyncInput, error) {
	if len(s.says) == 0 {
		return nil, s.end
	}
	m := s.says[0]
	s.says = s.says[1:]
	return m, nil
}

// keptBatch keeps what it is to write.
type keptBatch struct{ entries []rootfs.Entry }

func (b *keptBatch) Apply(entries []rootfs.Entry) { b.entries = append(b.entries, entries...) }
func (b *keptBatch) Wanted() <-chan struct{}      { return nil }
func (b *keptBatch) ErrWanted() error             { return errTestWanted }

func TestASyncWritesWhatItIsSentInOrder(t *testing.T) {
	b := &keptBatch{}
	first := &api.SyncInput{Entries: []*api.SyncEntry{
		{Kind: api.SyncEntry_DIRECTORY, Path: "/app", Mode: 0o750}, {Kind: api.SyncEntry_SYMLINK, Path: "/app/l", Link: "x"},
	}}
	stream := &spokenSync{end: io.EOF, says: []*api.SyncInput{
		{Entries: []*api.SyncEntry{{Path: "/app/f", Content: []byte("a"), Unfinished: true, InPlace: true}}},
		{Entries: []*api.SyncEntry{{Kind: api.SyncEntry_MORE, Content: []byte("b"), Anew: true}, {Kind: api.SyncEntry_REMOVE, Path: "/old"}}},
	}}
	cut, err := applyAll(first, stream, b)
	want := []rootfs.Entry{
		{Kind: rootfs.EntryDirectory, Path: "/app", Mode: 0o750}, {Kind: rootfs.EntrySymlink, Path: "/app/l", Link: "x"},
		{Kind: rootfs.EntryFile, Path: "/app/f", Content: []byte("a"), Unfinished: true, InPlace: true},
		{Kind: rootfs.EntryMore, Content: []byte("b"), Anew: true}, {Kind: rootfs.EntryRemove, Path: "/old"},
	}
	if err != nil || cut != "" || !reflect.DeepEqual(b.entries, want) {
		t.Errorf("%q, %v: it writes %+v", cut, err, b.entries)
	}
}

func TestASyncWhoseCallerBreaksOffFails(t *testing.T) {
	gone := errors.New("gone")
	if _, err := applyAll(&api.SyncInput{}, &spokenSync{end: gone}, &keptBatch{}); !errors.Is(err, gone) {
		t.Errorf("it says %v", err)
	}
}

// TestASyncDoesNotWaitForEver: what it holds can't be started meanwhile.
func TestASyncDoesNotWaitForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		began := time.Now()
		_, err := applyAll(&api.SyncInput{}, silentSync{ctx: ctx}, &keptBatch{})
		if err == nil || time.Since(began) != idleSync {
			t.Errorf("after %s it says %v", time.Since(began), err)
		}
	})
}
