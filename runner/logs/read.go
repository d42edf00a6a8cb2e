package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"
)

// Selection says which lines of a log are meant.
type Selection struct {
	Tail  int       // the last lines; negative: all
	Since time.Time // zero: from the start
	Until time.Time // zero: to the end
}

// Line is one line, or a part of one, that a container printed.
type Line struct {
	Origin
	Time    time.Time
	Stderr  bool
	Partial bool
	Text    []byte
}

// Past gives the lines that the logs have now, those of all in the order of
// time. Follow goes on with each where ends says; an error of emit ends Past.
func Past(list []*Log, which Selection, emit func(Line) error) (ends []Position, err error) {
	var feeds []iter.Seq2[Line, error]
	for _, w := range list {
		files, at, err := w.files()
		defer closeAll(files)
		if err != nil {
			return nil, err
		}
		ends = append(ends, at)
		feeds = append(feeds, w.lines(files, which))
	}
	return ends, inOrder(feeds, emit)
}

// Last gives the last whole lines since a moment, to explain a failure.
func (w *Log) Last(n int, since time.Time) []string {
	lines, _, err := w.past(Selection{Tail: n, Since: since})
	if err != nil {
		return nil
	}
	return joined(lines)
}

func closeAll(files []*segment) {
	for _, f := range files {
		f.Close()
	}
}

// maxTail is more lines than the files of a log hold.
const maxTail = 1 << 30

// lines are those that are there; with a tail, the last of them. The text of one is valid
// until the next one is asked for.
func (w *Log) lines(files []*segment, opts Selection) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if w.keep.Hidden {
			files = nil
		}
		var err error
		goesOn := true
		var last []Line
		if opts.Tail >= 0 {
			last, err = w.lastOf(files, opts)
		} else {
			goesOn, err = w.all(files, opts, yield)
		}
		if err != nil && goesOn {
			yield(Line{}, err)
		}
		if err != nil || !goesOn {
			return
		}
		if l, damaged := w.damageLine(files); damaged && opts.Tail != 0 && opts.in(l.Time) && !yield(l, nil) {
			return
		}
		for _, l := range last {
			if !yield(l, nil) {
				return
			}
		}
		if l, lost := w.lossLine(); lost && opts.in(l.Time) && !yield(l, nil) {
			return
		}
		for _, l := range w.notices() {
			if opts.Tail != 0 && !yield(l, nil) {
				return
			}
		}
	}
}

// all gives all lines of files, the oldest of which is the first, until yield has enough.
func (w *Log) all(files []*segment, opts Selection, yield func(Line, error) bool) (goesOn bool, err error) {
	for _, f := range files {
		if !f.isPlain() && f.isBefore(opts.Since) {
			continue
		}
		if err := f.seek(opts.Since); err != nil {
			return true, err
		}
		err := w.scan(f, func(l Line) error {
			if opts.in(l.Time) && !yield(l, nil) {
				return errEnough
			}
			return nil
		})
		if err == errEnough {
			return false, nil
		}
		if err != nil {
			return true, err
		}
	}
	return true, nil
}

// tail keeps the last lines of a log, each with all its pieces.
type tail struct {
	lines  int // to keep
	pieces []Line
	ends   int // of lines among the pieces
}

func (t *tail) add(l Line) {
	t.pieces = append(t.pieces, l)
	if !l.Partial {
		t.ends++
	}
	switch {
	case t.ends > 2*t.lines+1000:
		t.pieces, t.ends = t.take(), t.lines
	case len(t.pieces) > t.ends+2*mostPieces: // a line without an end, such as a progress bar's
		t.pieces = slices.Delete(t.pieces, 0, len(t.pieces)-t.ends-mostPieces)
	}
}

// mostPieces is how many pieces of lines that have not ended are kept: 16 MiB.
const mostPieces = 1024

// take gives the pieces of the last lines. Those of the two streams may lie
// between each other.
func (t *tail) take() []Line {
	var taken []Line
	var known, ours [2]bool // of each stream: that a piece of it came later, and that the line of that piece is taken
	for n, i := 0, len(t.pieces)-1; i >= 0 && (n < t.lines || ours[0] || ours[1]); i-- {
		l := t.pieces[i]
		s := Index(l.Stderr)
		if !l.Partial || !known[s] { // the end of a line, as seen from here
			ours[s] = n < t.lines
			n++
		}
		known[s] = true
		if ours[s] {
			taken = append(taken, l)
		}
	}
	slices.Reverse(taken)
	return taken
}

// inOrder gives the lines of all feeds, each of which is in the order of time,
// in that order; of each feed it holds one line at a time.
func inOrder(feeds []iter.Seq2[Line, error], emit func(Line) error) error {
	if len(feeds) == 1 {
		for l, err := range feeds[0] {
			if err == nil {
				err = emit(l)
			}
			if err != nil {
				return err
			}
		}
		return nil
	}
	type head struct {
		line Line
		next func() (Line, error, bool)
	}
	var heads []*head
	for _, f := range feeds {
		next, stop := iter.Pull2(f)
		defer stop()
		heads = append(heads, &head{next: next})
	}
	advance := func(h *head) (ok bool, err error) {
		h.line, err, ok = h.next()
		return ok, err
	}
	for i := 0; i < len(heads); {
		switch ok, err := advance(heads[i]); {
		case err != nil:
			return err
		case !ok:
			heads = slices.Delete(heads, i, i+1)
		default:
			i++
		}
	}
	for len(heads) > 0 {
		first := 0
		for i, h := range heads {
			if h.line.Time.Before(heads[first].line.Time) {
				first = i
			}
		}
		if err := emit(heads[first].line); err != nil {
			return err
		}
		switch ok, err := advance(heads[first]); {
		case err != nil:
			return err
		case !ok:
			heads = slices.Delete(heads, first, first+1)
		}
	}
	return nil
}

