package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/failpoint"
)

// recorder is a writer of a content store that keeps of an archive how it is read out of
// the directory that it was just made of, in a file that becomes a view.
type recorder struct {
	store *store
	ref   string
	dir   string
	root  *os.Root
	file  *os.File
	start time.Time

	sum   digest.Digester
	bytes int64
	in    *relay
	done  chan struct{} // closed when the archive is read to its end, or can't be
	err   error         // why it can't; read after done
	ended bool          // nothing more is written

	// What follows is of who reads the archive, until done.
	packer *zstd.Encoder
	frame  []byte
	sizes  []int64 // of the frames
	rest   int64
	last   int64 // how much of the rest was before the last part
	count  int
	parts  bytes.Buffer
}

// metacopy is the attribute of a file whose contents are in another layer.
const metacopy = "trusted.overlay.metacopy"

// begin opens the file and waits for the archive.
func (r *recorder) begin() (err error) {
	r.start, r.sum, r.done = time.Now(), digest.Canonical.Digester(), make(chan struct{})
	if r.root, err = os.OpenRoot(r.dir); err != nil {
		return err
	}
	if r.packer, err = zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1)); err != nil {
		return err
	}
	if err = os.Mkdir(r.store.views, 0o700); err == nil {
		err = syncDir(filepath.Dir(r.store.views))
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if r.file, err = os.CreateTemp(r.store.views, newView+"*"); err != nil {
		return err
	}
	if _, err := r.file.WriteString(viewMagic); err != nil {
		return err
	}
	r.in = newRelay(r.sum.Hash())
	go func() {
		defer close(r.done)
		if r.err = r.record(r.in); r.err != nil {
			r.in.fail()
		}
	}()
	return nil
}

// record reads an archive to its end.
func (r *recorder) record(in io.Reader) error {
	from := &forked{in: in, keep: r.keep}
	archive := tar.NewReader(from)
	for {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg || h.Size == 0 {
			continue
		}
		if err := r.add(h); err != nil {
			return err
		}
		from.passed, from.passing = 0, true
		_, err = io.Copy(io.Discard, archive)
		from.passing = false
		if err == nil && from.passed != h.Size {
			err = fmt.Errorf("file %s is stored in a way that is not its contents", h.Name)
		}
		if err != nil {
			return err
		}
	}
	_, err := io.Copy(io.Discard, from)
	return errors.Join(err, r.flush())
}

// add notes that the contents of a file follow.
func (r *recorder) add(h *tar.Header) error {
	info, err := r.root.Lstat(h.Name)
	if err != nil {
		return err
	}
	p := part{name: h.Name, size: h.Size, time: info.ModTime().Unix()}
	if err := p.check(info); err != nil {
		return err
	}
	if n, _ := unix.Lgetxattr(filepath.Join(r.dir, h.Name), metacopy, nil); n > 0 {
		return fmt.Errorf("file %s has its contents in another layer", h.Name)
	}
	put(&r.parts, r.rest-r.last)
	putString(&r.parts, p.name)
	put(&r.parts, p.size)
	put(&r.parts, p.time)
	r.last, r.count = r.rest, r.count+1
	return nil
}

// keep keeps what is no file's contents.
func (r *recorder) keep(b []byte) error {
	r.rest += int64(len(b))
	for len(b) > 0 {
		n := min(len(b), viewFrame-len(r.frame))
		r.frame, b = append(r.frame, b[:n]...), b[n:]
		if len(r.frame) == viewFrame {
			if err := r.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes a frame.
func (r *recorder) flush() error {
	if len(r.frame) == 0 {
		return nil
	}
	packed := r.packer.EncodeAll(r.frame, nil)
	r.sizes, r.frame = append(r.sizes, int64(len(packed))), r.frame[:0]
	_, err := r.file.Write(packed)
	return err
}

// forked hands on what it reads, and keeps it while nothing passes.
type forked struct {
	in      io.Reader
	keep    func([]byte) error
	passing bool
	passed  int64
}

func (f *forked) Read(b []byte) (int, error) {
	n, err := f.in.Read(b)
	if f.passing {
		f.passed += int64(n)
	} else if kept := f.keep(b[:n]); kept != nil {
		return 0, kept
	}
	return n, err
}

// Write implements content.Writer.
func (r *recorder) Write(b []byte) (int, error) {
	if r.ended {
		return 0, fmt.Errorf("the layer is written: %w", os.ErrClosed)
	}
	n, err := r.in.Write(b)
	r.bytes += int64(n)
	if err != nil {
		<-r.done
		err = r.err
	}
	return n, err
}

// Digest implements content.Writer.
func (r *recorder) Digest() digest.Digest {
	if !r.ended {
		r.in.flush()
	}
	return r.sum.Digest()
}

// Status implements content.Writer.
func (r *recorder) Status() (content.Status, error) {
	return content.Status{Ref: r.ref, Offset: r.bytes, StartedAt: r.start, UpdatedAt: time.Now()}, nil
}

// Truncate implements content.Writer. Nothing is taken back of what was written.
func (r *recorder) Truncate(size int64) error {
	if size != r.bytes {
		return fmt.Errorf("cannot set a layer back to %d of %d bytes: %w", size, r.bytes, errdefs.ErrNotImplemented)
	}
	return nil
}

// Sync implements content.Syncer: it has the view on the disk before containerd's database is held.
func (r *recorder) Sync() error {
	if r.ended {
		return r.err
	}
	r.ended = true
	r.in.end()
	<-r.done
	if r.err == nil {
		r.err = r.finish()
	}
	return r.err
}

// finish writes the table.
func (r *recorder) finish() error {
	at, err := r.file.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	packed := r.packer.EncodeAll(encode(r.dir, r.rest, r.sizes, r.count, r.parts.Bytes()), nil)
	packed = binary.BigEndian.AppendUint64(packed, uint64(at))
	packed = binary.BigEndian.AppendUint64(packed, uint64(len(packed)-8))
	if _, err := r.file.Write(packed); err != nil {
		return err
	}
	return r.file.Sync()
}

// Commit implements content.Writer.
func (r *recorder) Commit(_ context.Context, size int64, expected digest.Digest, _ ...content.Opt) error {
	defer r.discard()
	if err := r.Sync(); err != nil {
		return err
	}
	if size > 0 && size != r.bytes || expected != "" && expected != r.Digest() {
		return fmt.Errorf("the layer has %d bytes and digest %s, not %d and %s: %w", r.bytes, r.Digest(), size, expected, errdefs.ErrFailedPrecondition)
	}
	if err := failpoint.Fail("layers/view-written"); err != nil {
		return err
	}
	if err := os.Rename(r.file.Name(), r.store.viewPath(r.Digest(), r.dir)); err != nil {
		return err
	}
	return syncDir(r.store.views)
}

// Close implements content.Writer: what is not committed is gone.
func (r *recorder) Close() error {
	r.discard()
	return nil
}

func (r *recorder) discard() {
	r.store.forget(r)
	if r.in != nil && !r.ended {
		r.ended = true
		r.in.end()
		<-r.done
	}
	if r.root != nil {
		r.root.Close()
	}
	if r.file != nil {
		r.file.Close()
		_ = os.Remove(r.file.Name()) // there is none if it was committed
	}
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}
