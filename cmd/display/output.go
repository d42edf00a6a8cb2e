package display

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/orlop/orlop/spec/secret"
)

// Output is where a command writes: the two streams of its caller. It keeps
// secrets out of them where that is asked for, and what is written to a
// terminal above a line at its bottom while there is one. After an interrupt a
// terminal or pipe that nobody reads keeps the command waiting no longer.
type Output struct {
	Out, Err *Stream
	Mask     *secret.Mask

	interrupted chan struct{} // closed by Interrupted
	once        sync.Once
}

// NewOutput writes to the caller's streams.
func NewOutput(out, errs io.Writer) *Output {
	o := &Output{Mask: &secret.Mask{}, interrupted: make(chan struct{})}
	o.Out, o.Err = o.stream(out), o.stream(errs)
	return o
}

// stream is a stream of the caller's, or one that the caller does not have.
func (o *Output) stream(to io.Writer) *Stream {
	if f, ok := to.(*os.File); ok {
		to = &deadlineWriter{file: f, interrupted: o.interrupted}
	}
	return &Stream{to: to, secret: secret.Stream{Mask: o.Mask}}
}

// HideSecrets keeps secrets out of all that is printed from here on, what the
// stack's programs print included.
func (o *Output) HideSecrets() {
	o.Out.hides.Store(true)
	o.Err.hides.Store(true)
}

// Interrupted says that the user wants the command to end: from here on a write
// waits for who reads it for a moment only.
func (o *Output) Interrupted() { o.once.Do(func() { close(o.interrupted) }) }

// Flush writes what was kept back.
func (o *Output) Flush() {
	o.Out.flush()
	o.Err.flush()
}

// KeepLine keeps a line below all that is written to the terminal that Err is;
// nil where it is none.
func (o *Output) KeepLine() *BottomLine {
	if !IsTerminal(o.Err) {
		return nil
	}
	b := &BottomLine{tty: o.Err.to}
	o.Err.line.Store(b)
	if IsTerminal(o.Out) {
		o.Out.line.Store(b)
	}
	return b
}

// Stream is one of the streams. Each write is whole: no other one gets into it.
type Stream struct {
	to    io.Writer
	hides atomic.Bool
	line  atomic.Pointer[BottomLine] // nil: there is none

	mu     sync.Mutex    // one write at a time
	secret secret.Stream // guarded by mu: keeps back what may be the beginning of one
	failed error         // guarded by mu: why the first write was lost
	tell   func(error)   // guarded by mu: is called then
}

// Failed is why something that was written is lost, such as a full disk; nil: nothing is.
func (s *Stream) Failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// OnFailure has somebody called when the first write is lost: what is only written need not go on.
func (s *Stream) OnFailure(tell func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tell = tell
}

// Write writes a text, or keeps the end of it back that may begin a secret.
func (s *Stream) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	passed := text
	if s.hides.Load() {
		passed = []byte(s.secret.Push(string(text)))
	}
	return len(text), s.pass(passed)
}

func (s *Stream) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	_ = s.pass([]byte(s.secret.Rest()))
}

func (s *Stream) pass(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if line := s.line.Load(); line != nil {
		return line.above(s.to, text)
	}
	_, err := s.to.Write(text)
	if err == nil {
		return nil
	}
	if file, ok := errors.AsType[*fs.PathError](err); ok {
		err = file.Err
	}
	err = fmt.Errorf("cannot write what is printed: %w", err)
	if s.failed == nil {
		s.failed = err
		if s.tell != nil {
			s.tell(err)
		}
	}
	return err
}

// Unwrap is what is written to, so that a terminal stays one.
func (s *Stream) Unwrap() io.Writer { return s.to }

// File is the caller's file, or nil where the stream is none.
func (s *Stream) File() *os.File {
	if w, ok := s.to.(*deadlineWriter); ok {
		return w.file
	}
	return nil
}
