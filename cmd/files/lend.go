package files

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/cmd/cli"
)

// lent names a file that is open to the engine.
func lent(f *os.File) (*api.Lent, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	return &api.Lent{Number: int32(f.Fd()), Device: st.Dev, Inode: st.Ino}, nil
}

// follow has the meter show how far the engine is in a file that it was lent, until it is to
// follow none.
func (m *meter) follow(f *os.File) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take()
	m.followed = f
}

// sofar is how many bytes have gone by.
func (m *meter) sofar() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.take()
	return m.bytes.Load()
}

func (m *meter) take() {
	if m.followed == nil {
		return
	}
	if at, err := m.followed.Seek(0, io.SeekCurrent); err == nil {
		m.bytes.Store(at)
	}
}

// lendIn has the engine copy a large file of the caller's by itself. It is not done of anything
// else, and where the engine can't take what is lent.
func (v *Verbs) lendIn(ctx context.Context, client *api.Client, o *copying, start *api.WriteTree_Start, packer *archive.Packer, at string) (isDone bool, err error) {
	h, f, err := packer.OpenLarge(at, start.Name, o.follow)
	if err != nil || f == nil {
		return false, err
	}
	defer f.Close()
	if start.From, err = lent(f); err != nil {
		return false, err
	}
	m := v.measure("cp "+o.to.String(), h.Size, o.quiet)
	m.follow(f)
	isDone, err = v.sendMeasured(ctx, client, o, start, m, func(_ context.Context, out io.Writer) error { return tar.NewWriter(out).WriteHeader(h) })
	return isDone, err
}

// lendOut has the engine fill a file, which takes the place of the target once it is whole.
func (v *Verbs) lendOut(ctx context.Context, client *api.Client, o *copying, source archive.Source, m *meter) error {
	l, err := v.land(o, source)
	if err != nil {
		return err
	}
	return l.close(func() error {
		f, err := l.Ahead()
		if err != nil {
			return err
		}
		into, err := lent(f)
		if err != nil {
			return err
		}
		m.follow(f)
		defer m.follow(nil) // it is closed with the landing
		in, start, err := v.receive(ctx, client, o, &api.ReadTreeRequest{Into: into})
		switch {
		case err != nil:
			return err
		case start.Directory:
			return fmt.Errorf("%s has become a directory meanwhile: run it again", o.from)
		case !start.Filled:
			m.follow(nil)
			m.bytes.Store(0)
			return l.unpack(ctx, in, m)
		}
		err = l.filled(ctx, in)
		m.bytes.Store(l.Bytes) // its file is closed by now
		return err
	}())
}

// filled puts a file that the engine has filled in its place.
func (l *landing) filled(ctx context.Context, in *incoming) error {
	pipe := archive.Incoming(in.next)
	defer pipe.Close()
	h, err := tar.NewReader(pipe).Next()
	if err == nil {
		l.Filled(h)
		_, err = io.Copy(io.Discard, pipe) // words about what is not as it was
	}
	if err != nil {
		return cli.Cause(ctx, unwrapped(err))
	}
	return l.Err()
}
