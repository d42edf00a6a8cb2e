package registry

import (
	"errors"
	"io"
	"os"
	"sync"
)

// reading is a blob that is read from its beginning on, or from where it is gone on with. It may be closed while it is
// read: the transport of a request closes its body when the request ends, whatever still reads it.
type reading struct {
	fetch func() (io.ReadCloser, error)
	size  int64

	turn sync.Mutex // of who reads; guards at
	at   int64

	mu       sync.Mutex    // never held while anything is read or fetched
	now      io.ReadCloser // guarded by mu
	isClosed bool          // guarded by mu
}

func (r *reading) Size() int64 { return r.size }

// ReadAt implements io.ReaderAt for who reads in order.
func (r *reading) ReadAt(p []byte, from int64) (n int, err error) {
	r.turn.Lock()
	defer r.turn.Unlock()
	if from >= r.size {
		return 0, io.EOF
	}
	now, err := r.opened(from)
	if err != nil {
		return 0, err
	}
	p = p[:min(int64(len(p)), r.size-from)]
	n, err = io.ReadFull(now, p)
	r.at += int64(n)
	return n, err
}

// opened is the blob, of which the next byte is that at an offset.
func (r *reading) opened(from int64) (io.Reader, error) {
	r.mu.Lock()
	now := r.now
	r.mu.Unlock()
	if now != nil && r.at == from {
		return now, nil
	}
	if err := r.replace(nil); err != nil {
		return nil, err
	}
	now, err := r.fetch()
	if err != nil {
		return nil, err
	}
	if err := r.replace(now); err != nil {
		return nil, err
	}
	if err := skip(now, from); err != nil {
		return nil, errors.Join(err, r.replace(nil))
	}
	r.at = from
	return now, nil
}

// replace closes what is open, and keeps another in its place, which is closed as well where Close came before.
func (r *reading) replace(next io.ReadCloser) error {
	r.mu.Lock()
	old, isClosed := r.now, r.isClosed
	if r.now = next; isClosed {
		r.now = nil
	}
	r.mu.Unlock()
	if isClosed {
		return errors.Join(closed(old), closed(next), os.ErrClosed)
	}
	return closed(old)
}

func closed(c io.ReadCloser) error {
	if c == nil {
		return nil
	}
	return c.Close()
}

// skip goes on to an offset.
func skip(r io.Reader, to int64) error {
	if s, ok := r.(io.Seeker); ok {
		_, err := s.Seek(to, io.SeekStart)
		return err
	}
	_, err := io.CopyN(io.Discard, r, to)
	return err
}

// Close implements content.ReaderAt. Who reads meanwhile gets an error.
func (r *reading) Close() error {
	r.mu.Lock()
	old := r.now
	r.now, r.isClosed = nil, true
	r.mu.Unlock()
	return closed(old)
}
