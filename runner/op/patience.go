package op

import (
	"context"
	"sync"
	"time"
)

// Patience is a grace period that may be shortened while somebody waits for its end.
type Patience struct {
	over context.CancelFunc

	mu    sync.Mutex
	timer *time.Timer // guarded by mu; nil when nobody waits any more
	end   time.Time   // guarded by mu
}

// Begin gives a context that ends with a grace period; End is called when nobody waits
// any more.
func Begin(ctx context.Context, wait time.Duration) (grace context.Context, p *Patience) {
	grace, over := context.WithCancel(ctx)
	return grace, &Patience{over: over, timer: time.AfterFunc(wait, over), end: time.Now().Add(wait)}
}

// Shorten leaves it so much time at most. None, and one that is over, has no time left.
func (p *Patience) Shorten(rest time.Duration) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.timer != nil && time.Until(p.end) > rest {
		p.end = time.Now().Add(rest)
		p.timer.Reset(rest)
	}
}

// End ends it before its time.
func (p *Patience) End() {
	p.mu.Lock()
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	p.mu.Unlock()
	p.over()
}
