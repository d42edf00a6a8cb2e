package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
)

// Conn is the engine's side of the control connection. Its methods may be
// called from any goroutine; requests are carried out in the order of the calls.
type Conn struct {
	conn *net.UnixConn
	done chan struct{}

	send sync.Mutex // one frame at a time; also orders ids

	mu      sync.Mutex
	last    uint64
	pending map[uint64]chan answer
	lost    error
}

type answer struct {
	reply reply
	files []*os.File
}

// Dial takes over the control connection that the engine inherited as
// descriptor fd, which is [ControlFD].
func Dial(fd uintptr) (*Conn, error) {
	f := os.NewFile(fd, "keeper")
	if f == nil {
		return nil, fmt.Errorf("descriptor %d is not open: start the engine by orlopd", fd)
	}
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d is not a control connection: start the engine by orlopd: %w", fd, err)
	}
	uc, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("descriptor %d is not a control connection: start the engine by orlopd", fd)
	}
	return NewConn(uc), nil
}

// NewConn speaks to a keeper over an established connection, which it owns.
func NewConn(c *net.UnixConn) *Conn {
	conn := &Conn{conn: c, done: make(chan struct{}), pending: map[uint64]chan answer{}}
	go conn.receive()
	return conn
}

// Done is closed when the keeper is gone. An engine then has to leave: nobody
// would hold what it publishes.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Hangup closes the connection; pending calls fail.
func (c *Conn) Hangup() error { return c.conn.Close() }

func (c *Conn) receive() {
	for {
		var a answer
		var err error
		a.files, err = readFrame(c.conn, &a.reply)
		if err != nil {
			c.fail(err)
			return
		}
		c.mu.Lock()
		waiter, ok := c.pending[a.reply.ID]
		delete(c.pending, a.reply.ID)
		c.mu.Unlock()
		if !ok {
			closeFiles(a.files) // its caller gave up
			continue
		}
		waiter <- a
	}
}

func (c *Conn) fail(err error) {
	c.mu.Lock()
	c.lost = fmt.Errorf("the keeper is gone: %w", err)
	waiters := c.pending
	c.pending = map[uint64]chan answer{}
	c.mu.Unlock()
	for _, w := range waiters {
		close(w)
	}
	c.conn.Close()
	close(c.done)
}

func (c *Conn) call(ctx context.Context, req request, files ...*os.File) (answer, error) {
	waiter := make(chan answer, 1)
	if err := c.post(&req, files, waiter); err != nil {
		return answer{}, err
	}
	select {
	case a, ok := <-waiter:
		if !ok {
			return answer{}, c.lostErr()
		}
		return a, a.reply.err()
	case <-ctx.Done():
		c.mu.Lock()
		delete(c.pending, req.ID)
		c.mu.Unlock()
		select {
		case a := <-waiter: // it came after all
			closeFiles(a.files)
		default:
		}
		return answer{}, context.Cause(ctx)
	}
}

func (c *Conn) post(req *request, files []*os.File, waiter chan answer) error {
	c.send.Lock()
	defer c.send.Unlock()
	c.mu.Lock()
	if c.lost != nil {
		c.mu.Unlock()
		return c.lost
	}
	c.last++
	req.ID = c.last
	c.pending[req.ID] = waiter
	c.mu.Unlock()
	err := writeFrame(c.conn, req, files)
	if err != nil {
		c.mu.Lock()
		delete(c.pending, req.ID)
		c.mu.Unlock()
	}
	return err
}

func (c *Conn) lostErr() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return errors.Join(c.lost)
}

// Listen is [Holdings.Listen] in the keeper.
func (c *Conn) Listen(ctx context.Context, p Port) (netip.AddrPort, error) {
	a, err := c.call(ctx, request{Op: opListen, Key: p.Key, Port: &p})
	if err != nil {
		return netip.AddrPort{}, err
	}
	return netip.ParseAddrPort(a.reply.Bound)
}

// Route is [Holdings.Route] in the keeper.
func (c *Conn) Route(ctx context.Context, key string, r Route) error {
	_, err := c.call(ctx, request{Op: opRoute, Key: key, Route: &r})
	return err
}

// Drain is [Holdings.Drain] in the keeper.
func (c *Conn) Drain(ctx context.Context, key string, patience Patience) (int, error) {
	a, err := c.call(ctx, request{Op: opDrain, Key: key, Patience: patience})
	return a.reply.Busy, err
}

// Close is [Holdings.Close] in the keeper: it closes a port, not the connection.
func (c *Conn) Close(ctx context.Context, key string) error {
	_, err := c.call(ctx, request{Op: opClose, Key: key})
	return err
}

// Ports is [Holdings.Ports] in the keeper.
func (c *Conn) Ports(ctx context.Context) ([]PortState, error) {
	a, err := c.call(ctx, request{Op: opPorts})
	return a.reply.Ports, err
}

// Keep is [Holdings.Keep] in the keeper, of at most 253 files.
func (c *Conn) Keep(ctx context.Context, key string, files ...*os.File) error {
	_, err := c.call(ctx, request{Op: opKeep, Key: key}, files...)
	return err
}

// Take is [Holdings.Take] in the keeper.
func (c *Conn) Take(ctx context.Context, key string) ([]*os.File, error) {
	a, err := c.call(ctx, request{Op: opTake, Key: key})
	return a.files, err
}

// Drop is [Holdings.Drop] in the keeper.
func (c *Conn) Drop(ctx context.Context, key string) error {
	_, err := c.call(ctx, request{Op: opDrop, Key: key})
	return err
}

// Kept is [Holdings.Kept] in the keeper.
func (c *Conn) Kept(ctx context.Context) ([]string, error) {
	a, err := c.call(ctx, request{Op: opKept})
	return a.reply.Keys, err
}

// Status describes the keeper.
func (c *Conn) Status(ctx context.Context) (Status, error) {
	a, err := c.call(ctx, request{Op: opStatus})
	if err != nil || a.reply.Status == nil {
		return Status{}, err
	}
	return *a.reply.Status, nil
}

// Quit makes the keeper leave, with all that it holds, once the engine has
// exited. The engine exits next.
func (c *Conn) Quit(ctx context.Context) error {
	_, err := c.call(ctx, request{Op: opQuit})
	return err
}

// Reexec tells the keeper that the engine is about to exit to be replaced by
// the one now installed, so that the exit counts as no crash.
func (c *Conn) Reexec(ctx context.Context) error {
	_, err := c.call(ctx, request{Op: opReexec})
	return err
}
