package layers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sort"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// A view is a file that says how the archive of a layer is read out of a directory. It has
// all of the archive but what files contain: headers, padding and the end, as they were. So
// the archive has the same bytes whatever writes headers later. In the file are
//
//	viewMagic
//	frames: the rest of the archive, viewFrame bytes of it in each, compressed
//	the table, compressed: see table
//	where the table begins and its length, 8 bytes each
//
// Numbers in the table are varints.
const (
	viewMagic = "orlop view 1\n"
	viewFrame = 256 << 10
	viewEnd   = 16
	// mostTable bounds what is read into memory of a file that is damaged.
	mostTable = 1 << 30
)

// table is what a view has beside the frames.
type table struct {
	dir    string  // of the files
	rest   int64   // bytes that are no file's contents
	frames []int64 // where each frame begins in the view
	parts  []part  // in the order of the archive
	size   int64   // of the archive
}

// part is what a file contains of the archive.
type part struct {
	name string
	at   int64 // in the archive
	size int64
	time int64 // when the file was changed, in seconds
	rest int64 // how much of the rest is before it
}

var errDamaged = errors.New("it is damaged")

// read reads the table of a view.
func (t *table) read(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var end [viewEnd]byte
	magic := make([]byte, len(viewMagic))
	if _, err := f.ReadAt(magic, 0); err != nil || string(magic) != viewMagic {
		return errDamaged
	}
	if _, err := f.ReadAt(end[:], info.Size()-viewEnd); err != nil {
		return errDamaged
	}
	at, size := int64(binary.BigEndian.Uint64(end[:8])), int64(binary.BigEndian.Uint64(end[8:]))
	if at < int64(len(viewMagic)) || size < 0 || at > info.Size()-viewEnd-size {
		return errDamaged
	}
	dec, err := zstd.NewReader(io.NewSectionReader(f, at, size), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(mostTable))
	if err != nil {
		return err
	}
	defer dec.Close()
	text, err := io.ReadAll(io.LimitReader(dec, mostTable))
	if err != nil {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return t.decode(text, at)
}

// decode reads the table; end is where the last frame ends.
func (t *table) decode(text []byte, end int64) error {
	d := decoder{text: string(text)}
	t.dir, t.rest = d.string(), d.number()
	n := d.number()
	if d.bad || n != (t.rest+viewFrame-1)/viewFrame || n > int64(len(d.text)) {
		return errDamaged
	}
	at := int64(len(viewMagic))
	for range n {
		t.frames = append(t.frames, at)
		size := d.number()
		if size > end-at {
			return errDamaged
		}
		at += size
	}
	t.frames = append(t.frames, at)
	if n = d.number(); d.bad || at != end || n > int64(len(d.text)) {
		return errDamaged
	}
	t.parts = make([]part, n)
	var rest int64
	for i := range t.parts {
		rest += d.number()
		p := part{name: d.string(), size: d.number(), time: d.signed(), rest: rest, at: rest + t.size}
		t.parts[i], t.size = p, t.size+p.size
	}
	if t.size += t.rest; d.bad || rest > t.rest || t.size < t.rest {
		return errDamaged
	}
	return nil
}

// decoder reads numbers and strings, and knows whether one was no such thing.
type decoder struct {
	text string
	bad  bool
}

func (d *decoder) number() int64 {
	n := d.signed()
	if n < 0 {
		d.bad = true
		return 0
	}
	return n
}

func (d *decoder) signed() int64 {
	n, used := binary.Varint([]byte(d.text[:min(len(d.text), binary.MaxVarintLen64)]))
	if used <= 0 {
		d.bad, used = true, 0
	}
	d.text = d.text[used:]
	return n
}

func (d *decoder) string() string {
	n := d.number()
	if n > int64(len(d.text)) {
		d.bad, n = true, 0
	}
	s := d.text[:n]
	d.text = d.text[n:]
	return s
}

// reader reads the archive that a view stands for.
type reader struct {
	table
	view *os.File
	root *os.Root // of the files
	dec  *zstd.Decoder

	mu    sync.Mutex // over what follows, for it may be read from several places at once
	open  *os.File   // that of the part that was read last
	part  int        // its number
	frame int        // which is unpacked, -1 if none
	text  []byte     // what is in it
}

// openView opens a view whose directory is there.
func openView(path string) (_ *reader, err error) {
	r := &reader{frame: -1, part: -1}
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.view, err = os.Open(path); err != nil {
		return nil, err
	}
	if err := r.read(r.view); err != nil {
		return nil, fmt.Errorf("cannot read %s, by which a layer is read: %w", path, err)
	}
	if r.root, err = os.OpenRoot(r.dir); err != nil {
		return nil, err
	}
	r.dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*viewFrame))
	return r, err
}

