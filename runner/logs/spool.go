package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// Spool is what was taken out of a pipe and is not in the log yet: a file
// that outlives the engine. The kernel moves the bytes from the pipe into it,
// so an engine that is killed never takes any with it, and a note in front of
// them tells the next one which of them the log has.
//
// It belongs to one goroutine, but for begin and done, which the log
// calls while that goroutine writes to it.
type Spool struct {
	path string
	file *os.File
	end  int64 // how many bytes were put into it
	note spoolNote
}

// spoolNote is the head of the file.
type spoolNote struct {
	Logged int64 // how many of the bytes are in the log
	Next   int64 // what Logged is once the write under way is done; 0 without one
	Before int64 // how long the log was before that write
}

const (
	spoolHead = 24
	// spoolChunk is how much is moved at a time.
	spoolChunk = 64 << 10
	// spoolRewrite is how much of what is logged a spool may hold.
	spoolRewrite = 1 << 20
)

// openSpool goes on with the spool of an engine before, or makes one. logSize
// is how long the log is now, before anything is written to it.
func openSpool(path string, logSize int64) (*Spool, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	s := &Spool{path: path, file: f}
	if err := s.load(logSize); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *Spool) load(logSize int64) error {
	st, err := s.file.Stat()
	if err != nil {
		return err
	}
	s.end = max(0, st.Size()-spoolHead)
	err = binary.Read(io.NewSectionReader(s.file, 0, spoolHead), binary.LittleEndian, &s.note)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if s.note.Next != 0 && logSize != s.note.Before {
		s.note.Logged = s.note.Next
	}
	s.note = spoolNote{Logged: min(s.note.Logged, s.end)}
	return s.write()
}

// pending is what the log has not yet.
func (s *Spool) pending() ([]byte, error) {
	p := make([]byte, s.end-s.note.Logged)
	_, err := s.file.ReadAt(p, spoolHead+s.note.Logged)
	return p, err
}

// fill moves what a pipe has into the spool, waiting for something to come,
// and returns it; io.EOF is the end of the pipe.
func (s *Spool) fill(pipe *os.File, b *buffer) ([]byte, error) {
	conn, err := pipe.SyscallConn()
	if err != nil {
		return nil, err
	}
	var n int64
	var failed error
	err = conn.Read(func(fd uintptr) bool {
		for {
			at := spoolHead + s.end
			n, failed = unix.Splice(int(fd), nil, int(s.file.Fd()), &at, spoolChunk, unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
			if failed != unix.EINTR {
				return failed != unix.EAGAIN
			}
		}
	})
	switch {
	case err != nil:
		return nil, err // the pipe was closed
	case failed != nil:
		return nil, &spoolError{fmt.Errorf("cannot keep what a container prints in %s: %w", s.path, failed)}
	case n == 0:
		return nil, io.EOF
	}
	buf := b.take() // only now: who is silent needs none
	if _, err := s.file.ReadAt(buf[:n], spoolHead+s.end); err != nil {
		return nil, &spoolError{err}
	}
	s.end += n
	return buf[:n], nil
}

// spoolError is a failure of the spool, not of the pipe.
type spoolError struct{ error }

// begin notes that a write to the log, which is size long, is about to hold
// all of the spool but its last bytes.
func (s *Spool) begin(size int64, left int) {
	s.note.Next, s.note.Before = s.end-int64(left), size
	_ = s.write() // without the note, lines may come twice after a crash
}

// done notes that the write is over.
func (s *Spool) done() {
	s.note = spoolNote{Logged: s.note.Next}
	switch {
	case s.note.Logged == s.end:
		// A crash in between leaves an empty spool, of which nothing is logged.
		if s.file.Truncate(spoolHead) == nil {
			s.end, s.note.Logged = 0, 0
		}
	case s.note.Logged > spoolRewrite:
		if s.rewrite() == nil {
			return
		}
	}
	_ = s.write()
}

// rewrite drops what is logged.
func (s *Spool) rewrite() error {
	rest, err := s.pending()
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.path+".new", os.O_CREATE|os.O_TRUNC|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(append(make([]byte, spoolHead), rest...))
	if err == nil {
		err = os.Rename(f.Name(), s.path)
	}
	if err != nil {
		f.Close()
		return err
	}
	s.file.Close()
	s.file, s.end, s.note = f, int64(len(rest)), spoolNote{}
	return nil
}

func (s *Spool) write() error {
	head, err := binary.Append(nil, binary.LittleEndian, s.note)
	if err == nil {
		_, err = s.file.WriteAt(head, 0)
	}
	return err
}

// close leaves what is pending to the next engine.
func (s *Spool) close() { s.file.Close() }

// remove ends a spool whose stream has ended.
func (s *Spool) remove() error {
	s.file.Close()
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
