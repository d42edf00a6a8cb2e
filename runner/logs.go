package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A log is kept as lines of text: time, stream, whether the line is whole,
// and what was printed:
//
//	2026-01-02T15:04:05.999999999Z stdout F hello
//
// F is the end of a line, P a part of one. A file is rotated at logSize;
// logFiles of them are kept.
const (
	logSize  = 10 << 20
	logFiles = 5
	lineSize = 16 << 10
)

func (r *Runner) logPath(id string) string { return filepath.Join(r.dir(id), "log") }

// logWriter writes the log of one container.
type logWriter struct {
	path string
	now  func() time.Time

	mu      sync.Mutex
	file    *os.File      // guarded by mu; opened by the first line
	size    int64         // guarded by mu
	partial [2][]byte     // guarded by mu; of an unfinished line of each stream, what the file does not have
	begun   [2]bool       // guarded by mu; the file has a part of the unfinished line
	ended   [2]int        // guarded by mu; how many lines of each stream have ended
	spools  [2]*spool     // guarded by mu; where each stream comes from, or nil
	grown   chan struct{} // guarded by mu; closed when something was written
	closed  bool          // guarded by mu
	failed  bool          // guarded by mu; the last write failed, and that was said
	rotated int           // guarded by mu; how often the file was rotated
	last    time.Time     // guarded by mu; of the last line
}

func newLogWriter(path string, now func() time.Time) *logWriter {
	return &logWriter{path: path, now: now, grown: make(chan struct{})}
}

// Write splits what a process printed into lines. It never fails: a log that
// can't be written must not hold the process up.
func (w *logWriter) Write(stderr bool, p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out bytes.Buffer
	part := &w.partial[index(stderr)]
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			*part = append(*part, p...)
			for len(*part) >= lineSize {
				w.piece(&out, stderr, 'P', (*part)[:lineSize])
				*part = append([]byte(nil), (*part)[lineSize:]...)
			}
			break
		}
		rest := append(*part, p[:i]...)
		for len(rest) > lineSize {
			w.piece(&out, stderr, 'P', rest[:lineSize])
			rest = rest[lineSize:]
		}
		w.piece(&out, stderr, 'F', rest)
		*part = (*part)[:0]
		p = p[i+1:]
	}
	w.append(stderr, out.Bytes())
}

// EndLine writes what a stream left unfinished at its end.
func (w *logWriter) EndLine(stderr bool) { w.flush(stderr, 'F') }

// ShowLine writes what has come of an unfinished line, so that it can be read.
func (w *logWriter) ShowLine(stderr bool) { w.flush(stderr, 'P') }

func (w *logWriter) flush(stderr bool, mark byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	part := &w.partial[index(stderr)]
	if len(*part) == 0 && (mark == 'P' || !w.begun[index(stderr)]) {
		return
	}
	var out bytes.Buffer
	w.piece(&out, stderr, mark, *part)
	*part = nil
	w.append(stderr, out.Bytes())
}

// Unfinished says whether something of an unfinished line of a stream can't be
// read yet, and the how manieth line that is.
func (w *logWriter) Unfinished(stderr bool) (number int, hidden bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended[index(stderr)], len(w.partial[index(stderr)]) > 0
}

// SetSpool says that what is written of a stream lies in a spool as well,
// which is to be told what the log has.
func (w *logWriter) SetSpool(stderr bool, s *spool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spools[index(stderr)] = s
}

