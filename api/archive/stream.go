package archive

import "io"

// MessageSize is how many bytes of an archive a message has at most: more cost no less.
const MessageSize = 256 << 10

// Pieces gives what is written on in pieces that are worth a message each. What is left
// needs Flush.
type Pieces struct {
	// Send is given a piece, which is its own until it returns.
	Send func([]byte) error

	pending []byte
}

// Write takes bytes.
func (w *Pieces) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		if len(w.pending) == 0 && len(p) >= MessageSize {
			if err := w.Send(p[:MessageSize]); err != nil {
				return 0, err
			}
			p = p[MessageSize:]
			continue
		}
		if w.pending == nil {
			w.pending = make([]byte, 0, MessageSize)
		}
		room := min(len(p), MessageSize-len(w.pending))
		w.pending, p = append(w.pending, p[:room]...), p[room:]
		if len(w.pending) == MessageSize {
			if err := w.Flush(); err != nil {
				return 0, err
			}
		}
	}
	return n, nil
}

// Flush gives on what is left.
func (w *Pieces) Flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	err := w.Send(w.pending)
	w.pending = w.pending[:0]
	return err
}

// Incoming reads the pieces that come, one after the other, until there are no more. It
// reads ahead by one.
func Incoming(next func() ([]byte, error)) *io.PipeReader {
	r, w := io.Pipe()
	go func() { // ends with the stream, or with its reader
		for {
			data, err := next()
			if err != nil {
				w.CloseWithError(err) // the end, for one
				return
			}
			if _, err := w.Write(data); err != nil {
				return // nobody reads on
			}
		}
	}()
	return r
}
