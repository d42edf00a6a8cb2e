// Package stdio connects the standard streams of containers: pipes that their shim
// holds open while no engine is there, and taps for those who are attached. It
// knows nothing of what is printed, nor where it is kept.
package stdio

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Tap hands the streams of a container to those attached to it.
type Tap struct {
	mu    sync.Mutex
	subs  map[*Reader]struct{} // guarded by mu
	stdin *os.File             // guarded by mu
	over  chan struct{}        // guarded by mu; closed when the process has ended
}

// patience is how long a reader may stand still once the process has ended.
// The log has what it misses.
const patience = 5 * time.Second

// Reader is one that is attached. The process waits for it, as it would
// for a pipe; it is let go when the reader is, or stands still at the end.
type Reader struct {
	ch     chan chunk
	gone   chan struct{}
	looks  bool         // the process does not wait for it
	missed atomic.Int64 // bytes that it was too slow for, and has not been told of
}

type chunk struct {
	stderr bool
	data   []byte
	missed int64 // bytes before it
}

// NewTap is a tap of a process that has yet to begin.
func NewTap() *Tap { return &Tap{subs: map[*Reader]struct{}{}, over: make(chan struct{})} }

// Begin is told that a process begins.
func (t *Tap) Begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = make(chan struct{})
}

// End is told that the process has ended: its end must not wait for a reader
// that has fallen asleep.
func (t *Tap) End() {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.over:
	default:
		close(t.over)
	}
}

// Attach gives all that the process prints from now on to a reader.
func (t *Tap) Attach() *Reader { return t.add(&Reader{}) }

// Look is Attach for one whom the process does not wait for: what it is too slow for it
// misses, and is told so.
func (t *Tap) Look() *Reader { return t.add(&Reader{looks: true}) }

func (t *Tap) add(r *Reader) *Reader {
	r.ch, r.gone = make(chan chunk, 256), make(chan struct{})
	t.mu.Lock()
	t.subs[r] = struct{}{}
	t.mu.Unlock()
	return r
}

// IsAttached says whether somebody reads what the process prints.
func (t *Tap) IsAttached() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subs) > 0
}

// Detach lets a reader go.
func (t *Tap) Detach(r *Reader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.subs[r]; ok {
		delete(t.subs, r)
		close(r.gone)
	}
}

// Write gives the readers what has come of a stream. It waits for a reader that
// stands still, for a while only once the process has ended.
func (t *Tap) Write(stderr bool, p []byte) {
	t.mu.Lock()
	subs, over := slices.Collect(maps.Keys(t.subs)), t.over
	t.mu.Unlock()
	for _, r := range subs {
		c := chunk{stderr: stderr, data: append([]byte(nil), p...)}
		if r.looks {
			r.offer(c)
			continue
		}
		select {
		case r.ch <- c:
			continue
		case <-r.gone:
			continue
		case <-over:
		}
		timer := time.NewTimer(patience)
		select {
		case r.ch <- c:
		case <-r.gone:
		case <-timer.C:
			t.Detach(r)
		}
		timer.Stop()
	}
}

// offer gives a reader a chunk if it has room for it.
func (r *Reader) offer(c chunk) {
	c.missed = r.missed.Swap(0)
	select {
	case r.ch <- c:
	default:
		r.missed.Add(c.missed + int64(len(c.data)))
	}
}

// Feed gives the process an input to its end, and says whether it was taken so far.
func (t *Tap) Feed(stdin io.Reader) bool {
	buf := make([]byte, 32<<10)
	for {
		n, err := stdin.Read(buf)
		if n > 0 && t.WriteStdin(buf[:n]) != nil {
			return false
		}
		if err != nil {
			return true
		}
	}
}

// SetStdin is told the writing end of the standard input; nil: there is none.
func (t *Tap) SetStdin(f *os.File) {
	t.mu.Lock()
	t.stdin = f
	t.mu.Unlock()
}

// WriteStdin gives bytes to the process; without a standard input they are dropped.
func (t *Tap) WriteStdin(p []byte) error {
	t.mu.Lock()
	f := t.stdin
	t.mu.Unlock()
	if f == nil {
		return nil
	}
	_, err := f.Write(p)
	return err
}

// CloseStdin ends the standard input of the process.
func (t *Tap) CloseStdin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stdin != nil {
		t.stdin.Close()
		t.stdin = nil
	}
}

// Copy writes what the process prints to whom it is for, until ended is closed and
// all was written.
func (r *Reader) Copy(ctx context.Context, ended <-chan struct{}, stdout, stderr io.Writer) error {
	give := func(c chunk) error {
		if err := tellMissed(stderr, c.missed); err != nil {
			return err
		}
		w := stdout
		if c.stderr {
			w = stderr
		}
		_, err := w.Write(c.data)
		return err
	}
	for {
		select {
		case c := <-r.ch:
			if err := give(c); err != nil {
				return err
			}
		case <-ended:
			for len(r.ch) > 0 {
				if err := give(<-r.ch); err != nil {
					return err
				}
			}
			return tellMissed(stderr, r.missed.Load())
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// tellMissed says that bytes were left out.
func tellMissed(stderr io.Writer, n int64) error {
	if n == 0 {
		return nil
	}
	_, err := fmt.Fprintf(stderr, "\r\n[%d bytes are left out here, which were printed faster than they were read: \"orlop logs\" has them]\r\n", n)
	return err
}
