package keeper

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/keeper/holder"
)

// Holdings is what a keeper holds: published ports that listen, park and
// splice, and descriptors by name. It needs no process of its own: [Run]
// serves one to the engine, and [InProcess] gives one to a caller that has no
// keeper. Its methods are those of [Conn].
type Holdings struct {
	mu     sync.Mutex
	ports  map[string]*port
	closed []*port // with connections that live on
	kept   map[string][]*os.File
	done   chan struct{}
}

// InProcess returns empty holdings inside the calling process. They end with
// it; nothing outlives a crash.
func InProcess() *Holdings {
	return &Holdings{
		ports: map[string]*port{},
		kept:  map[string][]*os.File{},
		done:  make(chan struct{}),
	}
}

// Listen publishes a port, parked until it is routed, and returns what it is
// bound to. Listening again to the same port under the same key is a no-op.
// What stands in the way is told by a [PortError].
func (h *Holdings) Listen(_ context.Context, p Port) (netip.AddrPort, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if old, ok := h.ports[p.Key]; ok {
		if old.spec == p {
			return old.bound, nil
		}
		return netip.AddrPort{}, &PortError{Port: p, Reason: fmt.Sprintf("its key %s already publishes %s", p.Key, old.spec)}
	}
	opened, err := openPort(p)
	if err != nil {
		return netip.AddrPort{}, h.explain(p, err)
	}
	failpoint.Hit("keeper/port-bound")
	h.ports[p.Key] = opened
	return opened.bound, nil
}

// explain finds out who is in the way of a port. The caller holds h.mu.
func (h *Holdings) explain(p Port, err error) error {
	pe := &PortError{Port: p, Reason: reason(err)}
	errno, ok := asErrno(err)
	if !ok {
		return pe
	}
	pe.Errno = int(errno)
	if errno != syscall.EADDRINUSE {
		return pe
	}
	for key, other := range h.ports {
		if other.spec.Proto == p.Proto && other.bound.Port() == p.Port && holder.Overlaps(other.bound.Addr(), p.Addr) {
			pe.Holder = key
			return pe
		}
	}
	pe.PID, pe.Process = holder.Find(p.Proto, netip.AddrPortFrom(p.Addr, p.Port))
	return pe
}

// Route sends a port's traffic elsewhere from now on. TCP connections stay
// where they are while a request is under way on them, and for ever where that
// can't be known; see [Holdings.Drain]. UDP sessions stay while their backend does.
func (h *Holdings) Route(_ context.Context, key string, r Route) error {
	h.mu.Lock()
	p, ok := h.ports[key]
	h.mu.Unlock()
	if !ok {
		return fmt.Errorf("cannot route port %s: it is not published", key)
	}
	p.setRoute(r)
	return nil
}

// Drain waits until no request is under way by the routes that a port had
// before its present one, or by a port of that key that was closed.
// Connections on which none is are taken off the old backends; each finds its
// way by the present route when its client asks again. It says how many had a
// request under way when patience was over. An unknown key has none.
func (h *Holdings) Drain(ctx context.Context, key string, patience Patience) (int, error) {
	h.mu.Lock()
	h.forget()
	list := slices.DeleteFunc(slices.Clone(h.closed), func(p *port) bool { return p.spec.Key != key })
	if p, ok := h.ports[key]; ok {
		list = append(list, p)
	}
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience.Within)
	defer cancel()
	busy := 0
	for _, p := range list {
		busy += p.face.drain(ctx, patience.Unseen)
	}
	return busy, nil
}

// forget lets go of closed ports whose last connection has ended. The caller
// holds mu.
func (h *Holdings) forget() {
	h.closed = slices.DeleteFunc(h.closed, func(p *port) bool { return p.face.conns() == 0 })
}

// Close stops publishing a port; parked connections are reset, established
// ones live on as long as both ends do. An unknown key is no error. What Ports
// doesn't list is free, so nobody sees the port between.
func (h *Holdings) Close(_ context.Context, key string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := h.ports[key]; ok {
		delete(h.ports, key)
		p.close()
		h.forget()
		h.closed = append(h.closed, p)
	}
	return nil
}

// Ports lists the published ports in the order of their keys.
func (h *Holdings) Ports(context.Context) ([]PortState, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	states := make([]PortState, 0, len(h.ports))
	for _, key := range slices.Sorted(maps.Keys(h.ports)) {
		states = append(states, h.ports[key].state())
	}
	return states, nil
}

// Keep holds copies of files under a key, in place of what that key held. The
// caller's files stay the caller's.
func (h *Holdings) Keep(_ context.Context, key string, files ...*os.File) error {
	copies, err := dupFiles(files)
	if err != nil {
		return fmt.Errorf("cannot keep %s: %w", key, err)
	}
	failpoint.Hit("keeper/keeping")
	h.mu.Lock()
	old := h.kept[key]
	h.kept[key] = copies
	h.mu.Unlock()
	closeFiles(old)
	return nil
}

// Take returns copies of the files kept under a key, none if there are none.
// They stay kept until they are dropped, so that the next crash finds them.
func (h *Holdings) Take(_ context.Context, key string) ([]*os.File, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	files, err := dupFiles(h.kept[key])
	if err != nil {
		return nil, fmt.Errorf("cannot take %s: %w", key, err)
	}
	return files, nil
}

// Drop closes what is kept under a key. An unknown key is no error.
func (h *Holdings) Drop(_ context.Context, key string) error {
	h.mu.Lock()
	old := h.kept[key]
	delete(h.kept, key)
	h.mu.Unlock()
	closeFiles(old)
	return nil
}

// Kept lists the keys of what is kept.
func (h *Holdings) Kept(context.Context) ([]string, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.kept)), nil
}

// Done is closed by Release. It is the counterpart of [Conn.Done].
func (h *Holdings) Done() <-chan struct{} { return h.done }

// Release closes every port, connection and kept file. It is called once, last.
func (h *Holdings) Release() {
	h.mu.Lock()
	ports, kept := h.ports, h.kept
	for _, p := range h.closed {
		p.closeConns()
	}
	h.ports, h.closed, h.kept = map[string]*port{}, nil, map[string][]*os.File{}
	h.mu.Unlock()
	for _, p := range ports {
		p.close()
		p.closeConns()
	}
	for _, files := range kept {
		closeFiles(files)
	}
	close(h.done)
}

func (h *Holdings) counts() (ports, kept int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.ports), len(h.kept)
}

func dupFiles(files []*os.File) ([]*os.File, error) {
	copies := make([]*os.File, 0, len(files))
	for _, f := range files {
		fd, err := dupFD(f)
		if err != nil {
			closeFiles(copies)
			return nil, err
		}
		copies = append(copies, os.NewFile(uintptr(fd), f.Name()))
	}
	return copies, nil
}
