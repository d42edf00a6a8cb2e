package keeper

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// link is one client's connection with the backend that it has at the moment.
// Where it speaks HTTP/1, it is known whether a request is under way, and if
// none is, the client keeps its connection while one backend follows another.
// Everything else is passed on unseen, and ends with its backend.
type link struct {
	face   *tcpFace
	client *net.TCPConn

	mu      sync.Mutex
	backend *net.TCPConn  // guarded by mu; nil while nothing is under way and nobody would answer
	done    chan struct{} // guarded by mu; closed when nothing more comes from the backend
	version uint64        // guarded by mu; of the route that led to it
	talk    exchange      // guarded by mu; what was asked and answered
	isPlain bool          // guarded by mu; not HTTP/1
	isUsed  bool          // guarded by mu; bytes have passed
	isAsked bool          // guarded by mu; the client has ended its direction
	isOver  bool          // guarded by mu; the backend has ended its direction
	owes    bool          // guarded by mu; the client spoke last
	spoke   time.Time     // guarded by mu; when either did
	waits   bool          // guarded by mu; for a backend
}

// bulk is from which size on a body is left to the kernel (splice(2)).
const bulk = 64 << 10

// run serves the client until both ends are done.
func (l *link) run() {
	defer l.client.Close()
	if !l.connect() {
		return
	}
	err := l.requests()
	l.mu.Lock()
	b, done := l.backend, l.done
	l.isAsked = true
	l.mu.Unlock()
	if b == nil {
		return
	}
	if err != nil {
		l.reset()
	} else {
		_ = b.CloseWrite() // a peer that is gone already needs no half-close
		l.face.moved()
	}
	<-done
	b.Close()
}

// connect finds a backend; if there is none, the client's connection is reset.
func (l *link) connect() bool {
	l.mu.Lock()
	l.waits = true
	before := l.done
	l.mu.Unlock()
	if before != nil {
		<-before // what the last one said has been passed on
	}
	b, version, err := l.face.connect()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = false
	if err != nil {
		reset(l.client)
		return false
	}
	l.backend, l.version, l.done = b, version, make(chan struct{})
	go l.answers(b, l.done)
	return true
}

// requests passes on what the client sends until it ends.
func (l *link) requests() error {
	for {
		err := l.face.receive(l.client, l.deliver)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded): // see release
			_ = l.client.SetReadDeadline(time.Time{})
			if !l.isConnected() && !l.connect() {
				return nil
			}
			continue
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		l.mu.Lock()
		b, isPlain := l.backend, l.isPlain
		l.mu.Unlock()
		for isPlain && err == nil {
			err = pass(b, l.client, l.asked)
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
	}
}

// deliver gives bytes of the client to the backend that is to have them: the
// one that it has, or where nothing is under way the one that the port leads
// to now.
func (l *link) deliver(p []byte) error {
	l.mu.Lock()
	for l.isFree() && (l.backend == nil || !l.face.port.isAt(l.version)) {
		l.release()
		l.mu.Unlock()
		if !l.connect() {
			return net.ErrClosed
		}
		l.mu.Lock()
	}
	b := l.backend
	if !l.isPlain && l.talk.ask(p) != nil {
		l.unread()
	}
	l.isUsed, l.owes, l.spoke = true, true, time.Now()
	l.mu.Unlock()
	_, err := b.Write(p)
	return err
}

// asked notes that the client speaks another protocol's words.
func (l *link) asked() {
	l.mu.Lock()
	l.owes, l.spoke = true, time.Now()
	l.mu.Unlock()
}

// answered notes that the backend does.
func (l *link) answered() {
	l.mu.Lock()
	l.owes, l.spoke = false, time.Now()
	l.mu.Unlock()
	l.face.moved()
}

// unread notes that what passes is not HTTP/1, and forgets what was read so
// far. The caller holds mu.
func (l *link) unread() {
	l.isPlain = true
	l.talk = exchange{isEndless: l.talk.isEndless}
}

// isFree says that another backend may take over: nothing is under way, and
// the server holds nothing that belongs to the connection. The caller holds mu.
func (l *link) isFree() bool {
	return !l.isPlain && !l.isAsked && !l.isOver && !l.talk.last && !l.talk.isBound && l.talk.isAtRest()
}

// release takes the connection off its backend. The caller holds mu and has
// found it free.
func (l *link) release() {
	if l.backend != nil {
		l.backend.Close()
		l.backend = nil
	}
	if !l.isUsed && !l.waits {
		// The server may be to speak first: who waits for the client's first
		// bytes is to wait for a backend.
		_ = l.client.SetReadDeadline(time.Unix(1, 0))
	}
}

// answers passes on what a backend sends until it ends.
func (l *link) answers(b *net.TCPConn, done chan struct{}) {
	defer close(done)
	for {
		err := l.face.receive(b, func(p []byte) error { return l.hear(b, p) })
		if err == nil {
			err = l.pour(b)
		}
		if err != nil {
			l.onEnd(b, err)
			return
		}
	}
}

