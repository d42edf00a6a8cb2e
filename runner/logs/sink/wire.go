package sink

import (
	"context"
	"crypto/tls"
	"net"
	"time"
)

// Bounds on a receiver that stands still.
const (
	dialPatience  = 10 * time.Second
	writePatience = 10 * time.Second
)

// wire is a connection to a receiver that is made when it is needed. It belongs to one
// goroutine.
type wire struct {
	network, address string
	tls              func() (*tls.Config, error) // nil: none
	patience         time.Duration               // for a write; 0: writePatience
	oldest           time.Duration               // after which it is made anew; 0: never

	conn net.Conn
	made time.Time
	peer chan struct{} // closed when the receiver has ended the connection
}

// dial makes a connection, and leaves it to the caller.
func (w *wire) dial(ctx context.Context) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialPatience)
	defer cancel()
	if w.tls == nil {
		return (&net.Dialer{}).DialContext(ctx, w.network, w.address)
	}
	cfg, err := w.tls()
	if err != nil {
		return nil, err
	}
	return (&tls.Dialer{Config: cfg}).DialContext(ctx, w.network, w.address)
}

// reach tries whether a connection can be made.
func (w *wire) reach(ctx context.Context) error {
	conn, err := w.dial(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// write sends a message. The connection is given up when it fails: how much of the
// message has arrived is not known.
func (w *wire) write(ctx context.Context, message []byte, isWatched bool) error {
	if w.conn != nil && (w.isOver() || w.oldest > 0 && time.Since(w.made) > w.oldest) {
		w.close()
	}
	if w.conn == nil {
		conn, err := w.dial(ctx)
		if err != nil {
			return err
		}
		w.conn, w.made, w.peer = conn, time.Now(), nil
		if isWatched {
			w.watch()
		}
	}
	patience := w.patience
	if patience <= 0 {
		patience = writePatience
	}
	conn := w.conn
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	defer stop()
	_ = conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err := conn.Write(message); err != nil {
		w.close()
		return err
	}
	return nil
}

// watch notices that the receiver ends the connection, which a write does not: what is
// written first after that would be lost. A receiver has nothing to say.
func (w *wire) watch() {
	conn, over := w.conn, make(chan struct{})
	w.peer = over
	go func() {
		defer close(over)
		buf := make([]byte, 512)
		for {
			if _, err := conn.Read(buf); err != nil {
				return
			}
		}
	}()
}

func (w *wire) isOver() bool {
	select {
	case <-w.peer: // nil: never
		return true
	default:
		return false
	}
}

func (w *wire) close() error {
	if w.conn == nil {
		return nil
	}
	err := w.conn.Close()
	if w.peer != nil {
		<-w.peer
	}
	w.conn, w.peer = nil, nil
	return err
}

// copy goes to the same receiver by a connection of its own.
func (w *wire) copy() *wire {
	return &wire{network: w.network, address: w.address, tls: w.tls}
}
