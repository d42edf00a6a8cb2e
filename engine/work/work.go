// Package work counts what is going on, so that an end waits for it.
package work

import (
	"errors"
	"sync"
	"time"
)

// ErrEnding is why nothing new is begun.
var ErrEnding = errors.New("the engine stops: run the command again; containers keep running")

// Group counts what is going on in an engine, so that its end waits for it and
// nothing begins after that. A WaitGroup alone does not do: what begins while
// it is waited for is missed.
type Group struct {
	mu     sync.Mutex
	going  int           // guarded by mu
	ending bool          // guarded by mu: nothing begins any more
	idle   chan struct{} // guarded by mu; made by end, closed when nothing goes on
}

// Begin notes that something begins; done says that it has ended, once. It is an
// ErrEnding once the engine ends.
func (w *Group) Begin() (done func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending {
		return nil, ErrEnding
	}
	w.going++
	return sync.OnceFunc(w.done), nil
}

func (w *Group) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.going--; w.going == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// Run does something beside its caller, unless the engine ends.
func (w *Group) Run(f func()) {
	done, err := w.Begin()
	if err != nil {
		return
	}
	go func() {
		defer done()
		f()
	}()
}

// End lets nothing new begin, and waits for what goes on, for a while at most. It
// says whether that has ended.
func (w *Group) End(patience time.Duration) bool {
	w.mu.Lock()
	w.ending = true
	if w.going == 0 {
		w.mu.Unlock()
		return true
	}
	if w.idle == nil {
		w.idle = make(chan struct{})
	}
	idle := w.idle
	w.mu.Unlock()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
		return false
	}
}
