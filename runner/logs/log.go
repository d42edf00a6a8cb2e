// Package logs keeps what containers print: a log of each, written line by line,
// rotated, and read by many while it grows. What has left a pipe and is in no
// log yet lies in a spool, so that an engine that is killed loses none of it. It
// knows files and pipes, and nothing of what prints.
package logs

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/disk"
)

// A log is kept as lines of text: time, stream, whether the line is whole,
// and what was printed:
//
//	2026-01-02T15:04:05.999999999Z stdout F hello
//
// F is the end of a line, P a part of one. Where nobody says otherwise, a file is
// rotated at logSize, and logFiles of them are kept.
const (
	logSize  = 10 << 20
	logFiles = 5
	lineSize = 16 << 10
)

// Origin is the container that a log is of.
type Origin struct {
	ID        string
	Container string // its name
	Service   string
	Number    int
	OneOff    bool
}

// Config is what a log needs.
type Config struct {
	Path   string // of its file; what it keeps for long lies beside it
	Origin Origin
	Now    func() time.Time
	Log    *slog.Logger // is told when the log can't be kept
	Keep   Retention
	To     Delivery // where its lines are sent; the zero value: nowhere
	Lost   func()   // is told once that some were not; may be nil
}

// Log is the log of one container.
type Log struct {
	path   string
	origin Origin
	now    func() time.Time
	log    *slog.Logger
	keep   Retention
	sender *sender // nil: it is sent nowhere

	mu      sync.Mutex
	file    *os.File      // guarded by mu; opened by the first line
	size    int64         // guarded by mu
	isTorn  bool          // guarded by mu; the file ends within a line
	partial [2][]byte     // guarded by mu; of an unfinished line of each stream, what the file does not have
	begun   [2]bool       // guarded by mu; the file has a part of the unfinished line
	ended   [2]int        // guarded by mu; how many lines of each stream have ended
	spools  [2]*Spool     // guarded by mu; where each stream comes from, or nil
	out     []byte        // guarded by mu; what the last of many lines were written from
	grown   chan struct{} // guarded by mu; closed when something was written
	closed  bool          // guarded by mu
	over    chan struct{} // closed when the log has ended
	rotated int           // guarded by mu; how often the file was rotated
	last    time.Time     // guarded by mu; of the last line
	kept    [2]int        // guarded by mu; how many of the ended lines the file has
	midLine [2]bool       // guarded by mu; of each stream: what the file has ends in a part of a line
	failure failure       // guarded by mu
	newest  time.Time     // guarded by mu; of the last line that the file has, as far as this engine wrote it
	packing packing       // guarded by mu

	toldMu sync.Mutex // beside mu, which is held while files are written: who asks what is unsent waits for no disk
	unsent unsent     // guarded by toldMu
}

// New is the log that goes on with what is at the path of its file. It must be
// closed.
func New(cfg Config) *Log {
	w := &Log{path: cfg.Path, origin: cfg.Origin, now: cfg.Now, log: cfg.Log, keep: cfg.Keep.orUsual(), grown: make(chan struct{}), over: make(chan struct{})}
	w.sender = w.startSending(cfg.To, cfg.Lost)
	return w
}

// Write splits what a process printed into lines. It never fails: a log that
// can't be written must not hold the process up.
func (w *Log) Write(stderr bool, p []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.now().UTC() // all of it came out of the pipe together
	out, isMuch := w.out[:0], len(p) >= spoolChunk/8
	part := &w.partial[Index(stderr)]
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			*part = append(*part, p...)
			for len(*part) >= lineSize {
				out = w.piece(out, now, stderr, 'P', (*part)[:lineSize])
				*part = append([]byte(nil), (*part)[lineSize:]...)
			}
			break
		}
		rest := p[:i]
		if len(*part) > 0 {
			rest = append(*part, rest...)
		}
		for len(rest) > lineSize {
			out = w.piece(out, now, stderr, 'P', rest[:lineSize])
			rest = rest[lineSize:]
		}
		out = w.piece(out, now, stderr, 'F', rest)
		*part = (*part)[:0]
		p = p[i+1:]
		if int64(len(out)) >= w.keep.Size/4 { // so that a file holds no more than it is to
			w.append(stderr, out, len(p))
			out = out[:0]
		}
	}
	w.append(stderr, out, 0)
	if w.out = out; !isMuch { // no flood needs it again
		w.out = nil
	}
}

// endLine writes what a stream left unfinished at its end.
func (w *Log) endLine(stderr bool) { w.flush(stderr, 'F') }

// showLine writes what has come of an unfinished line, so that it can be read.
func (w *Log) showLine(stderr bool) { w.flush(stderr, 'P') }

func (w *Log) flush(stderr bool, mark byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	part := &w.partial[Index(stderr)]
	if len(*part) == 0 && (mark == 'P' || !w.begun[Index(stderr)]) {
		return
	}
	out := w.piece(nil, w.now().UTC(), stderr, mark, *part)
	*part = nil
	w.append(stderr, out, 0)
}

// unfinished says whether something of an unfinished line of a stream can't be
// read yet, and the how manieth line that is.
func (w *Log) unfinished(stderr bool) (number int, hidden bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended[Index(stderr)], len(w.partial[Index(stderr)]) > 0
}

// setSpool says that what is written of a stream lies in a spool as well,
// which is to be told what the log has.
func (w *Log) setSpool(stderr bool, s *Spool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spools[Index(stderr)] = s
}

// fileSize is how long the file is.
func (w *Log) fileSize() int64 {
	st, err := os.Stat(w.path)
	if err != nil {
		return 0
	}
	return st.Size()
}