// Size implements content.ReaderAt.
func (r *reader) Size() int64 { return r.size }

// Close implements content.ReaderAt.
func (r *reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget()
	if r.root != nil {
		r.root.Close()
	}
	if r.dec != nil {
		r.dec.Close()
	}
	return r.view.Close()
}

func (r *reader) forget() {
	if r.open != nil {
		r.open.Close()
	}
	r.open, r.part = nil, -1
}

// ReadAt implements io.ReaderAt.
func (r *reader) ReadAt(b []byte, off int64) (n int, err error) {
	if off < 0 {
		return 0, fmt.Errorf("cannot read at %d: %w", off, os.ErrInvalid)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(b) {
		if off >= r.size {
			return n, io.EOF
		}
		m, err := r.some(b[n:], off)
		n, off = n+m, off+int64(m)
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// some reads what is at an offset, from one file or one frame.
func (r *reader) some(b []byte, off int64) (int, error) {
	i := sort.Search(len(r.parts), func(i int) bool { return r.parts[i].at+r.parts[i].size > off })
	before := r.size // where what is read at off ends
	rest := r.rest - (before - off)
	if i < len(r.parts) {
		p := r.parts[i]
		if off >= p.at {
			return r.file(b[:min(int64(len(b)), p.at+p.size-off)], i, off-p.at)
		}
		before, rest = p.at, p.rest-(p.at-off)
	}
	b = b[:min(int64(len(b)), before-off)]
	text, err := r.unpacked(int(rest / viewFrame))
	if err != nil {
		return 0, err
	}
	return copy(b, text[rest%viewFrame:]), nil
}

// unpacked is what is in a frame.
func (r *reader) unpacked(n int) ([]byte, error) {
	if r.frame == n {
		return r.text, nil
	}
	packed := make([]byte, r.frames[n+1]-r.frames[n])
	if _, err := r.view.ReadAt(packed, r.frames[n]); err != nil {
		return nil, err
	}
	text, err := r.dec.DecodeAll(packed, r.text[:0])
	if want := min(viewFrame, r.rest-int64(n)*viewFrame); err == nil && int64(len(text)) != want {
		err = errDamaged
	}
	if err != nil {
		r.frame = -1
		return nil, fmt.Errorf("cannot read %s, by which a layer is read: %w", r.view.Name(), err)
	}
	r.frame, r.text = n, text
	return text, nil
}

// file reads what a file contains. One that is not what it was is an error.
func (r *reader) file(b []byte, i int, off int64) (int, error) {
	p := r.parts[i]
	if r.part != i {
		r.forget()
		f, err := p.open(r.root)
		if err != nil {
			return 0, fmt.Errorf("cannot read a layer out of %s: %w: build the image again", r.dir, err)
		}
		r.open, r.part = f, i
	}
	n, err := r.open.ReadAt(b, off)
	if errors.Is(err, io.EOF) && n < len(b) {
		return n, fmt.Errorf("cannot read a layer out of %s: file %s has become shorter: build the image again", r.dir, p.name)
	}
	if n == len(b) {
		err = nil
	}
	return n, err
}

// open opens the file of a part.
func (p part) open(root *os.Root) (*os.File, error) {
	f, err := root.OpenFile(p.name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = p.check(info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// check is an error if a file is not the one that a part was taken from.
func (p part) check(info os.FileInfo) error {
	if !info.Mode().IsRegular() || info.Size() != p.size || info.ModTime().Unix() != p.time {
		return fmt.Errorf("file %s has changed: it had %d bytes and was of %s", p.name, p.size, time.Unix(p.time, 0).UTC().Format(time.RFC3339))
	}
	return nil
}

// encode writes the table. sizes are those of the frames, parts what recorder.add has written of count parts.
func encode(dir string, rest int64, sizes []int64, count int, parts []byte) []byte {
	var b bytes.Buffer
	putString(&b, dir)
	put(&b, rest)
	put(&b, int64(len(sizes)))
	for _, n := range sizes {
		put(&b, n)
	}
	put(&b, int64(count))
	b.Write(parts)
	return b.Bytes()
}

func put(b *bytes.Buffer, n int64) {
	var v [binary.MaxVarintLen64]byte
	b.Write(v[:binary.PutVarint(v[:], n)])
}

func putString(b *bytes.Buffer, s string) {
	put(b, int64(len(s)))
	b.WriteString(s)
}
