package stdio

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/pkg/cio"
	"golang.org/x/sys/unix"
)

// Pipes are those of a container's process. The shim keeps both ends of
// each pipe open, so what is printed while no engine reads waits in the pipe.
type Pipes struct {
	config cio.Config
	wg     sync.WaitGroup
	files  []*os.File // reading ends
	keep   []*os.File // writing ends of our own, until the shim has opened its
	stdin  *os.File
}

// Config names the pipes.
func (s *Pipes) Config() cio.Config { return s.config }

// Wait returns when everything that was printed has been read.
func (s *Pipes) Wait() { s.wg.Wait() }

// Cancel lets the pipes of a process that was never started end. What another
// has printed is still to be read: its pipes end on the shim's side.
func (s *Pipes) Cancel() { s.HandOver() }

// Close gives the pipes up.
func (s *Pipes) Close() error {
	s.HandOver()
	for _, f := range s.files {
		f.Close()
	}
	if s.stdin != nil {
		s.stdin.Close()
	}
	return nil
}

// HandOver lets the pipes end with the shim's writing ends.
func (s *Pipes) HandOver() {
	for _, f := range s.keep {
		f.Close()
	}
	s.keep = nil
}

// pipeSize is how much a container may print while no engine reads.
const pipeSize = 1 << 20

// Make makes the pipes of a new process in a directory, in the place of those
// that an earlier one had there.
func Make(dir string, terminal, stdin bool) (cio.Config, error) {
	config := cio.Config{Terminal: terminal, Stdout: filepath.Join(dir, "stdout")}
	if !terminal {
		config.Stderr = filepath.Join(dir, "stderr")
	}
	if stdin {
		config.Stdin = filepath.Join(dir, "stdin")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return config, err
	}
	for _, path := range []string{config.Stdin, config.Stdout, config.Stderr} {
		if path == "" {
			continue
		}
		os.Remove(path)
		if err := unix.Mkfifo(path, 0o600); err != nil {
			return config, fmt.Errorf("cannot make the pipe %s: %w", path, err)
		}
	}
	return config, nil
}

// Open opens pipes, and has each output read by a goroutine, to its end. A pipe
// that the shim has yet to open, for it is fresh, is held open until HandOver: a
// read before that would see its end.
func Open(config cio.Config, fresh bool, read func(f *os.File, stderr bool)) (_ *Pipes, err error) {
	s := &Pipes{config: config}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for i, path := range []string{config.Stdout, config.Stderr} {
		if path == "" {
			continue
		}
		f, err := openPipe(path, os.O_RDONLY)
		if err != nil {
			return nil, err
		}
		_, _ = unix.FcntlInt(f.Fd(), unix.F_SETPIPE_SZ, pipeSize)
		_ = unix.SetNonblock(int(f.Fd()), true)
		s.files = append(s.files, f)
		if fresh {
			k, err := openPipe(path, os.O_WRONLY)
			if err != nil {
				return nil, err
			}
			s.keep = append(s.keep, k)
		}
		s.wg.Go(func() { read(f, i == 1) })
	}
	if config.Stdin != "" {
		s.stdin, err = openPipe(config.Stdin, os.O_RDWR)
	}
	return s, err
}

func openPipe(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, flags|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the pipe %s: %w", path, err)
	}
	return f, nil
}

// Outputs are the reading ends.
func (s *Pipes) Outputs() []*os.File { return s.files }

// Stdin is the writing end of the process's standard input; nil if it has none.
func (s *Pipes) Stdin() *os.File { return s.stdin }

// Paths are those of the outputs of a process whose pipes are in a directory.
func Paths(dir string) cio.Config {
	return cio.Config{Stdout: filepath.Join(dir, "stdout"), Stderr: filepath.Join(dir, "stderr")}
}

// drainTime bounds how long the pipes of a process that has ended are read: a
// process that got away from its container may hold them open.
const drainTime = 2 * time.Second

// Drain has what is left in the outputs of a process that has ended read; the pipe
// is nil where there is none any more. An error says that nothing bounds the time.
func Drain(config cio.Config, read func(f *os.File, stderr bool)) error {
	var all sync.WaitGroup
	var errs []error
	for i, path := range []string{config.Stdout, config.Stderr} {
		f, err := openPipe(path, os.O_RDONLY)
		if err != nil {
			f = nil
		} else if err := f.SetReadDeadline(time.Now().Add(drainTime)); err != nil {
			errs = append(errs, err)
		}
		all.Go(func() {
			read(f, i == 1)
			if f != nil {
				f.Close()
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}
