package exec

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"
)

// pipes are those of a process that joins a container. They are open
// before the process is asked for: containerd's own (cio.WithStreams) open in
// the background, and are given up, with all that is in them, when a short
// process has ended before they noticed.
type pipes struct {
	config cio.Config
	dir    string
	files  []*os.File // reading ends
	stdin  *os.File
	copies sync.WaitGroup

	mu   sync.Mutex
	keep []*os.File // guarded by mu; writing ends of our own, until the shim has opened its
}

// newPipes makes pipes for processes below a directory and copies what they print;
// a terminal has no stderr.
func newPipes(dir string, terminal, stdin bool, stdout, stderr io.Writer) cio.Creator {
	return func(id string) (cio.IO, error) {
		e := &pipes{dir: filepath.Join(dir, id), config: cio.Config{Terminal: terminal}}
		if err := e.open(stdin, stdout, stderr); err != nil {
			e.Close()
			return nil, fmt.Errorf("cannot make the pipes of a process: %w", err)
		}
		return e, nil
	}
}

func (e *pipes) open(stdin bool, stdout, stderr io.Writer) error {
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return err
	}
	e.config.Stdout = filepath.Join(e.dir, "stdout")
	outputs := map[string]io.Writer{e.config.Stdout: stdout}
	if !e.config.Terminal {
		e.config.Stderr = filepath.Join(e.dir, "stderr")
		outputs[e.config.Stderr] = stderr
	}
	for path, to := range outputs {
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return err
		}
		from, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		e.files = append(e.files, from)
		k, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return err
		}
		e.keep = append(e.keep, k)
		e.copies.Go(func() { drain(to, from) })
	}
	if !stdin {
		return nil
	}
	e.config.Stdin = filepath.Join(e.dir, "stdin")
	if err := unix.Mkfifo(e.config.Stdin, 0o600); err != nil {
		return err
	}
	var err error
	e.stdin, err = os.OpenFile(e.config.Stdin, os.O_RDWR|syscall.O_NONBLOCK, 0)
	return err
}

// drain copies what a process prints, and goes on reading when nobody wants
// it any more: a process must not block on that.
func drain(to io.Writer, from io.Reader) {
	if _, err := io.Copy(to, from); err != nil {
		_, _ = io.Copy(io.Discard, from)
	}
}

// feed gives the process its input, to the input's end. The shim has opened
// its end by then: an input that ends before would be lost.
func (e *pipes) feed(from io.Reader) {
	_, _ = io.Copy(e.stdin, from) // a process that has ended reads no more
	e.stdin.Close()
}

// handOver lets the pipes end with the shim's writing ends.
func (e *pipes) handOver() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, f := range e.keep {
		f.Close()
	}
	e.keep = nil
}

// Config names the pipes.
func (e *pipes) Config() cio.Config { return e.config }

// Cancel lets a process that was never started end.
func (e *pipes) Cancel() { e.handOver() }

// Wait returns when everything that the process printed was copied.
func (e *pipes) Wait() { e.copies.Wait() }

// Close gives the pipes up.
func (e *pipes) Close() error {
	e.handOver()
	for _, f := range e.files {
		f.Close()
	}
	if e.stdin != nil {
		e.stdin.Close()
	}
	return os.RemoveAll(e.dir)
}
