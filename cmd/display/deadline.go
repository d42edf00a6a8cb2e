package display

import (
	"bytes"
	"os"
	"sync"
	"time"
)

// writePatience is how long a write waits for its reader after an interrupt: a
// terminal that is only slow shows the last words, one that stands (Ctrl-S, a
// lost connection, a pager that nobody leaves) keeps nobody from leaving.
const writePatience = time.Second

// deadlineWriter writes to a file, and gives a write up that takes too long
// after an interrupt. What was given up may still be written later.
type deadlineWriter struct {
	file        *os.File
	interrupted <-chan struct{}

	mu    sync.Mutex  // one write at a time
	texts chan []byte // guarded by mu: to the goroutine that writes; nil before the first write
	ends  chan error  // guarded by mu: how each of them ended
	stuck bool        // guarded by mu: a write was given up and has not ended
}

// Fd is that of the file.
func (w *deadlineWriter) Fd() uintptr { return w.file.Fd() }

func (w *deadlineWriter) Write(text []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.texts == nil {
		w.begin()
	}
	if w.stuck {
		select {
		case <-w.ends: // somebody reads again
			w.stuck = false
		default:
			return len(text), nil
		}
	}
	w.texts <- bytes.Clone(text) // a write that was given up still has it
	select {
	case err := <-w.ends:
		return len(text), err
	case <-w.interrupted:
	}
	timer := time.NewTimer(writePatience)
	defer timer.Stop()
	select {
	case err := <-w.ends:
		return len(text), err
	case <-timer.C:
		w.stuck = true
		return len(text), nil
	}
}

// begin starts the goroutine that writes. It ends with the program: a write to
// a terminal can't be called off.
func (w *deadlineWriter) begin() {
	w.texts, w.ends = make(chan []byte), make(chan error, 1)
	go func(texts <-chan []byte, ends chan<- error) {
		for text := range texts {
			_, err := w.file.Write(text)
			ends <- err
		}
	}(w.texts, w.ends)
}
