package engine

import (
	"errors"
	"sync"
	"time"
)

// errEnding is why nothing new is begun.
var errEnding = errors.New("the engine stops: run the command again; containers keep running")

// work counts what is going on in an engine, so that its end waits for it and
// nothing begins after that. A WaitGroup alone does not do: what begins while
// it is waited for is missed.
type work struct {
	mu     sync.Mutex
	going  int           // guarded by mu
	ending bool          // guarded by mu: nothing begins any more
	idle   chan struct{} // guarded by mu; made by end, closed when nothing goes on
}

// begin notes that something begins; done says that it has ended, once. It is an
// errEnding once the engine ends.
func (w *work) begin() (done func(), err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ending {
		return nil, errEnding
	}
	w.going++
	return sync.OnceFunc(w.done), nil
}

func (w *work) done() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.going--; w.going == 0 && w.idle != nil {
		close(w.idle)
		w.idle = nil
	}
}

// run does something beside its caller, unless the engine ends.
func (w *work) run(f func()) {
	done, err := w.begin()
	if err != nil {
		return
	}
	go func() {
		defer done()
		f()
	}()
}

// end lets nothing new begin, and waits for what goes on, for a while at most. It
// says whether that has ended.
func (w *work) end(patience time.Duration) bool {
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