// hear passes bytes of a backend on to the client.
func (l *link) hear(b *net.TCPConn, p []byte) error {
	l.mu.Lock()
	if l.backend != b {
		l.mu.Unlock()
		return net.ErrClosed
	}
	if !l.isPlain && l.talk.answer(p) != nil {
		l.unread()
	}
	l.isUsed, l.owes, l.spoke = true, false, time.Now()
	l.mu.Unlock()
	_, err := l.client.Write(p)
	l.face.moved()
	return err
}

// pour passes on what needs no looking at: the rest of a large body, or all
// that is to come of another protocol.
func (l *link) pour(b *net.TCPConn) error {
	l.mu.Lock()
	isPlain, left := l.isPlain, int64(0)
	if l.talk.answers.phase == inBody {
		left = l.talk.answers.left
	}
	l.mu.Unlock()
	switch {
	case isPlain:
		return pass(l.client, b, l.answered)
	case left < bulk:
		return nil
	}
	n, err := io.CopyN(l.client, b, left)
	l.mu.Lock()
	if n > 0 {
		l.talk.answers.pass(n, l.talk.onAnswered)
	}
	l.mu.Unlock()
	l.face.moved()
	return err
}

// onEnd is the event that a backend has ended its direction. The client is
// told, unless nothing is under way and the port leads elsewhere.
func (l *link) onEnd(b *net.TCPConn, err error) {
	l.mu.Lock()
	if l.backend != b {
		l.mu.Unlock()
		return
	}
	if l.isFree() && !l.face.port.isAt(l.version) {
		l.release()
		l.mu.Unlock()
		return
	}
	l.isOver = true
	isWhole := errors.Is(err, io.EOF) || !l.isPlain && l.talk.isAtRest()
	l.mu.Unlock()
	if isWhole {
		_ = l.client.CloseWrite() // a peer that is gone already needs no half-close
	} else {
		l.reset()
	}
	l.face.moved()
}

// quiet is how long nothing must have come from a server for its answer to
// count as whole, where that can't be seen.
const quiet = 50 * time.Millisecond

// yield takes the connection off a backend that the port led to before, if
// nothing is under way. It says whether something is, and when that must be
// looked at again if nothing moves till then. What is said where it can't be
// known what it means counts as a request for the time unseen.
func (l *link) yield(unseen time.Duration) (isBusy bool, again time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	isOld := !l.face.port.isAt(l.version)
	switch {
	case l.backend == nil || l.isOver || !isOld && !l.face.port.isClosed():
		return false, 0
	case l.isFree():
		if isOld {
			l.release()
		}
		return false, 0
	case !l.isPlain:
		return !l.talk.isAtRest(), 0
	case l.talk.isEndless:
		return false, 0
	case l.isAsked:
		return true, 0
	case l.owes:
		again = unseen - time.Since(l.spoke)
	default:
		again = quiet - time.Since(l.spoke)
	}
	return again > 0, again
}

// dismiss ends a connection that has no backend and waits for its client.
func (l *link) dismiss() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.backend == nil && l.isUsed && !l.waits {
		l.client.Close()
	}
}

// reset ends both connections at once.
func (l *link) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	reset(l.client)
	if l.backend != nil {
		reset(l.backend)
	}
}

func (l *link) isConnected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.backend != nil
}

// pass waits until something can be read and moves what there is in the kernel
// (splice(2)). It notes that first.
func pass(dst, src *net.TCPConn, note func()) error {
	n, err := readable(src)
	if err != nil {
		return err
	}
	note()
	_, err = io.CopyN(dst, src, int64(n))
	return err
}

// readable waits until something can be read, and says how much.
func readable(c *net.TCPConn) (n int, err error) {
	rc, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var peekErr error
	err = rc.Read(func(fd uintptr) bool {
		var first [1]byte
		for {
			if n, _, peekErr = unix.Recvfrom(int(fd), first[:], unix.MSG_PEEK); peekErr != unix.EINTR {
				break
			}
		}
		if peekErr == unix.EAGAIN {
			return false
		}
		if n > 0 {
			n, peekErr = unix.IoctlGetInt(int(fd), unix.TIOCINQ)
		}
		return true
	})
	switch {
	case err != nil:
		return 0, err
	case peekErr != nil:
		return 0, peekErr
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// receive waits until something can be read and hands it to use, in a buffer
// that is lent for the call. The end of the stream is io.EOF.
func (f *tcpFace) receive(c *net.TCPConn, use func(p []byte) error) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var buf *[]byte
	var n int
	var readErr error
	err = rc.Read(func(fd uintptr) bool {
		buf = f.buffers.Get().(*[]byte)
		for {
			if n, readErr = unix.Read(int(fd), *buf); readErr != unix.EINTR {
				break
			}
		}
		if readErr == unix.EAGAIN {
			f.buffers.Put(buf)
			return false
		}
		return true
	})
	if err != nil {
		return err
	}
	defer f.buffers.Put(buf)
	switch {
	case readErr != nil:
		return readErr
	case n == 0:
		return io.EOF
	}
	return use((*buf)[:n])
}