// Size is how long the file is.
func (w *logWriter) Size() int64 {
	st, err := os.Stat(w.path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// stamp is the time of the next line. No two lines have the same, so that a
// reader can go on after the last one it had. The caller holds mu.
func (w *logWriter) stamp() time.Time {
	at := w.now().UTC()
	if !at.After(w.last) {
		at = w.last.Add(1)
	}
	w.last = at
	return at
}

func index(stderr bool) int {
	if stderr {
		return 1
	}
	return 0
}

// piece writes a line or a part of one. The caller holds mu.
func (w *logWriter) piece(out *bytes.Buffer, stderr bool, mark byte, text []byte) {
	line(out, w.stamp(), stderr, mark, text)
	w.begun[index(stderr)] = mark == 'P'
	if mark == 'F' {
		w.ended[index(stderr)]++
	}
}

func line(out *bytes.Buffer, at time.Time, stderr bool, mark byte, text []byte) {
	stream := " stdout "
	if stderr {
		stream = " stderr "
	}
	out.WriteString(at.Format(time.RFC3339Nano))
	out.WriteString(stream)
	out.WriteByte(mark)
	out.WriteByte(' ')
	out.Write(text)
	out.WriteByte('\n')
}

// append writes whole lines of one stream to the file, rotating it when it is
// full. The caller has put what is left of the stream into partial.
func (w *logWriter) append(stderr bool, p []byte) {
	if len(p) == 0 || w.closed {
		return
	}
	if w.file != nil && w.size+int64(len(p)) > logSize {
		w.rotate()
	}
	if w.file == nil {
		if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
			return
		}
		f, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		st, err := f.Stat()
		if err != nil {
			f.Close()
			return
		}
		w.file, w.size = f, st.Size()
	}
	from := w.spools[index(stderr)]
	if from != nil {
		from.begin(w.size, len(w.partial[index(stderr)]))
	}
	n, err := w.file.Write(p)
	w.size += int64(n)
	w.failed = err != nil
	if from != nil {
		from.done()
	}
	close(w.grown)
	w.grown = make(chan struct{})
}

func (w *logWriter) rotate() {
	w.file.Close()
	w.file = nil
	for i := logFiles - 1; i > 0; i-- {
		os.Rename(numbered(w.path, i-1), numbered(w.path, i))
	}
	w.size = 0
	w.rotated++
}

// numbered is the path of a rotated file; 0 is the present one.
func numbered(path string, i int) string {
	if i == 0 {
		return path
	}
	return fmt.Sprintf("%s.%d", path, i)
}

// Suspend closes the log so that the next engine can go on with it: of lines
// that are not finished and that no spool has, what came so far is written as
// their first part.
func (w *logWriter) Suspend() {
	w.mu.Lock()
	for i := range w.partial {
		if len(w.partial[i]) > 0 && w.spools[i] == nil {
			var out bytes.Buffer
			w.piece(&out, i == 1, 'P', w.partial[i])
			w.partial[i] = nil
			w.append(i == 1, out.Bytes())
		}
	}
	w.mu.Unlock()
	w.Close()
}

// Close ends the log; followers see its end.
func (w *logWriter) Close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
	close(w.grown)
}

// state is what a follower needs: a channel that is closed by the next write,
// how often the file was rotated, and whether the log has ended.
func (w *logWriter) state() (grown <-chan struct{}, rotated int, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grown, w.rotated, w.closed
}

// position is where a reader goes on: the byte of a file, and which file that
// is, counted by rotations.
type position struct {
	offset  int64
	rotated int
}

// open opens the file of a position there; of one that was rotated away, the
// oldest that is left. The file is nil where there is none.
func (w *logWriter) open(at position) (*os.File, position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if oldest := w.rotated - logFiles + 1; at.rotated < oldest {
		at = position{rotated: oldest}
	}
	f, err := os.Open(numbered(w.path, w.rotated-at.rotated))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, at, nil
	}
	if err == nil {
		_, err = f.Seek(at.offset, io.SeekStart)
	}
	return f, at, err
}

// files opens all files there are, the oldest first, and says where they end.
func (w *logWriter) files() ([]*os.File, position, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []*os.File
	end := position{rotated: w.rotated}
	for i := logFiles - 1; i >= 0; i-- {
		f, err := os.Open(numbered(w.path, i))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return list, end, err
		}
		list = append(list, f)
		if i == 0 {
			st, err := f.Stat()
			if err != nil {
				return list, end, err
			}
			end.offset = st.Size()
		}
	}
	return list, end, nil
}
