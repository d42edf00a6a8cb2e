package files

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/orlop/orlop/runner/op"
	"github.com/orlop/orlop/runner/rootfs"
)

// opened is the root of a container that is read or written.
type opened struct {
	*rootfs.Root
	ctx     context.Context // ends when another command wants the container
	release func()
}

// roots are those of containers that do not run which are open. Who opens one shares it: a
// copy between two paths of a container would else wait for itself.
type roots struct {
	mu   sync.Mutex
	open map[string]*held // guarded by mu
}

// held is a root that is open, or about to be.
type held struct {
	ready   chan struct{} // closed once it is open, or won't be
	gone    chan struct{} // closed once another one may be opened
	root    *rootfs.Root  // nil: there is none to share
	release func()
	ctx     context.Context // ends when another command wants the container
	cancel  context.CancelCauseFunc
	users   int // guarded by mu of roots
}

// open opens the root of a container. What is done with it ends when somebody is to start
// or remove the container.
func (s *Server) open(ctx context.Context, id string) (*opened, error) {
	for {
		h, isFirst := s.roots.at(id)
		if isFirst {
			return s.openFirst(ctx, id, h)
		}
		select {
		case <-h.ready:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if s.roots.share(h) {
			return s.sharing(ctx, id, h), nil
		}
		select {
		case <-h.gone:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// at is what is open of a container; the first who asks is to open it.
func (r *roots) at(id string) (_ *held, isFirst bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h := r.open[id]; h != nil {
		return h, false
	}
	if r.open == nil {
		r.open = map[string]*held{}
	}
	h := &held{ready: make(chan struct{}), gone: make(chan struct{}), users: 1}
	r.open[id] = h
	return h, true
}

// share says whether a root that is ready has one more user.
func (r *roots) share(h *held) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if h.root == nil || h.users == 0 || h.ctx.Err() != nil {
		return false
	}
	h.users++
	return true
}

// leave is to be called once by each user. The last closes the root.
func (r *roots) leave(id string, h *held) {
	r.mu.Lock()
	h.users--
	isLast := h.users == 0
	r.mu.Unlock()
	if !isLast {
		return
	}
	if h.root != nil {
		h.cancel(nil)
		h.root.Close()
		h.release()
	}
	r.mu.Lock()
	delete(r.open, id)
	r.mu.Unlock()
	close(h.gone)
}

func (s *Server) openFirst(ctx context.Context, id string, h *held) (*opened, error) {
	wanted := make(chan struct{}, 1)
	root, release, err := s.Containers.OpenRoot(ctx, id, wanted)
	if err == nil && release != nil {
		h.root, h.release = root, release
		h.ctx, h.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
		go func() {
			select {
			case <-wanted:
				h.cancel(op.ErrWanted)
			case <-h.ctx.Done():
			}
		}()
		close(h.ready)
		return s.sharing(ctx, id, h), nil
	}
	close(h.ready)
	s.roots.leave(id, h)
	if err != nil {
		return nil, wantedError(err)
	}
	return &opened{Root: root, ctx: ctx, release: root.Close}, nil // it runs: nobody waits for who reads it
}

func (s *Server) sharing(ctx context.Context, id string, h *held) *opened {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(h.ctx, func() { cancel(context.Cause(h.ctx)) })
	return &opened{Root: h.root, ctx: ctx, release: func() {
		stop()
		cancel(nil)
		s.roots.leave(id, h)
	}}
}

func wantedError(err error) error {
	if errors.Is(err, op.ErrWanted) {
		return fmt.Errorf("%w, which ends the copy: run it again", err)
	}
	return err
}

// sending sends as long as ctx has not ended: a reader who takes nothing keeps nobody from
// what is held. What is sent must stay as it is if it ends.
func sending[M any](ctx context.Context, send func(M) error) func(M) error {
	return func(m M) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		sent := make(chan error, 1)
		go func() { sent <- send(m) }() // ends with the stream, which ends with its handler
		select {
		case err := <-sent:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
