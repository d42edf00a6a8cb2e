package logs

import (
	"errors"
	"os"
	"sync"
)

// spoolSuffix names the spool beside its pipe.
const spoolSuffix = ".spool"

// OpenSpools opens the spools of the pipes at the paths of standard output and
// error, "" where there is none; one that can't be opened is nil. Both are
// opened before anything is written to the log, whose size tells what they have
// to give.
func (w *Log) OpenSpools(stdout, stderr string) (spools [2]*Spool) {
	size := w.fileSize()
	for i, path := range []string{stdout, stderr} {
		if path == "" {
			continue
		}
		s, err := openSpool(path+spoolSuffix, size)
		if err != nil {
			w.log.Warn("an engine that is killed loses output: cannot open a spool", "container", w.origin.Container, "error", err)
			continue
		}
		spools[i] = s
	}
	return spools
}

// RemoveSpool removes the spool of a pipe, if there is one.
func RemoveSpool(pipe string) { _ = os.Remove(pipe + spoolSuffix) }

// Stream is what a process prints on one of its outputs.
type Stream struct {
	Pipe   *os.File // nil: what the spool has left is all
	Spool  *Spool   // nil: none
	Stderr bool
	Live   bool               // an unfinished line is shown before its end
	Tee    func(chunk []byte) // is given all that comes out of the pipe
	// Detached says, once the pipe gives no more, that its process lives on: the
	// line that is unfinished then goes on in the next engine.
	Detached func() bool
}

// Copy reads a stream to its end into the log, by way of its spool.
func (w *Log) Copy(s Stream) {
	if s.Spool != nil {
		w.setSpool(s.Stderr, s.Spool)
		if rest, err := s.Spool.pending(); err == nil && len(rest) > 0 {
			w.Write(s.Stderr, rest)
		}
	}
	if s.Pipe != nil {
		w.copyPipe(&s)
	}
	if s.Detached() {
		if s.Spool != nil {
			s.Spool.close()
		}
		return
	}
	w.endLine(s.Stderr)
	w.setSpool(s.Stderr, nil)
	if s.Spool != nil {
		_ = s.Spool.remove() // nothing is in it, and the directory goes with the container
	}
}

// copyPipe reads a pipe until it gives no more. A spool that fails is given up.
func (w *Log) copyPipe(s *Stream) {
	var hidden *hiddenLine
	if s.Live {
		hidden = &hiddenLine{log: w, stderr: s.Stderr, pipe: s.Pipe}
	}
	var buf buffer
	defer buf.give()
	var pace pace
	for {
		hidden.watch()
		chunk, err := s.next(&buf)
		if hidden.isDue(err) {
			w.showLine(s.Stderr)
			continue
		}
		if bad, ok := errors.AsType[*spoolError](err); ok {
			// What the log does not have yet is in its memory from here on.
			w.log.Warn("an engine that is killed loses output", "container", w.origin.Container, "error", bad)
			w.setSpool(s.Stderr, nil)
			_ = s.Spool.remove()
			s.Spool = nil
			continue
		}
		if len(chunk) > 0 {
			w.Write(s.Stderr, chunk)
			s.Tee(chunk)
		}
		if err != nil {
			return
		}
		pace.hold(s.Pipe, chunk)
		buf.give()
	}
}

// buffer is memory for what is read, held only while something is: of many containers most
// are silent at any time. The zero value holds none.
type buffer struct{ held *[spoolChunk]byte }

// buffers are those that nobody holds.
var buffers = sync.Pool{New: func() any { return new([spoolChunk]byte) }}

// take gives the memory, spoolChunk long; it is the same until it is given back.
func (b *buffer) take() []byte {
	if b.held == nil {
		b.held = buffers.Get().(*[spoolChunk]byte)
	}
	return b.held[:]
}

// give gives it back: what was read may not be looked at any more.
func (b *buffer) give() {
	if b.held != nil {
		buffers.Put(b.held)
		b.held = nil
	}
}

// next waits for something to come out of the pipe.
func (s *Stream) next(b *buffer) ([]byte, error) {
	if s.Spool != nil {
		return s.Spool.fill(s.Pipe, b)
	}
	buf := b.take()
	n, err := s.Pipe.Read(buf)
	return buf[:n], err
}
