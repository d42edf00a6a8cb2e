// Package heap says how much memory the engine takes before the garbage of its heap is
// collected.
package heap

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// How much a heap may grow before it is collected, in percent of what is in use of it.
// What is freed is written over (docs/adr/what-stays-of-secrets.md), so that a collection
// costs more than elsewhere; an idle engine is to be small.
const (
	idle = 60
	busy = 200
	room = 40 << 20 // bytes that a heap may grow by, for as long as that is more than the percentage of an idle engine
)

// rest is how long nobody must be at work for the heap to be small again: a change of the
// percentage waits for a collection that is under way, and commands come in a row.
const rest = time.Second

// Governor says how much the heap of the process may grow. There is one; its zero value is ready.
type Governor struct {
	mu      sync.Mutex  // held while the percentage is set: calls that meet must not cross
	going   int         // guarded by mu
	isLarge bool        // guarded by mu: it may grow
	follows bool        // guarded by mu: the next collection is told
	told    func()      // of a test: called when a collection has been
	resting *time.Timer // guarded by mu: until it is to be small again
}

// KeepSmall has the heap collected as that of an engine that does nothing.
func (g *Governor) KeepSmall() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.going > 0 {
		return
	}
	debug.SetGCPercent(idle)
	g.isLarge = false
}

// Grow lets the heap grow further until a while after done is called, which is for as long
// as many objects are made that end with what makes them. Calls may overlap.
func (g *Governor) Grow() (done func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.going++
	if g.resting != nil {
		g.resting.Stop()
	}
	if !g.isLarge {
		g.isLarge = true
		debug.SetGCPercent(percent(live()))
		g.follow()
	}
	return g.done
}

// follow adjusts how much the heap may grow after each collection, as long as it may grow: one that has become large need not become
// three times as large. The caller holds mu.
func (g *Governor) follow() {
	if g.follows {
		return
	}
	g.follows = true
	type mark struct{ _ [16]byte } // large enough to be an object of its own
	runtime.AddCleanup(new(mark), func(g *Governor) {
		go func() { // cleanups wait for each other
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.follows = false; g.isLarge {
				debug.SetGCPercent(percent(live()))
				g.follow()
			}
			if g.told != nil {
				g.told()
			}
		}()
	}, g)
}

// percent is how much a heap may grow of which so many bytes are in use, while many objects are made.
func percent(live uint64) int {
	return int(max(idle, min(busy, 100*room/max(live, 1))))
}

// live is what the last collection has left, in bytes.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func (g *Governor) done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.going--; g.going == 0 {
		g.resting = time.AfterFunc(rest, g.KeepSmall)
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