// past reads the lines that are there.
func (w *Log) past(opts Selection) ([]Line, Position, error) {
	files, at, err := w.files()
	defer closeAll(files)
	var lines []Line
	if err != nil {
		return nil, at, err
	}
	for l, err := range w.lines(files, opts) {
		if err != nil {
			return lines, at, err
		}
		l.Text = bytes.Clone(l.Text)
		lines = append(lines, l)
	}
	return lines, at, nil
}

func (o *Selection) in(t time.Time) bool {
	return (o.Since.IsZero() || !t.Before(o.Since)) && (o.Until.IsZero() || !t.After(o.Until))
}

// Follow gives each line as it is written, until the log or ctx ends; if that is for
// ErrOver, with what is there then. The text of a line is valid until emit returns; drained,
// which may be nil, is told that those are all by now. Of a log that nobody reads here it
// gives none.
func (w *Log) Follow(ctx context.Context, opts Selection, at Position, emit func(Line) error, drained func() error) error {
	if w.keep.Hidden {
		emit = func(Line) error { return nil }
	}
	return w.follow(ctx, opts, at, follower{emit: emit, drained: drained})
}

// follower is told what comes to a log.
type follower struct {
	emit    func(Line) error
	drained func() error // that this is all by now; may be nil
	missed  func()       // that lines went which were not read yet; may be nil
}

// follow is Follow for any follower.
func (w *Log) follow(ctx context.Context, opts Selection, at Position, to follower) error {
	var f *segment
	var r lineReader // of it
	defer func() {
		if f != nil {
			f.Close()
		}
	}()
	wanted := func(l Line) error {
		if !opts.in(l.Time) {
			return nil
		}
		return to.emit(l)
	}
	missed := func() {
		if to.missed != nil {
			to.missed()
		}
	}
	isToldBad := false // that f can't be read to its end
	over := false      // what is there is read once more
	for {
		grown, rotated, closed := w.state()
		if f == nil {
			asked := at.rotated
			var err error
			if f, at, err = w.open(at); err != nil {
				return err
			}
			if asked >= 0 && (at.rotated > asked || f == nil && at.rotated < rotated) {
				missed()
			}
			r, isToldBad = lineReader{in: f}, false
		}
		if f != nil {
			if err := r.each(&w.origin, wanted); err != nil {
				return err
			}
			if f.bad != nil && !isToldBad {
				isToldBad = true
				missed()
			}
		}
		if at.rotated < rotated { // this file was whole before it was read
			if f != nil {
				f.Close()
				f = nil
			}
			at = Position{rotated: at.rotated + 1, failures: at.failures}
			continue
		}
		if err := w.tellFailure(&at, wanted); err != nil {
			return err
		}
		if to.drained != nil {
			if err := to.drained(); err != nil {
				return err
			}
		}
		if closed || over {
			return nil
		}
		r.rest()
		read := time.Now()
		select {
		case <-ctx.Done():
			if over = errors.Is(context.Cause(ctx), ErrOver); !over {
				return nil
			}
		case <-grown:
			if to.drained != nil { // it has to send what it is given
				w.gather(ctx, read)
			}
		}
	}
}

// gathering is how long a follower lets lines gather that come one upon the other.
const gathering = 10 * time.Millisecond

// gather waits where the log was read a moment ago, so that a follower of one that grows
// all the time does not read it for each line. What comes after a silence is read at once.
func (w *Log) gather(ctx context.Context, read time.Time) {
	wait := gathering - time.Since(read)
	if wait <= 0 {
		return
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	case <-w.over:
	}
}

// damageLine tells a reader that some of what was kept can't be read.
func (w *Log) damageLine(files []*segment) (Line, bool) {
	for _, f := range files {
		if f.bad != nil {
			text := fmt.Sprintf("orlop: a file of the log is damaged, and what it held from there on is not shown: %v", reason(f.bad))
			return Line{Origin: w.origin, Time: w.now(), Stderr: true, Text: []byte(text)}, true
		}
	}
	return Line{}, false
}

// tellFailure tells a follower that the log can't be written, once.
func (w *Log) tellFailure(at *Position, emit func(Line) error) error {
	l, number, isNew := w.failureSince(at.failures)
	at.failures = number
	if !isNew {
		return nil
	}
	return emit(l)
}

// scan gives the lines of a log.
func (w *Log) scan(in io.Reader, each func(Line) error) error {
	r := lineReader{in: in}
	return r.each(&w.origin, each)
}

// joined are the texts of whole lines.
func joined(pieces []Line) []string {
	out := []string{}
	var begun [2][]byte
	for _, l := range pieces {
		part := &begun[Index(l.Stderr)]
		if *part = append(*part, l.Text...); !l.Partial {
			out = append(out, string(*part))
			*part = nil
		}
	}
	for _, part := range begun { // not finished yet
		if len(part) > 0 {
			out = append(out, string(part))
		}
	}
	return out
}
