package builder

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec/userfile"
)

// mostHoles is how much of a file may be holes, in bytes. They cost nothing to read,
// and a build is sent them as so many zeros.
const mostHoles = 8 << 30

// When it is told that files are still being read, and how often.
const (
	tellAfter = 3 * time.Second
	tellEvery = 10 * time.Second
)

// reading is how the files of contexts are read: it can be interrupted in the middle
// of one, and tells how far it is where it takes long.
type reading struct {
	tell func(text string) // nil tells nobody
	read int64             // bytes so far
	next time.Time         // when it is told of
	buf  []byte
}

func newReading(tell func(text string)) *reading {
	return &reading{tell: tell, next: time.Now().Add(tellAfter), buf: make([]byte, 64<<10)}
}

// hash is the digest of a file's content.
func (r *reading) hash(ctx context.Context, path string) (string, error) {
	const todo = "leave it out with .dockerignore"
	f, err := userfile.Open(path)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w (%s, or make it readable)", path, err, todo)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	written, err := parts(ctx, f, info)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", path, err)
	}
	if holes := info.Size() - total(written); holes > mostHoles {
		return "", fmt.Errorf("cannot send %s: it is a sparse file of %s, of which %s are written, and a build would get all of it (%s)",
			path, sizeText(info.Size()), sizeText(total(written)), todo)
	}
	h := sha256.New()
	for _, p := range written {
		if len(written) > 1 || p.size != info.Size() {
			fmt.Fprintf(h, "%d+%d of %d\n", p.at, p.size, info.Size())
		}
		err := r.copy(ctx, h, io.NewSectionReader(f, p.at, p.size), path)
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		if err != nil {
			return "", fmt.Errorf("cannot read %s: %w", path, err)
		}
	}
	return hex.EncodeToString(h.Sum(nil)[:12]), nil
}

// copy reads a part of a file into a digest.
func (r *reading) copy(ctx context.Context, h hash.Hash, part io.Reader, path string) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := part.Read(r.buf)
		h.Write(r.buf[:n])
		r.read += int64(n)
		if r.tell != nil && time.Now().After(r.next) {
			r.next = time.Now().Add(tellEvery)
			r.tell(fmt.Sprintf("reading the files of the build context: %s so far, now %s", sizeText(r.read), path))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// part is a piece of a file that is written.
type part struct{ at, size int64 }

// parts are the pieces of a file that are written, one where it has no holes. One that
// grows while it is read is as it was at first: its end may never come.
func parts(ctx context.Context, f *os.File, info os.FileInfo) ([]part, error) {
	size := info.Size()
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Blocks*512 >= size {
		return []part{{0, size}}, nil
	}
	var list []part
	for at := int64(0); at < size; {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		start, err := unix.Seek(int(f.Fd()), at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			break // nothing more is written
		}
		end := size
		if err == nil {
			end, err = unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		}
		if err != nil { // a file system that knows no holes
			return []part{{0, size}}, nil
		}
		list = append(list, part{start, min(end, size) - start})
		at = end
	}
	return list, nil
}

func total(list []part) (size int64) {
	for _, p := range list {
		size += p.size
	}
	return size
}

// sizeText is a number of bytes as it is told.
func sizeText(n int64) string {
	value, units := float64(n), []string{"bytes", "kB", "MB", "GB", "TB", "PB", "EB"}
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	i := 0
	for ; value >= 1000; i++ {
		value /= 1000
	}
	return fmt.Sprintf("%.1f %s", value, units[i])
}
