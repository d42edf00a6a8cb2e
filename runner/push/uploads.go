package push

import (
	"context"
	"sync"
)

// Uploads are the blobs that are being sent, over all pushes. The zero value is ready.
type Uploads struct {
	mu   sync.Mutex
	busy map[string]chan struct{} // guarded by mu: registry and digest -> closed at the end
}

// enter notes an upload, once no other one of the same blob to the same registry is under way, until
// done is called. It says whether it has waited for one.
func (u *Uploads) enter(ctx context.Context, key string) (waited bool, done func(), err error) {
	if u == nil {
		return false, func() {}, nil
	}
	for {
		other, mine := u.take(key)
		if other == nil {
			return waited, func() { u.leave(key, mine) }, nil
		}
		waited = true
		select {
		case <-other:
		case <-ctx.Done():
			return waited, nil, context.Cause(ctx)
		}
	}
}

// take gives the end of the upload that is under way, or notes another one.
func (u *Uploads) take(key string) (other, mine chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if other = u.busy[key]; other != nil {
		return other, nil
	}
	if u.busy == nil {
		u.busy = map[string]chan struct{}{}
	}
	mine = make(chan struct{})
	u.busy[key] = mine
	return nil, mine
}

func (u *Uploads) leave(key string, mine chan struct{}) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.busy, key)
	close(mine)
}
