package layers

import (
	"hash"
	"io"
	"os"
)

// relay hands on what is written to who reads it, in another goroutine and some pieces
// later, and hashes it there.
type relay struct {
	pieces chan piece
	free   chan []byte
	failed chan struct{} // closed when nobody reads any more

	filled []byte // of who writes: what is not sent yet
	text   []byte // of who reads: the last piece
	read   int    // how much of it is read
	sum    hash.Hash
}

// piece is some of what is written. Whoever waits for it to be hashed is told.
type piece struct {
	text   []byte
	hashed chan struct{}
}

const (
	pieceSize  = 256 << 10
	mostPieces = 4
)

func newRelay(sum hash.Hash) *relay {
	r := &relay{pieces: make(chan piece, mostPieces+1), free: make(chan []byte, mostPieces), failed: make(chan struct{}), sum: sum}
	for range mostPieces {
		r.free <- make([]byte, 0, pieceSize)
	}
	return r
}

// Write sends b on. After an error of who reads it is one.
func (r *relay) Write(b []byte) (n int, err error) {
	for n < len(b) {
		if r.filled == nil {
			select {
			case r.filled = <-r.free:
			case <-r.failed:
				return n, os.ErrClosed
			}
		}
		m := min(len(b)-n, cap(r.filled)-len(r.filled))
		r.filled = append(r.filled, b[n:n+m]...)
		if n += m; len(r.filled) == cap(r.filled) {
			r.send(nil)
		}
	}
	return n, nil
}

// send sends what is filled. There is room for all that there is, and for an empty one.
func (r *relay) send(hashed chan struct{}) {
	r.pieces <- piece{r.filled, hashed}
	r.filled = nil
}

// flush waits until all that was written is hashed, or nobody reads.
func (r *relay) flush() {
	hashed := make(chan struct{})
	select {
	case <-r.failed:
		return
	default:
	}
	r.send(hashed)
	select {
	case <-hashed:
	case <-r.failed:
	}
}

// end says that nothing more is written.
func (r *relay) end() {
	if len(r.filled) > 0 {
		r.send(nil)
	}
	close(r.pieces)
}

// Read implements io.Reader.
func (r *relay) Read(b []byte) (int, error) {
	for r.read == len(r.text) {
		if r.text != nil {
			r.free <- r.text[:0]
		}
		p, ok := <-r.pieces
		if !ok {
			r.text, r.read = nil, 0
			return 0, io.EOF
		}
		_, _ = r.sum.Write(p.text)
		if p.hashed != nil {
			close(p.hashed)
		}
		r.text, r.read = p.text, 0
	}
	n := copy(b, r.text[r.read:])
	r.read += n
	return n, nil
}

// fail says that nothing more is read.
func (r *relay) fail() { close(r.failed) }
