package logs

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"time"
)

const (
	// clockSlack is by how much a clock may have been set back without a search by time
	// missing lines.
	clockSlack = 10 * time.Second
	// lookBack is how far before the lines that are asked for the beginning of one of them
	// is looked for, in bytes without any of it.
	lookBack = 1 << 20
)

// lastLines gathers the last lines of a log, each with all its pieces, from the end on.
// Those of the two streams may lie between each other.
type lastLines struct {
	lines  int // to gather
	pieces []Line
	n      int     // of lines that have been begun
	known  [2]bool // of each stream: that a piece of it came later
	ours   [2]bool // of each stream: that the line of that piece is taken
	passed int     // bytes since the last piece that was taken, once there are enough lines
}

// isDone says that nothing before is one of the lines.
func (t *lastLines) isDone() bool {
	return t.n >= t.lines && (!t.ours[0] && !t.ours[1] || t.passed > lookBack || len(t.pieces)-t.n > 2*mostPieces)
}

// add looks at the piece before those that it has seen. It keeps no part of its text.
func (t *lastLines) add(l Line) {
	s := Index(l.Stderr)
	if !l.Partial || !t.known[s] { // the end of a line, as seen from here
		t.ours[s] = t.n < t.lines
		if t.ours[s] {
			t.n++
		}
	}
	t.known[s] = true
	if !t.ours[s] {
		t.passed += len(l.Text)
		return
	}
	l.Text = bytes.Clone(l.Text)
	t.pieces, t.passed = append(t.pieces, l), 0
}

// errEnough ends a scan.
var errEnough = errors.New("enough")

// lastOf are the last lines of files, the oldest of which is the first.
func (w *Log) lastOf(files []*segment, opts Selection) ([]Line, error) {
	found := lastLines{lines: min(opts.Tail, maxTail)}
	early := opts.Since.Add(-clockSlack)
	isPast := false
	add := func(l Line) error {
		if isPast = !opts.Since.IsZero() && l.Time.Before(early); isPast || found.isDone() {
			return errEnough
		}
		if opts.in(l.Time) {
			found.add(l)
		}
		return nil
	}
	for i := len(files) - 1; i >= 0 && !isPast && !found.isDone(); i-- {
		var err error
		if files[i].isPlain() {
			var c clock
			err = backwards(files[i].file, files[i].end, func(text []byte) error {
				l, ok := c.line(text)
				if !ok {
					return nil
				}
				l.Origin = w.origin
				return add(l)
			})
		} else {
			err = w.lastPacked(files[i], opts, &found)
		}
		if err != nil && err != errEnough {
			return nil, err
		}
	}
	slices.Reverse(found.pieces)
	return found.pieces, nil
}

// lastPacked adds those of a compressed file, which can only be read from its start.
func (w *Log) lastPacked(f *segment, opts Selection, found *lastLines) error {
	if f.isBefore(opts.Since) {
		return nil
	}
	kept, seen := tail{lines: found.lines - min(found.n, found.lines) + 2}, 0
	err := w.scan(f, func(l Line) error {
		if opts.in(l.Time) {
			seen++
			l.Text = bytes.Clone(l.Text)
			kept.add(l)
		}
		return nil
	})
	if err != nil {
		return err
	}
	pieces := kept.take()
	for _, l := range slices.Backward(pieces) {
		if found.isDone() {
			return nil
		}
		found.add(l)
	}
	if len(pieces) < seen { // what comes before is not next to what was added
		found.ours = [2]bool{}
	}
	return nil
}

// backwards gives the whole lines of so much of a file, the last one first. What is behind
// the last end of a line is none.
func backwards(in io.ReaderAt, end int64, each func(text []byte) error) error {
	buf := make([]byte, blockSize+longest)
	var held []byte // the end of the line whose beginning is before what was read
	hasEnd, tooLong := false, false
	for end > 0 {
		n := int(min(blockSize, end))
		end -= int64(n)
		if _, err := in.ReadAt(buf[:n], end); err != nil {
			return err
		}
		text := buf[:n+copy(buf[n:], held)]
		if !hasEnd {
			i := bytes.LastIndexByte(text, '\n')
			if i < 0 {
				continue
			}
			hasEnd, text = true, text[:i]
		}
		for {
			i := bytes.LastIndexByte(text, '\n')
			if i < 0 {
				break
			}
			if line := text[i+1:]; !tooLong && len(line) <= longest {
				if err := each(line); err != nil {
					return err
				}
			}
			text, tooLong = text[:i], false
		}
		if tooLong = tooLong || len(text) > longest; tooLong {
			text = nil
		}
		held = append(held[:0], text...)
	}
	if hasEnd && !tooLong {
		if err := each(held); err != nil {
			return err
		}
	}
	return nil
}

// seek moves a file that can be to a little before the first line of a time or later;
// lines lie in it in the order of time.
func (s *segment) seek(since time.Time) error {
	if since.IsZero() || !s.isPlain() {
		return nil
	}
	since = since.Add(-clockSlack)
	from, to := int64(0), s.end // the line begins in between
	buf := make([]byte, 2*longest)
	for to-from > blockSize {
		middle := from + (to-from)/2
		n, err := s.file.ReadAt(buf[:min(int64(len(buf)), s.end-middle)], middle)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if at, begin, ok := firstTime(buf[:n]); ok && at.Before(since) {
			from = middle + int64(begin)
		} else {
			to = middle
		}
	}
	if _, err := s.file.Seek(from, io.SeekStart); err != nil {
		return err
	}
	s.in = io.LimitReader(s.file, s.end-from)
	return nil
}

// firstTime is the time of the first whole line in a part of a file, and where it begins.
func firstTime(text []byte) (at time.Time, begin int, ok bool) {
	begin = bytes.IndexByte(text, '\n') + 1
	line, _, isWhole := bytes.Cut(text[begin:], []byte("\n"))
	if begin == 0 || !isWhole {
		return time.Time{}, 0, false
	}
	l, ok := parseLine(line)
	return l.Time, begin, ok
}

// isBefore says that all lines of a full file are from before a time, by that of the file.
func (s *segment) isBefore(since time.Time) bool {
	st, err := s.file.Stat()
	return err == nil && !since.IsZero() && st.ModTime().Before(since.Add(-clockSlack))
}
