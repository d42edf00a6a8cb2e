package runner

import (
	"context"
	"sync"
)

// opLock is held by whoever starts, stops or removes a container. Who holds it
// for a caller that may take its time is told when others want it.
type opLock struct {
	mu     sync.Mutex
	slot   chan struct{} // guarded by mu; holds a value while the lock is held
	wanted chan struct{} // guarded by mu; of the holder that gives way, else nil
}

func (l *opLock) place() chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.slot == nil {
		l.slot = make(chan struct{}, 1)
	}
	return l.slot
}

// Lock takes the lock, unless ctx ends before it is free. A holder that gives
// way is told so.
func (l *opLock) Lock(ctx context.Context) error {
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

func (l *opLock) want() {
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
func (l *opLock) Unlock() {
	l.mu.Lock()
	l.wanted = nil
	l.mu.Unlock()
	<-l.place()
}

// lockUntilWanted takes the lock for a holder that gives way: wanted, which has
// room for one, gets a value when somebody waits for the lock. It is given up
// when ctx ends, or where something that is held already is wanted.
func (l *opLock) lockUntilWanted(ctx context.Context, wanted chan struct{}) error {
	select {
	case l.place() <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-wanted:
		return errWanted
	}
	l.mu.Lock()
	l.wanted = wanted
	l.mu.Unlock()
	return nil
}
