package stdio

import (
	"testing"
	"time"
)

// TestASleepingReaderHoldsUpNoEnd: who is attached and reads nothing is let go
// a while after the process has ended.
func TestASleepingReaderHoldsUpNoEnd(t *testing.T) {
	t.Parallel()
	tap := NewTap()
	reader := tap.Attach()
	written := make(chan struct{})
	go func() {
		for range cap(reader.ch) + 1 {
			tap.Write(false, []byte("x"))
		}
		close(written)
	}()
	tap.End()
	select {
	case <-written:
	case <-time.After(10 * patience):
		t.Fatal("the end waits for it")
	}
	select {
	case <-reader.gone:
	default:
		t.Error("it is still attached")
	}
}
