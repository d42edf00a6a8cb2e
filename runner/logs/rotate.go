package logs

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Retention says what is kept of what a container prints. The zero value is the usual.
type Retention struct {
	None     bool  // nothing is
	Hidden   bool  // what is not sent yet; nobody reads it here
	Size     int64 // bytes after which a file is rotated
	Files    int   // that are kept
	Compress bool  // those that are full
}

func (r Retention) orUsual() Retention {
	if r.Size <= 0 {
		r.Size = logSize
	}
	if r.Files <= 0 {
		r.Files = logFiles
	}
	return r
}

// zipped is the end of the names of compressed files.
const zipped = ".gz"

// numbered is the path of a rotated file; 0 is the present one.
func numbered(path string, i int) string {
	if i == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, i)
}

// rotate makes room for a new file; the caller holds mu.
func (w *Log) rotate() error {
	w.letGo()
	w.stampFile()
	w.noteGone(w.keep.Files - 1)
	for i := w.keep.Files - 1; i > 0; i-- {
		if err := shift(numbered(w.path, i-1), numbered(w.path, i)); err != nil {
			return err
		}
	}
	if w.keep.Files == 1 {
		if err := os.Remove(w.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	} else if w.keep.Compress {
		w.pack(numbered(w.path, 1))
	}
	w.size = 0
	w.rotated++
	return nil
}

// shift renames a file, compressed or not, which may not be there. For a moment it is
// there as both.
func shift(from, to string) error {
	var moved [2]bool
	ends := [2]string{"", zipped}
	for i, end := range ends {
		err := os.Rename(from+end, to+end)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		moved[i] = err == nil
	}
	for i, end := range ends {
		if !moved[i] && moved[1-i] {
			_ = os.Remove(to + end) // what stood there before
		}
	}
	return nil
}

// dropOldest removes the oldest of the files that are full, if there is one.
func (w *Log) dropOldest() bool {
	for i := w.keep.Files - 1; i > 0; i-- {
		w.noteGone(i)
		for _, end := range []string{"", zipped} {
			if os.Remove(numbered(w.path, i)+end) == nil {
				return true
			}
		}
	}
	return false
}

// segment is one file of a log, as it was written. What can't be read of it, such as
// the end of a compressed one after a power failure, is passed over: it ends there.
type segment struct {
	in    io.Reader // nil: nothing of it can be read
	file  *os.File
	isZip bool
	end   int64 // how much of a plain one is meant, where a reader wants what is there
	bad   error // why it does not go on; nil: it does
}

// isPlain says that any place of it can be read.
func (s *segment) isPlain() bool { return !s.isZip }

// Read implements io.Reader.
func (s *segment) Read(p []byte) (int, error) {
	if s.bad != nil {
		return 0, io.EOF
	}
	n, err := s.in.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		s.bad, err = err, io.EOF
	}
	return n, err
}

func (s *segment) Close() error { return s.file.Close() }

// openSegment opens a file of a log, compressed or not.
func openSegment(path string) (*segment, error) {
	f, err := os.Open(path)
	if err == nil {
		return &segment{in: f, file: f}, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if f, err = os.Open(path + zipped); err != nil {
		return nil, err
	}
	z, err := gzip.NewReader(f)
	if errors.Is(err, io.EOF) { // not even a header
		err = io.ErrUnexpectedEOF
	}
	return &segment{in: z, file: f, isZip: true, bad: err}, nil
}

// Position is where a reader goes on: the byte of a file, and which file that
// is, counted by rotations.
type Position struct {
	offset   int64
	rotated  int
	failures int // that the reader was told of
}

// open opens the file of a position there; of one that was rotated away, the
// oldest that is left. The file is nil where there is none.
func (w *Log) open(at Position) (*segment, Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if oldest := w.rotated - w.keep.Files + 1; at.rotated < oldest {
		at = Position{rotated: oldest, failures: at.failures}
	}
	f, err := openSegment(numbered(w.path, w.rotated-at.rotated))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, at, nil
	}
	if err != nil {
		return nil, at, err
	}
	if f.isPlain() {
		_, err = f.file.Seek(at.offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, f, at.offset)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		f.Close()
		return nil, at, err
	}
	return f, at, nil
}

// files opens all files there are, the oldest first, and says where they end.
func (w *Log) files() ([]*segment, Position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*segment
	end := Position{rotated: w.rotated, failures: w.failure.number}
	for i := w.keep.Files - 1; i >= 0; i-- {
		f, err := openSegment(numbered(w.path, i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return list, end, err
		}
		list = append(list, f)
		if !f.isPlain() {
			continue
		}
		st, err := f.file.Stat()
		if err != nil {
			return list, end, err
		}
		f.end = st.Size()
		f.in = io.LimitReader(f.file, f.end)
		if i == 0 {
			end.offset = f.end
		}
	}
	return list, end, nil
}
