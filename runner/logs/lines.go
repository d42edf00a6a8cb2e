package logs

import (
	"bytes"
	"errors"
	"io"
	"time"
)

const (
	// blockSize is how much of a log is read at a time.
	blockSize = 64 << 10
	// longest is more than a line of a file ever has; what is longer is damage.
	longest = 2*lineSize + 128
)

// lineReader reads the lines of a file by blocks. A line is where it was read: it is valid
// until the next one is asked for.
type lineReader struct {
	in       io.Reader
	buf      []byte // nil: nothing is held
	from, to int    // what of it is unread
	tooLong  bool   // what comes up to the end of the line belongs to damage
	clock    clock
}

// next is the next line, without its end. At io.EOF it keeps what has none, and goes on
// with it if the file has grown.
func (r *lineReader) next() ([]byte, error) {
	for {
		if i := bytes.IndexByte(r.buf[r.from:r.to], '\n'); i >= 0 {
			text, isDamage := r.buf[r.from:r.from+i], r.tooLong || i > longest
			r.from, r.tooLong = r.from+i+1, false
			if isDamage {
				continue
			}
			return text, nil
		}
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads on behind what has no end yet.
func (r *lineReader) fill() error {
	if r.buf == nil {
		r.buf = make([]byte, blockSize)
	}
	if r.to-r.from > longest {
		r.tooLong, r.from = true, r.to
	}
	r.to, r.from = copy(r.buf, r.buf[r.from:r.to]), 0
	n, err := r.in.Read(r.buf[r.to:])
	r.to += n
	if n > 0 {
		return nil // the error comes again
	}
	return err
}

// rest lets go of the memory of a reader that has to wait, where it holds nothing.
func (r *lineReader) rest() {
	if r.from == r.to {
		r.buf, r.from, r.to = nil, 0, 0
	}
}

// each gives the lines up to the end of the file as it is now. What is no line, such as
// what a power failure leaves, is passed over.
func (r *lineReader) each(of *Origin, emit func(Line) error) error {
	for {
		text, err := r.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if l, ok := r.clock.line(text); ok {
			l.Origin = *of
			if err := emit(l); err != nil {
				return err
			}
		}
	}
}

// clock reads the times of lines. Most are of the same second as the line before.
type clock struct {
	second string // as it is written, without its fraction
	unix   int64
}

const secondForm = "2006-01-02T15:04:05"

// line parses a line; its text is a part of what it is parsed from.
func (c *clock) line(text []byte) (Line, bool) {
	stamp, rest, ok := bytes.Cut(text, []byte(" "))
	if !ok || len(rest) < 9 {
		return Line{}, false
	}
	at, ok := c.read(stamp)
	if !ok {
		return Line{}, false
	}
	return Line{Time: at, Stderr: string(rest[:6]) == "stderr", Partial: rest[7] == 'P', Text: rest[9:]}, true
}

func (c *clock) read(stamp []byte) (time.Time, bool) {
	head := len(secondForm)
	if len(stamp) > head && string(stamp[:head]) == c.second {
		if ns, ok := fraction(stamp[head:]); ok {
			return time.Unix(c.unix, ns).UTC(), true
		}
	}
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return time.Time{}, false
	}
	if _, ok := fraction(stamp[head:]); ok {
		c.second, c.unix = string(stamp[:head]), at.Unix()
	}
	return at, true
}

// fraction reads what follows the seconds of a time in UTC, in nanoseconds.
func fraction(text []byte) (ns int64, ok bool) {
	end := len(text) - 1
	if end < 0 || text[end] != 'Z' || end == 1 || end > 10 || end > 0 && text[0] != '.' {
		return 0, false
	}
	for i := 1; i < 10; i++ {
		ns *= 10
		if i >= end {
			continue
		}
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
		ns += int64(text[i] - '0')
	}
	return ns, true
}

func parseLine(text []byte) (Line, bool) { return new(clock).line(text) }
