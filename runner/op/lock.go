// Package op serialises what is done to one thing: who starts, stops or removes a
// container holds its lock. Waiting for one can be given up, and who may hold one for
// long gives way. It knows no container.
package op

import (
	"context"
	"errors"
	"sync"
)

// ErrWanted is why who gives way does not get, or keep, a lock.
var ErrWanted = errors.New("another command changes the container")

// Lock is held by whoever starts, stops or removes a container. Who holds it
// for a caller that may take its time is told when others want it.
type Lock struct {
	mu     sync.Mutex
	slot   chan struct{} // guarded by mu; holds a value while the lock is held
	wanted chan struct{} // guarded by mu; of the holder that gives way, else nil
}

func (l *Lock) place() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slot == nil {
		l.slot = make(chan struct{}, 1)
	}
	return l.slot
}

// Lock takes the lock, unless ctx ends before it is free. A holder that gives
// way is told so.
func (l *Lock) Lock(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	slot := l.place()
	select {
	case slot <- struct{}{}:
		return nil
	default:
	}
	l.want()
	select {
	case slot <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Idle waits until the lock is free, and lets whoever holds it take his time.
func (l *Lock) Idle(ctx context.Context) error {
	slot := l.place()
	select {
	case slot <- struct{}{}:
		<-slot
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *Lock) want() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.wanted == nil {
		return
	}
	select {
	case l.wanted <- struct{}{}:
	default:
	}
}

// Unlock gives the lock back.
func (l *Lock) Unlock() {
	l.mu.Lock()
	l.wanted = nil
	l.mu.Unlock()
	<-l.place()
}

// LockUntilWanted takes the lock for a holder that gives way: wanted, which has
// room for one, gets a value when somebody waits for the lock. It is given up
// when ctx ends, or where something that is held already is wanted.
func (l *Lock) LockUntilWanted(ctx context.Context, wanted chan struct{}) error {
	select {
	case l.place() <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-wanted:
		return ErrWanted
	}
	l.mu.Lock()
	l.wanted = wanted
	l.mu.Unlock()
	return nil
}
