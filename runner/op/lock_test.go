package op

import (
	"context"
	"errors"
	"testing"
)

// TestAHolderThatGivesWayIsTold: nobody waits for one that waits for a caller.
func TestAHolderThatGivesWayIsTold(t *testing.T) {
	var first, second Lock
	wanted := make(chan struct{}, 1)
	must(t, first.LockUntilWanted(t.Context(), wanted))
	must(t, second.Lock(t.Context()))
	got := make(chan struct{})
	go func() { must(t, first.Lock(context.Background())); close(got) }()
	// It waits for another lock when the one that it has is wanted.
	if err := second.LockUntilWanted(t.Context(), wanted); !errors.Is(err, ErrWanted) {
		t.Fatalf("%v", err)
	}
	first.Unlock()
	<-got
	first.Unlock()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := second.LockUntilWanted(ended, wanted); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	second.Unlock()
	must(t, second.LockUntilWanted(t.Context(), wanted)) // it is free again
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestWhoWaitsUntilALockIsFreeLeavesItsHolderInPeace(t *testing.T) {
	var l Lock
	wanted := make(chan struct{}, 1)
	if err := l.LockUntilWanted(t.Context(), wanted); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Idle(t.Context()) }()
	select {
	case <-done:
		t.Fatal("it is held, and counts as free")
	case <-wanted:
		t.Fatal("its holder is to give way")
	default:
	}
	l.Unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := l.Lock(t.Context()); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := l.Idle(ended); err == nil {
		t.Error("who is gone still waits")
	}
}
