package registry

import (
	"errors"
	"io"
	"os"
	"sync"
)

// reading is a blob that is read from its beginning on, or from where it is gone on with. It may be closed while it is
// read: the transport of a request closes its body when the request ends, whatever still reads it. What was fetched may
// not; then it is closed by who reads, whose context ends with the push.
type reading struct {
	fetch func() (io.ReadCloser, error)
	size  int64

	turn sync.Mutex    // of who reads
	now  io.ReadCloser // of who reads, and of Close where nobody does
	at   int64         // guarded by turn

	mu       sync.Mutex
	isRead   bool // guarded by mu
	isClosed bool // guarded by mu
}

func (r *reading) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt for who reads in order.
func (r *reading) ReadAt(p []byte, from int64) (n int, err error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if from >= r.size {
		return 0, io.EOF
	}
	if err := r.begin(); err != nil {
		return 0, err
	}
	defer func() {
		if closed := r.end(); closed != nil {
			n, err = 0, closed
		}
	}()
	if r.now == nil || r.at != from {
		if err := r.open(from); err != nil {
			return 0, err
		}
	}
	p = p[:min(int64(len(p)), r.size-from)]
	n, err = io.ReadFull(r.now, p)
	r.at += int64(n)
	return n, err
}

func (r *reading) begin() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isClosed {
		return os.ErrClosed
	}
	r.isRead = true
	return nil
}

// end closes what is open where Close came meanwhile, and is an error then.
func (r *reading) end() error {
	r.mu.Lock()
	r.isRead = false
	isClosed := r.isClosed
	r.mu.Unlock()
	if !isClosed {
		return nil
	}
	return errors.Join(os.ErrClosed, r.leave())
}

func (r *reading) open(from int64) (err error) {
	if err = r.leave(); err != nil {
		return err
	}
	if r.now, err = r.fetch(); err != nil {
		r.now = nil
		return err
	}
	r.at = 0
	if s, ok := r.now.(io.Seeker); ok {
		_, err = s.Seek(from, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, r.now, from)
	}
	if err != nil {
		return errors.Join(err, r.leave())
	}
	r.at = from
	return nil
}

// leave closes what is open.
func (r *reading) leave() error {
	old := r.now
	if r.now = nil; old == nil {
		return nil
	}
	return old.Close()
}

// Close implements content.ReaderAt.
func (r *reading) Close() error {
	r.mu.Lock()
	isLeft := !r.isRead && !r.isClosed
	r.isClosed = true
	r.mu.Unlock()
	if !isLeft {
		return nil
	}
	return r.leave()
}
