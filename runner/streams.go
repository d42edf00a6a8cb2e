package runner

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/logs"
)

// streams are the pipes of a container's process. The shim keeps both ends of
// each pipe open, so what is printed while no engine reads waits in the pipe.
type streams struct {
	config cio.Config
	wg     sync.WaitGroup
	files  []*os.File // reading ends
	keep   []*os.File // writing ends of our own, until the shim has opened its
	stdin  *os.File
}

// Config names the pipes.
func (s *streams) Config() cio.Config { return s.config }

// Wait returns when everything that was printed has been read.
func (s *streams) Wait() { s.wg.Wait() }

// Cancel lets the pipes of a process that was never started end. What another
// has printed is still to be read: its pipes end on the shim's side.
func (s *streams) Cancel() { s.handOver() }

// Close gives the pipes up.
func (s *streams) Close() error { s.close(); return nil }

func (s *streams) close() {
	s.handOver()
	for _, f := range s.files {
		f.Close()
	}
	if s.stdin != nil {
		s.stdin.Close()
	}
}

// handOver lets the pipes end with the shim's writing ends.
func (s *streams) handOver() {
	for _, f := range s.keep {
		f.Close()
	}
	s.keep = nil
}

// pipeSize is how much a container may print while no engine reads.
const pipeSize = 1 << 20

// openStreams makes the pipes for a new process (a cio.Creator).
func (c *container) openStreams(string) (cio.IO, error) {
	dir := c.r.fifoDir(c.id)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	c.mu.Lock()
	before, made := c.streams, c.made
	c.mu.Unlock()
	if before != nil { // of a try that failed: they have the same paths
		before.close()
		before.Wait()
	}
	c.tap.begin()
	config := cio.Config{Terminal: made.Terminal, Stdout: filepath.Join(dir, "stdout")}
	if !made.Terminal {
		config.Stderr = filepath.Join(dir, "stderr")
	}
	if made.Stdin {
		config.Stdin = filepath.Join(dir, "stdin")
	}
	for _, path := range []string{config.Stdin, config.Stdout, config.Stderr} {
		if path == "" {
			continue
		}
		os.Remove(path)
		logs.RemoveSpool(path)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return nil, fmt.Errorf("cannot make the pipe %s: %w", path, err)
		}
	}
	return c.connectStreams(config, true)
}

// attachStreams opens the pipes of a process that runs already (a cio.Attach).
func (c *container) attachStreams(set *cio.FIFOSet) (cio.IO, error) {
	return c.connectStreams(set.Config, false)
}

// connectStreams reads the pipes into the log and to whoever is attached. A
// pipe that the shim has yet to open is held open until streams.handOver, for a
// read before that would see its end.
func (c *container) connectStreams(config cio.Config, fresh bool) (cio.IO, error) {
	s := &streams{config: config}
	open := func(path string, flags int) (*os.File, error) {
		f, err := os.OpenFile(path, flags|syscall.O_NONBLOCK, 0)
		if err != nil {
			s.close()
			return nil, fmt.Errorf("cannot open the pipe %s: %w", path, err)
		}
		return f, nil
	}
	outputs := []string{config.Stdout, config.Stderr}
	spools := c.log.OpenSpools(config.Stdout, config.Stderr)
	for i, path := range outputs {
		if path == "" {
			continue
		}
		f, err := open(path, os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, pipeSize)
		_ = unix.SetNonblock(int(f.Fd()), true)
		s.files = append(s.files, f)
		if fresh {
			k, err := open(path, os.O_WRONLY)
			if err != nil {
				return nil, err
			}
			s.keep = append(s.keep, k)
		}
		s.wg.Go(func() { c.logStream(f, spools[i], i == 1, true) })
	}
	if config.Stdin != "" {
		f, err := open(config.Stdin, os.O_RDWR)
		if err != nil {
			return nil, err
		}
		s.stdin = f
		c.tap.setStdin(f)
	}
	// The shim lets go of the pipes when the process has ended. What no engine
	// has read by then would go with them, but for the keeper's descriptors.
	if err := c.r.Keeping.Keep(c.r.ctx, c.pipesKey(), s.files...); err != nil {
		c.r.log.Warn("cannot keep the pipes of a container", "container", c.name, "error", err)
	}
	c.mu.Lock()
	c.streams = s
	c.mu.Unlock()
	return s, nil
}

