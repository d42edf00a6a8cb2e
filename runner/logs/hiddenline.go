package logs

import (
	"errors"
	"os"
	"time"
)

// shownAfter is how long a line may stay unfinished before what has come of it
// is shown: a prompt, a row of dots.
const shownAfter = 200 * time.Millisecond

// hiddenLine watches the unfinished line of a stream that is read from a pipe.
// Reading is broken off when the line has been unfinished for long enough, so
// that one goroutine alone writes to the log.
type hiddenLine struct {
	log    *Log
	stderr bool
	pipe   *os.File

	number  int  // of the line that the deadline is for
	limited bool // the pipe has a deadline
}

// watch sets the deadline of the next read.
func (h *hiddenLine) watch() {
	if h == nil {
		return
	}
	number, hidden := h.log.unfinished(h.stderr)
	switch {
	case !hidden && h.limited:
		h.limited = h.pipe.SetReadDeadline(time.Time{}) != nil
	case hidden && (!h.limited || number != h.number):
		h.number = number
		h.limited = h.pipe.SetReadDeadline(time.Now().Add(shownAfter)) == nil
	}
}

// isDue says that a read was broken off because the line is to be shown.
func (h *hiddenLine) isDue(err error) bool {
	return h != nil && h.limited && errors.Is(err, os.ErrDeadlineExceeded)
}
