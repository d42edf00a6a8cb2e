// Package heap says how much memory the engine takes before the garbage of its heap is
// collected.
package heap

import (
	"runtime/debug"
	"sync"
)

// How much a heap may grow before it is collected, in percent of what is in use of it.
// What is freed is written over (docs/adr/what-stays-of-secrets.md), so that a collection
// costs more than elsewhere; an idle engine is to be small.
const (
	idle = 60
	busy = 200
)

// Governor says how much the heap of the process may grow. There is one; its zero value is ready.
type Governor struct {
	mu    sync.Mutex // held while the percentage is set: calls that meet must not cross
	going int        // guarded by mu
}

// KeepSmall has the heap collected as that of an engine that does nothing.
func (g *Governor) KeepSmall() { debug.SetGCPercent(idle) }

// Grow lets the heap grow further until done is called, which is for as long as many
// objects are made that end with what makes them. Calls may overlap.
func (g *Governor) Grow() (done func()) {
	g.count(1)
	return func() { g.count(-1) }
}

func (g *Governor) count(by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	was := g.going
	g.going += by
	switch {
	case was == 0:
		debug.SetGCPercent(busy)
	case g.going == 0:
		debug.SetGCPercent(idle)
	}
}

// Wipe gives back to the system, and writes over, what is no longer in use: the
// secrets of a project that is gone are among it. The collector alone may take
// minutes to come by where nothing happens.
func Wipe() {
	for range 3 { // what a pool keeps is free after two collections
		debug.FreeOSMemory()
	}
}
