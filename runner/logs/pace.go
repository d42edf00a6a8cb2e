package logs

import (
	"bytes"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// floodReads within floodTime make a flood: something prints line by line, without a
	// pause, and a line costs more to fetch than to print.
	floodReads = 32
	floodTime  = 10 * time.Millisecond
	// floodLines that gather in that time keep it one.
	floodLines = floodReads / 2
	// enough is what is to gather before it is read, in bytes, between these times.
	enough    = 48 << 10
	leastWait = time.Millisecond / 2
	mostWait  = floodTime
	// widePipe has room for what is printed meanwhile, so that nobody who prints waits;
	// usualPipe is what a pipe has otherwise. There is a limit to what all pipes of root
	// have together, so that none stays wide.
	widePipe  = 256 << 10
	usualPipe = 64 << 10
)

// pace tells a flood from single lines: these are fetched as they come.
type pace struct {
	began time.Time     // of the time in which reads are counted
	reads int           // within it
	wait  time.Duration // while there is a flood: how long its lines gather in their pipe
}

func (p *pace) isFlood() bool { return p.wait > 0 }

// after notes what was read, and says how long to wait before the next read.
func (p *pace) after(text []byte, now time.Time) time.Duration {
	switch {
	case len(text) >= spoolChunk: // there is more
		p.wait = min(p.wait, leastWait)
		return 0
	case p.isFlood():
		if p.wait == mostWait && bytes.Count(text, []byte("\n")) < floodLines {
			*p = pace{began: now}
			return 0
		}
		p.wait = max(leastWait, min(mostWait, 2*p.wait, p.wait*enough/time.Duration(len(text)+1)))
		return p.wait
	case now.Sub(p.began) >= floodTime:
		p.began, p.reads = now, 1
		return 0
	}
	if p.reads++; p.reads >= floodReads {
		p.wait = 2 * leastWait
	}
	return p.wait
}

// hold waits as the pace says, with a pipe that has room meanwhile. Nobody waits for it: who
// prints has the pipe, and who reads what was read before.
func (p *pace) hold(pipe *os.File, text []byte) {
	was := p.isFlood()
	wait := p.after(text, time.Now())
	if p.isFlood() != was {
		size := usualPipe
		if p.isFlood() {
			size = widePipe
		}
		if !resize(pipe, size) && p.isFlood() {
			*p = pace{}
			return
		}
	}
	if wait > 0 {
		time.Sleep(wait)
	}
}

func resize(pipe *os.File, size int) bool {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return false
	}
	failed := conn.Control(func(fd uintptr) { _, err = unix.FcntlInt(fd, unix.F_SETPIPE_SZ, size) })
	return failed == nil && err == nil
}
