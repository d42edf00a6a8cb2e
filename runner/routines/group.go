// Package routines is groups of goroutines that end with who has them.
package routines

import "sync"

// Group is goroutines that are waited for. None begins once they are.
type Group struct {
	mu     sync.Mutex
	closed bool // guarded by mu
	wg     sync.WaitGroup
}

// Go runs f, unless the end is waited for.
func (g *Group) Go(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.wg.Go(f)
	}
}

// Wait lets nothing begin any more and returns when all has ended.
func (g *Group) Wait() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}
