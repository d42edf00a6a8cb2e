package logs

import (
	"context"
	"testing"
	"time"
)

// TestAFollowerIsToldThatThisIsAll: after what was there, and after each line that comes
// alone, at once; lines that come one upon the other are given together, and all of them.
func TestAFollowerIsToldThatThisIsAll(t *testing.T) {
	c, _ := logged(t)
	c.Write(false, []byte("1\n2\n"))
	given := 0
	told := make(chan int, 1000)
	done := make(chan error, 1)
	go func() {
		done <- c.Follow(context.Background(), all, Position{}, func(Line) error { given++; return nil }, func() error { told <- given; return nil })
	}()
	if n := <-told; n != 2 {
		t.Fatalf("%d lines were there, want 2", n)
	}
	time.AfterFunc(2*gathering, func() { c.Write(false, []byte("3\n")) }) // a silence
	if n := <-told; n != 3 {
		t.Fatalf("%d lines are given, want 3", n)
	}
	const flood = 500
	began := time.Now()
	for range flood {
		c.Write(false, []byte("x\n"))
	}
	reads := 0
	for n := 3; n < 3+flood; reads++ {
		n = <-told
	}
	if most := int(time.Since(began)/gathering) + 2; reads > most {
		t.Errorf("a flood was read %d times, want at most %d", reads, most)
	}
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
