package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Pauses while a log can't be written.
const (
	retryAfter = time.Second // between tries to write it
	warnAfter  = time.Minute // between words about it in the engine's log
)

// failure is a time during which a log could not be written. Its container goes
// on; what it prints then is lost.
type failure struct {
	number int       // of such times, this one included
	err    error     // why; nil while the log is written
	tried  time.Time // last
	warned time.Time // last
	isOpen [2]bool   // of each stream: the file ends in a part of a line
	isCut  bool      // the file ends within what was written last
	ended  [2]int    // how many lines of each stream had ended by then
}

// fail notes that of p, which is of one stream, only n bytes could be written.
func (w *Log) fail(stderr bool, p []byte, n int, err error) {
	for text := range bytes.Lines(p[:n]) {
		if l, ok := parseLine(bytes.TrimSuffix(text, []byte("\n"))); ok && !l.Partial && bytes.HasSuffix(text, []byte("\n")) {
			w.kept[Index(stderr)]++
		}
	}
	f, now := &w.failure, w.now()
	if f.err == nil {
		f.number++
		f.isOpen = w.midLine
	}
	if n > 0 {
		f.isCut = p[n-1] != '\n'
		f.isOpen[Index(stderr)] = w.begun[Index(stderr)]
	}
	f.err, f.tried, f.ended = err, now, w.ended
	if f.warned.IsZero() || now.Sub(f.warned) >= warnAfter {
		f.warned = now
		w.log.Warn("a container's log cannot be written: what it prints is lost", "container", w.origin.Container, "error", err)
	}
}

// isPaused says that writing is not tried: it failed a moment ago.
func (f *failure) isPaused(now time.Time) bool {
	return f.err != nil && now.Sub(f.tried) < retryAfter
}

// recovery is what a log has to say of a failure once it can be written again.
func (w *Log) recovery() []byte {
	var out []byte
	now := w.now().UTC()
	if w.failure.isCut {
		out = append(out, '\n')
	}
	for i, isOpen := range w.failure.isOpen {
		if isOpen {
			out = appendLine(out, w.stamp(now), i == 1, 'F', nil)
		}
	}
	return appendLine(out, w.stamp(now), true, 'F', []byte(w.lossText()))
}

// recovered notes that a log is written again.
func (w *Log) recovered() {
	w.log.Info("a container's log is written again", "container", w.origin.Container, "lost", w.lost())
	w.failure.err, w.failure.isCut = nil, false
}

// lost is how many lines have ended during the failure.
func (w *Log) lost() int {
	return w.failure.ended[0] + w.failure.ended[1] - w.kept[0] - w.kept[1]
}

func (w *Log) lossText() string {
	lines := "1 line is"
	if n := w.lost(); n > 1 {
		lines = fmt.Sprintf("%d lines are", n)
	}
	return fmt.Sprintf("orlop: %s lost: the log cannot be written: %v", lines, reason(w.failure.err))
}

// lossLine tells a reader of a log that ends in a failure.
func (w *Log) lossLine() (Line, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.failure.err == nil {
		return Line{}, false
	}
	return Line{Origin: w.origin, Time: w.last, Stderr: true, Text: []byte(w.lossText())}, true
}

// failureSince gives a follower, who was told of so many failures, the word
// about the one that there is now.
func (w *Log) failureSince(told int) (l Line, number int, isNew bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := &w.failure; f.err == nil || f.number == told {
		return Line{}, f.number, false
	}
	text := fmt.Sprintf("orlop: the log cannot be written, and what is printed from here on is lost: %v", reason(w.failure.err))
	return Line{Origin: w.origin, Time: w.last, Stderr: true, Text: []byte(text)}, w.failure.number, true
}

// Failure is why the log can't be written at the moment, or nil.
func (w *Log) Failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.failure.err
}

// reason is an error of a file without its path, which is the engine's.
func reason(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
