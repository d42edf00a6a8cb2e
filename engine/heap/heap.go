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

var (
	mu    sync.Mutex
	going int // guarded by mu
)

// KeepSmall has the heap collected as that of an engine that does nothing.
func KeepSmall() { debug.SetGCPercent(idle) }

// Grow lets the heap grow further until done is called, which is for as long as many
// objects are made that end with what makes them. Calls may overlap.
func Grow() (done func()) {
	count(1)
	return func() { count(-1) }
}

func count(by int) {
	mu.Lock()
	defer mu.Unlock()
	was := going
	going += by
	switch {
	case was == 0:
		debug.SetGCPercent(busy)
	case going == 0:
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
