package archive

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// UnpackFile puts a file to all of some places, as Unpack does with an archive that has this
// one file. Its content does not come to this process where the kernel can copy it.
func UnpackFile(ctx context.Context, h *tar.Header, from *os.File, to ...*Unpacker) error {
	for _, u := range to {
		u.do(func() error { return u.begin(h) })
	}
	c := &kernelCopy{from: from, size: h.Size, seen: from}
	err := c.run(ctx, func(off, n int64) (int64, error) {
		read, of := n, error(nil)
		for _, u := range to {
			if u.file == nil {
				continue
			}
			u.do(func() error {
				done, err := c.part(u.file.f, off, n)
				if err == nil {
					read = min(read, done) // of one that has failed it tells nothing of the source
					return nil
				}
				at := u.file.at
				u.abandon()
				return &Error{"write", at, bare(err)}
			})
		}
		if AllFailed(to) {
			of = errStopped
		}
		return read, of
	})
	isRead := err == nil || errors.Is(err, errStopped)
	for _, u := range to {
		if u.file != nil && isRead {
			u.whole(h.Size)
		}
		if c.isShort && u.err == nil {
			u.note(u.At, becameShorter)
		}
		u.finish()
	}
	if isRead {
		return nil
	}
	return err
}

// errStopped ends a copy that nobody takes.
var errStopped = errors.New("stopped")

// Ahead begins the file that an archive is going to have before it has come, for somebody else
// to write its content. Filled ends it.
func (u *Unpacker) Ahead() (*os.File, error) {
	if err := u.create(u.At, nil); err != nil {
		return nil, &Error{"write", u.At, bare(err)}
	}
	u.file, u.ahead = nil, u.file
	return u.ahead.f, nil
}

// Filled puts the file that Ahead has begun in its place. All of its content is in it.
func (u *Unpacker) Filled(h *tar.Header) {
	u.do(func() error { return u.begin(h) })
	if u.file != nil {
		u.whole(h.Size)
	}
	u.finish()
}

// whole ends a file whose content was not written through the Unpacker.
func (u *Unpacker) whole(size int64) {
	u.file.size = size
	u.Bytes += size
	u.do(u.end)
}

// Fill copies the content of a file that OpenLarge has opened into an empty one, whose offset tells
// meanwhile how far that is.
func (p *Packer) Fill(ctx context.Context, at string, to, from *os.File, size int64) error {
	c := &kernelCopy{from: from, size: size, seen: to}
	err := c.run(ctx, func(off, n int64) (int64, error) { return c.part(to, off, n) })
	if err == nil {
		err = to.Truncate(size)
	}
	if c.isShort && err == nil {
		p.note(at, becameShorter)
	}
	return err
}

const becameShorter = "it became shorter while it was read: zeros stand for what is gone"

// kernelCopy copies the content of a file, but for its holes.
type kernelCopy struct {
	from    *os.File
	size    int64
	seen    *os.File // whose offset tells how far it is
	isShort bool     // less was there

	how way // the first that may work
}

// pieceSize is how many bytes are copied before it is asked whether that is still wanted.
const pieceSize = 8 << 20

// run gives part the places at which content is. What it returns is how much of it was there.
func (c *kernelCopy) run(ctx context.Context, part func(off, n int64) (int64, error)) error {
	for off := int64(0); off < c.size; {
		data, hole, err := extent(c.from, off, c.size)
		if err != nil {
			return err
		}
		for off = data; off < hole; {
			if _, err := c.seen.Seek(off, io.SeekStart); err != nil {
				return err
			}
			if err := context.Cause(ctx); err != nil {
				return err
			}
			n := min(pieceSize, hole-off)
			read, err := part(off, n)
			if err != nil {
				return err
			}
			if read < n {
				c.isShort = true
				return nil
			}
			off += n
		}
	}
	info, err := c.from.Stat()
	if err != nil {
		return err
	}
	c.isShort = info.Size() < c.size
	_, err = c.seen.Seek(c.size, io.SeekStart)
	return err
}

// extent is where the next content of a file begins and ends, before size.
func extent(f *os.File, off, size int64) (data, hole int64, err error) {
	data, err = f.Seek(off, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) {
		return size, size, nil
	}
	if err == nil {
		hole, err = f.Seek(data, unix.SEEK_HOLE)
	}
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP): // it can't tell
		return off, size, nil
	case errors.Is(err, unix.ENXIO):
		return size, size, nil // it was cut meanwhile
	}
	return min(data, size), min(hole, size), err
}

// way copies bytes to the same place of another file.
type way int

// The ways, the best one first. There are file systems without the first two, or between which
// they don't work.
const (
	byRange way = iota
	bySend
	byHand
)

func (w way) copy(to, from *os.File, off int64, n int) (int, error) {
	switch w {
	case byRange:
		at := off
		return unix.CopyFileRange(int(from.Fd()), &off, int(to.Fd()), &at, n, 0)
	case bySend:
		if _, err := to.Seek(off, io.SeekStart); err != nil {
			return 0, err
		}
		return unix.Sendfile(int(to.Fd()), int(from.Fd()), &off, n)
	}
	p := make([]byte, min(n, BufferSize))
	got, err := from.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	return to.WriteAt(p[:got], off)
}

// part copies bytes to the same place of another file, and says how many were there.
func (c *kernelCopy) part(to *os.File, off, n int64) (done int64, err error) {
	for done < n {
		got, err := c.how.copy(to, c.from, off+done, int(n-done))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil && c.how < byHand && isAnotherWay(err):
			c.how++
		case err != nil:
			return done, err
		case got == 0:
			return done, nil
		}
		done += int64(max(got, 0))
	}
	return done, nil
}

// isAnotherWay says that an error is of the way, not of the files.
func isAnotherWay(err error) bool {
	for _, e := range []error{unix.EXDEV, unix.EINVAL, unix.ENOSYS, unix.EOPNOTSUPP, unix.EPERM, unix.EBADF} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
