package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
)

// Wishes are what an engine asked of its keeper's future, and what the keeper
// says of itself; [Run] gives its own.
type Wishes struct {
	Quit   func()
	Reexec func()
	Status func() Status
}

// Serve carries out the requests of one engine on the holdings until the
// connection ends, and closes it. What the engine published and had kept stays.
func Serve(c *net.UnixConn, h *Holdings, w Wishes) error {
	ctx, cancel := context.WithCancel(context.Background())
	out := &outbox{conn: c}
	var drains sync.WaitGroup
	defer func() {
		cancel()
		drains.Wait()
		c.Close()
	}()
	for {
		var req request
		files, err := readFrame(c, &req)
		if err != nil {
			return controlError(err)
		}
		if req.Op == opDrain { // the only one that waits for something
			drains.Go(func() { _ = out.send(drain(ctx, h, req), nil) }) // a lost connection ends the loop
			continue
		}
		rep, lent := handle(ctx, h, w, req, files)
		closeFiles(files)
		err = out.send(rep, lent)
		closeFiles(lent)
		if err != nil {
			return controlError(err)
		}
	}
}

// controlError is why the connection ended, nil if the engine has ended it.
func controlError(err error) error {
	if isEnd(err) {
		return nil
	}
	return fmt.Errorf("control connection: %w", err)
}

// outbox sends one reply at a time.
type outbox struct {
	mu   sync.Mutex
	conn *net.UnixConn
}

func (o *outbox) send(rep reply, files []*os.File) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return writeFrame(o.conn, rep, files)
}

func drain(ctx context.Context, h *Holdings, req request) reply {
	busy, err := h.Drain(ctx, req.Key, req.Patience)
	rep := reply{ID: req.ID, Busy: busy}
	if err != nil {
		rep.fail(err)
	}
	return rep
}

func handle(ctx context.Context, h *Holdings, w Wishes, req request, files []*os.File) (rep reply, out []*os.File) {
	rep.ID = req.ID
	var err error
	switch req.Op {
	case opListen:
		if req.Port == nil {
			err = errors.New("listen without a port")
			break
		}
		bound, lerr := h.Listen(ctx, *req.Port)
		rep.Bound, err = bound.String(), lerr
	case opRoute:
		if req.Route == nil {
			err = errors.New("route without a route")
			break
		}
		err = h.Route(ctx, req.Key, *req.Route)
	case opClose:
		err = h.Close(ctx, req.Key)
	case opPorts:
		rep.Ports, err = h.Ports(ctx)
	case opKeep:
		err = h.Keep(ctx, req.Key, files...)
	case opTake:
		out, err = h.Take(ctx, req.Key)
	case opDrop:
		err = h.Drop(ctx, req.Key)
	case opKept:
		rep.Keys, err = h.Kept(ctx)
	case opStatus:
		s := w.status()
		s.Ports, s.Kept = h.counts()
		rep.Status = &s
	case opQuit:
		call(w.Quit)
	case opReexec:
		call(w.Reexec)
	default:
		err = fmt.Errorf("this keeper knows no request %q: restart it (orlop engine stop)", req.Op)
	}
	if err != nil {
		rep.fail(err)
	}
	return rep, out
}

func (w Wishes) status() Status {
	if w.Status == nil {
		return Status{PID: os.Getpid()}
	}
	return w.Status()
}

func call(f func()) {
	if f != nil {
		f()
	}
}
