package stdio

import (
	"bytes"
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

// TestWhoLooksHoldsNobodyUp: what one is too slow for it misses, and is told so where it
// is missing; another gets all.
func TestWhoLooksHoldsNobodyUp(t *testing.T) {
	tap := NewTap()
	slow := tap.Look()
	room := cap(slow.ch)
	for range room + 3 {
		tap.Write(false, []byte("ab"))
	}
	var out, errOut bytes.Buffer
	ended := make(chan struct{})
	close(ended)
	if err := slow.Copy(t.Context(), ended, &out, &errOut); err != nil || out.Len() != 2*room {
		t.Errorf("%d bytes are read, %v", out.Len(), err)
	}
	if want := "\r\n[6 bytes are left out here, which were printed faster than they were read: \"orlop logs\" has them]\r\n"; errOut.String() != want {
		t.Errorf("it is told %q", errOut.String())
	}
	slow, errOut = tap.Look(), bytes.Buffer{}
	for range room + 1 {
		tap.Write(false, []byte("ab"))
	}
	<-slow.ch
	tap.Write(true, []byte("!"))
	if err := slow.Copy(t.Context(), ended, &out, &errOut); err != nil || errOut.String() != "\r\n[2 bytes are left out here, which were printed faster than they were read: \"orlop logs\" has them]\r\n!" {
		t.Errorf("what comes after a gap is %q, %v", errOut.String(), err)
	}
}