// stamp is the time of the next line, which came at a time. No two lines have the same, so
// that a reader can go on after the last one it had. The caller holds mu.
func (w *Log) stamp(at time.Time) time.Time {
	if !at.After(w.last) {
		at = w.last.Add(1)
	}
	w.last = at
	return at
}

// Index is the place of a stream among two: standard output, then error.
func Index(stderr bool) int {
	if stderr {
		return 1
	}
	return 0
}

// piece adds a line or a part of one, which came at a time. The caller holds mu.
func (w *Log) piece(out []byte, at time.Time, stderr bool, mark byte, text []byte) []byte {
	w.begun[Index(stderr)] = mark == 'P'
	if mark == 'F' {
		w.ended[Index(stderr)]++
	}
	return appendLine(out, w.stamp(at), stderr, mark, text)
}

func appendLine(out []byte, at time.Time, stderr bool, mark byte, text []byte) []byte {
	stream := " stdout "
	if stderr {
		stream = " stderr "
	}
	out = at.AppendFormat(out, time.RFC3339Nano)
	out = append(out, stream...)
	out = append(out, mark, ' ')
	out = append(out, text...)
	return append(out, '\n')
}

// append writes whole lines of one stream to the file, or notes that they are
// lost. The caller has put what is left of the stream into partial, but for so many
// bytes that it writes next, and holds mu.
func (w *Log) append(stderr bool, p []byte, next int) {
	if len(p) == 0 || w.closed {
		return
	}
	from := w.spools[Index(stderr)]
	if from != nil {
		from.begin(w.size, len(w.partial[Index(stderr)])+next)
	}
	if w.keep.None {
		w.kept = w.ended
	} else if w.failure.isPaused(w.now()) {
		w.failure.ended = w.ended
	} else if n, err := w.write(p); err != nil {
		w.fail(stderr, p, n, err)
	} else {
		w.kept, w.midLine[Index(stderr)] = w.ended, w.begun[Index(stderr)]
	}
	if from != nil {
		from.done()
	}
	close(w.grown)
	w.grown = make(chan struct{})
}

// write writes whole lines to the file, after what is to be said of a failure
// before them. It says how many bytes of p the file has.
func (w *Log) write(p []byte) (n int, err error) {
	if err := w.ready(len(p)); err != nil {
		return 0, err
	}
	if w.failure.err != nil {
		w.failure.isCut, w.isTorn = w.failure.isCut || w.isTorn, false
		word := w.recovery()
		n, err := w.file.Write(word)
		w.size += int64(n)
		if err != nil {
			w.failure.isCut = w.failure.isCut || n > 0
			w.letGo()
			return 0, err
		}
		w.recovered()
	}
	torn := w.isTorn
	if torn {
		p = slices.Concat([]byte("\n"), p) // with it, for the spool counts on one write
	}
	n, err = w.file.Write(p)
	w.size += int64(n)
	if n > 0 {
		w.newest = w.last
	}
	if torn && n > 0 {
		w.isTorn = false
		n--
	}
	if err != nil {
		w.letGo()
	}
	return n, err
}

// isCutOff says that a file has no whole line at its end, such as a power failure leaves:
// what is written next would be lost with it.
func isCutOff(f *os.File, size int64) bool {
	last := make([]byte, 1)
	_, err := f.ReadAt(last, size-1)
	return size > 0 && err == nil && last[0] != '\n'
}

// ready opens the file that so many bytes are to be written to: a new one where
// it is full, or was removed.
func (w *Log) ready(length int) error {
	if err := w.leaveSpare(); err != nil {
		return err
	}
	if w.file != nil {
		var st unix.Stat_t
		if err := unix.Fstat(int(w.file.Fd()), &st); err == nil && st.Nlink == 0 {
			w.letGo()
			w.size = 0
			w.rotated++ // for who reads it
		}
	}
	if w.file != nil && w.size > 0 && w.size+int64(length) > w.keep.Size {
		if err := w.rotate(); err != nil {
			return err
		}
	}
	if w.file != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(w.path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(w.path, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	w.file, w.size, w.isTorn = f, st.Size(), isCutOff(f, st.Size())
	return nil
}

// leaveSpare is an error when the disk has so little room that it must be left
// to what is worth more than a log: what would make room again. The oldest lines
// go before the newest do.
func (w *Log) leaveSpare() error {
	for disk.MayWait(filepath.Dir(w.path)) {
		if !w.dropOldest() {
			return unix.ENOSPC
		}
	}
	return nil
}

// letGo closes the file; the next write opens what is there then.
func (w *Log) letGo() {
	w.file.Close()
	w.file = nil
}

// Suspend closes the log so that the next engine can go on with it: of lines
// that are not finished and that no spool has, what came so far is written as
// their first part.
func (w *Log) Suspend() {
	w.mu.Lock()
	for i := range w.partial {
		if len(w.partial[i]) > 0 && w.spools[i] == nil {
			out := w.piece(nil, w.now().UTC(), i == 1, 'P', w.partial[i])
			w.partial[i] = nil
			w.append(i == 1, out, 0)
		}
	}
	w.mu.Unlock()
	w.sender.stop()
	w.end()
	w.stopPacking(0)
}

// Close ends the log; followers see its end. What is left to be sent is, if it can be
// in a moment.
func (w *Log) Close() {
	w.end()
	w.sender.finish()
	w.stopPacking(lastPatience)
}

func (w *Log) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed = true
	if w.file != nil {
		w.letGo()
	}
	close(w.grown)
	close(w.over)
}

// state is what a follower needs: a channel that is closed by the next write,
// how often the file was rotated, and whether the log has ended.
func (w *Log) state() (grown <-chan struct{}, rotated int, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grown, w.rotated, w.closed
}
