package logs

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestPace: single lines are fetched as they come, however many; those of a flood gather,
// so many that a read is worth it and the pipe has room, until it is over.
func TestPace(t *testing.T) {
	var p pace
	now := time.Unix(1_700_000_000, 0)
	for i := range 10_000 {
		now = now.Add(time.Millisecond)
		if wait := p.after([]byte("line\n"), now); wait != 0 {
			t.Fatalf("line %d, a millisecond after the one before, waits %v", i, wait)
		}
	}
	now = now.Add(time.Second)
	for i := range floodReads {
		now = now.Add(10 * time.Microsecond)
		if wait := p.after([]byte("line\n"), now); (wait != 0) != (i == floodReads-1) {
			t.Fatalf("read %d of a flood waits %v", i+1, wait)
		}
	}
	lines := func(n int) []byte { return bytes.Repeat([]byte("line\n"), n) }
	for i, test := range []struct {
		text []byte
		want time.Duration
	}{
		{lines(100), 2 * time.Millisecond}, {lines(100), 4 * time.Millisecond}, {lines(100), 8 * time.Millisecond}, {lines(100), mostWait}, {lines(100), mostWait},
		{lines(spoolChunk / 5), mostWait * enough / (spoolChunk / 5 * 5)}, {lines(spoolChunk), 0}, {lines(spoolChunk / 5), leastWait}, {lines(0), 2 * leastWait},
		{lines(0), 4 * leastWait}, {lines(0), 8 * leastWait}, {lines(0), 16 * leastWait}, {lines(floodLines), mostWait}, {lines(floodLines), mostWait}, {lines(1), 0}, {lines(1), 0},
	} {
		if got := p.after(test.text, now); got.Round(time.Millisecond/2) != test.want.Round(time.Millisecond/2) {
			t.Errorf("%d: after %d bytes it waits %v, want %v", i, len(test.text), got, test.want)
		}
	}
}

// TestAFloodIsFetchedInFewReads, whole and in order, by a pipe that is as wide as ever
// afterwards.
func TestAFloodIsFetchedInFewReads(t *testing.T) {
	const lines = 20_000
	c, _ := logged(t)
	in, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	reads := 0
	ended := make(chan struct{})
	go func() {
		c.Copy(Stream{Pipe: in, Tee: func([]byte) { reads++ }, Detached: func() bool { return false }})
		close(ended)
	}()
	for i := range lines {
		if _, err := fmt.Fprintf(pipe, "line %d\n", i); err != nil {
			t.Fatal(err)
		}
	}
	pipe.Close()
	<-ended
	got := past(t, c, all)
	if len(got) != lines || string(got[lines-1].Text) != fmt.Sprintf("line %d", lines-1) {
		t.Errorf("%d lines are there, want %d", len(got), lines)
	}
	if reads > lines/4 {
		t.Errorf("%d lines were fetched in %d reads", lines, reads)
	}
	if size, err := unix.FcntlInt(in.Fd(), unix.F_GETPIPE_SZ, 0); err != nil || size > widePipe {
		t.Errorf("the pipe has room for %d bytes (%v)", size, err)
	}
}
