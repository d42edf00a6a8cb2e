package userfile

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Given reads what a user names on the command line: beside files also pipes
// and terminals ("-f <(generate)", "--env-file /dev/stdin"). What can be read
// once only is kept, so that it can be asked for again. The zero value is
// ready, and so is a nil one, which keeps nothing.
type Given struct {
	mu   sync.Mutex
	kept map[string][]byte // guarded by mu: by path; "-" is standard input
}

// Read reads what is at a path, of at most limit bytes, until ctx ends.
func (g *Given) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	if data, ok := g.recall(path); ok {
		return data, nil
	}
	f, err := OpenGiven(ctx, path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readAll(f, path, limit)
	if err == nil && !f.isRegular {
		g.keep(path, data)
	}
	return data, err
}

// ReadStdin reads standard input, of at most limit bytes, until ctx ends.
func (g *Given) ReadStdin(ctx context.Context, in io.Reader, limit int64) ([]byte, error) {
	if data, ok := g.recall("-"); ok {
		return data, nil
	}
	in, done, err := Interruptible(ctx, in)
	if err != nil {
		return nil, err
	}
	defer done()
	data, err := readAll(in, "standard input", limit)
	if err == nil {
		g.keep("-", data)
	}
	return data, err
}

func (g *Given) recall(path string) ([]byte, bool) {
	if g == nil {
		return nil, false
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	data, ok := g.kept[path]
	return data, ok
}

func (g *Given) keep(path string, data []byte) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.kept == nil {
		g.kept = map[string][]byte{}
	}
	g.kept[path] = data
}

// Input is an open file, pipe or terminal whose Read ends with a context.
type Input struct {
	io.Reader
	file      *os.File
	done      func()
	isRegular bool
	size      int64 // of a regular file
}

// Size is how many bytes a regular file has; 0 where that is unknown.
func (i *Input) Size() int64 { return i.size }

// Close closes it.
func (i *Input) Close() error {
	i.done()
	return i.file.Close()
}

// OpenGiven opens what a user names on the command line. What is read from it
// is not limited; reading ends with the cause of ctx when that ends.
func OpenGiven(ctx context.Context, path string) (*Input, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && info.IsDir() {
		err = &fs.PathError{Op: "read", Path: path, Err: unix.EISDIR}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	in := &Input{file: f, isRegular: info.Mode().IsRegular(), size: info.Size()} // what is none has 0
	if in.Reader, in.done, err = Interruptible(ctx, f); err != nil {
		f.Close()
		return nil, err
	}
	return in, nil
}

// Interruptible gives a reader that ends with the cause of ctx when that ends,
// also while it waits. A reader that is no file can't wait, and stays what it
// is. done is to be called when nobody reads any more.
func Interruptible(ctx context.Context, in io.Reader) (out io.Reader, done func(), err error) {
	f, ok := in.(*os.File)
	if !ok {
		return in, func() {}, nil
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, nil, err
	}
	told := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(told)
		_, _ = unix.Write(wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	})
	return &waiting{ctx: ctx, file: f, wake: wake}, func() {
		if !stop() {
			<-told
		}
		unix.Close(wake)
	}, nil
}

// waiting reads from a file as soon as there is something. Go's own poller
// takes a pipe that nobody has opened for writing yet for one at its end.
type waiting struct {
	ctx  context.Context
	file *os.File
	wake int
}

func (w *waiting) Read(p []byte) (n int, err error) {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return 0, err
	}
	if cerr := raw.Control(func(fd uintptr) { n, err = w.read(int(fd), p) }); cerr != nil {
		return 0, cerr
	}
	return n, err
}

func (w *waiting) read(fd int, p []byte) (int, error) {
	for {
		if w.ctx.Err() != nil {
			return 0, context.Cause(w.ctx)
		}
		list := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(w.wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(list, -1); err != nil && !errors.Is(err, unix.EINTR) {
			return 0, err
		}
		if list[0].Revents == 0 {
			continue
		}
		n, err := unix.Read(fd, p)
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, err
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}