// pipesKey names the container's pipes to the keeper.
func (c *container) pipesKey() string { return "pipes/" + c.id }

// dropPipes lets go of pipes that were read to their end.
func (c *container) dropPipes(ctx context.Context) {
	if err := c.r.Keeping.Drop(ctx, c.pipesKey()); err != nil && c.r.ctx.Err() == nil {
		c.r.log.Warn("cannot let go of the pipes of a container", "container", c.name, "error", err)
	}
}

// logStream puts what comes out of a pipe into the log, and gives it to whoever
// is attached; see logs.Stream.
func (c *container) logStream(f *os.File, s *logs.Spool, stderr, live bool) {
	c.log.Copy(logs.Stream{
		Pipe: f, Spool: s, Stderr: stderr, Live: live, Detached: c.isDetached,
		Tee: func(chunk []byte) { c.tap.write(stderr, chunk) },
	})
}

// tap hands the streams of a container to those attached to it.
type tap struct {
	mu    sync.Mutex
	subs  map[*tapReader]struct{} // guarded by mu
	stdin *os.File                // guarded by mu
	over  chan struct{}           // guarded by mu; closed when the process has ended
}

// tapPatience is how long a reader may stand still once the process has ended.
// The log has what it misses.
const tapPatience = 5 * time.Second

// tapReader is one that is attached. The process waits for it, as it would
// for a pipe; it is let go when the reader is, or stands still at the end.
type tapReader struct {
	ch   chan tapChunk
	gone chan struct{}
}

type tapChunk struct {
	stderr bool
	data   []byte
}

func newTap() *tap { return &tap{subs: map[*tapReader]struct{}{}, over: make(chan struct{})} }

// begin is told that a process begins.
func (t *tap) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.over = make(chan struct{})
}

// end is told that the process has ended: its end must not wait for a reader
// that has fallen asleep.
func (t *tap) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.over:
	default:
		close(t.over)
	}
}

func (t *tap) subscribe() *tapReader {
	r := &tapReader{ch: make(chan tapChunk, 256), gone: make(chan struct{})}
	t.mu.Lock()
	t.subs[r] = struct{}{}
	t.mu.Unlock()
	return r
}

// isAttached says whether somebody reads what the process prints.
func (t *tap) isAttached() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.subs) > 0
}

func (t *tap) unsubscribe(r *tapReader) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.subs[r]; ok {
		delete(t.subs, r)
		close(r.gone)
	}
}

func (t *tap) write(stderr bool, p []byte) {
	t.mu.Lock()
	subs, over := slices.Collect(maps.Keys(t.subs)), t.over
	t.mu.Unlock()
	for _, r := range subs {
		chunk := tapChunk{stderr, append([]byte(nil), p...)}
		select {
		case r.ch <- chunk:
			continue
		case <-r.gone:
			continue
		case <-over:
		}
		patience := time.NewTimer(tapPatience)
		select {
		case r.ch <- chunk:
		case <-r.gone:
		case <-patience.C:
			t.unsubscribe(r)
		}
		patience.Stop()
	}
}

func (t *tap) setStdin(f *os.File) {
	t.mu.Lock()
	t.stdin = f
	t.mu.Unlock()
}

// writeStdin gives bytes to the process; without a standard input they are dropped.
func (t *tap) writeStdin(p []byte) error {
	t.mu.Lock()
	f := t.stdin
	t.mu.Unlock()
	if f == nil {
		return nil
	}
	_, err := f.Write(p)
	return err
}

// closeStdin ends the standard input of the process.
func (t *tap) closeStdin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stdin != nil {
		t.stdin.Close()
		t.stdin = nil
	}
}
