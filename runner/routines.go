package runner

import "sync"

// routines are the goroutines of the supervision. None begins once they are
// waited for.
type routines struct {
	mu     sync.Mutex
	closed bool // guarded by mu
	wg     sync.WaitGroup
}

// Go runs f, unless the end is waited for.
func (g *routines) Go(f func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.closed {
		g.wg.Go(f)
	}
}

// Wait lets nothing begin any more and returns when all has ended.
func (g *routines) Wait() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	g.wg.Wait()
}
