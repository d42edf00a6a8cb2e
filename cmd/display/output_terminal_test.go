package display

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display/screentest"
)

// openTerminal opens a pseudo-terminal: the end that is seen, and the one that
// is written to.
func openTerminal(t *testing.T, columns, rows uint16) (seen, tty *os.File) {
	t.Helper()
	seen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { seen.Close() })
	number, err := unix.IoctlGetInt(int(seen.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(seen.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(int(seen.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns})
	}
	if err == nil {
		tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return seen, tty
}

// watched gives what stands on a terminal once nobody writes to it any more.
func watched(t *testing.T, columns, rows uint16, write func(tty *os.File)) []string {
	t.Helper()
	seen, tty := openTerminal(t, columns, rows)
	screen := screentest.New(int(columns), int(rows))
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 4096)
		for {
			n, err := seen.Read(buf)
			if err != nil {
				return // the other end is closed
			}
			if _, err := screen.Write(buf[:n]); err != nil {
				t.Error(err)
			}
		}
	})
	write(tty)
	tty.Close()
	wg.Wait()
	var out []string
	for _, row := range screen.Rows() {
		if row != "" {
			out = append(out, row)
		}
	}
	return out
}

func TestALineStaysBelowAllThatIsWritten(t *testing.T) {
	got := watched(t, 40, 10, func(tty *os.File) {
		o := NewOutput(tty, tty)
		line := o.KeepLine()
		line.Set("q quit")
		fmt.Fprintln(o.Out, "one")
		fmt.Fprint(o.Err, "tw")
		fmt.Fprint(o.Out, "o\n")
		line.Set("q quit  p pause, and more than the terminal is wide")
		fmt.Fprintln(o.Err, "three")
	})
	want := "one|two|three|q quit  p pause, and more than the term"
	if strings.Join(got, "|") != want {
		t.Errorf("the screen is %q, want %q", strings.Join(got, "|"), want)
	}
}

func TestALineThatIsTakenAwayLeavesNothing(t *testing.T) {
	got := watched(t, 40, 10, func(tty *os.File) {
		o := NewOutput(tty, tty)
		line := o.KeepLine()
		line.Set("q quit")
		fmt.Fprintln(o.Out, "one")
		line.Set("")
		fmt.Fprintln(o.Out, "two")
	})
	if strings.Join(got, "|") != "one|two" {
		t.Errorf("the screen is %q", got)
	}
}

func TestALineIsOnlyOnATerminal(t *testing.T) {
	var out bytes.Buffer
	if NewOutput(&out, &out).KeepLine() != nil {
		t.Error("a buffer gets a line")
	}
	_, tty := openTerminal(t, 40, 10)
	defer tty.Close()
	o := NewOutput(&out, tty) // the results are piped on
	o.KeepLine().Set("q quit")
	fmt.Fprintln(o.Out, "a result")
	if out.String() != "a result\n" {
		t.Errorf("the results are %q", out.String())
	}
	if o.Err.File() != tty || o.Out.File() != nil {
		t.Error("the files of the streams are not the caller's")
	}
}

// TestTheTreeIsAnimated has the display draw by itself, and end with what
// stays.
func TestTheTreeIsAnimated(t *testing.T) {
	plan, events := upEvents(t)
	got := watched(t, 80, 24, func(tty *os.File) {
		o := NewOutput(tty, tty)
		d := New(Config{
			Mode: "tty", W: o.Err, Words: Words{Header: true, Done: "is up"}, Services: 6, Began: began,
			Now: func() time.Time { return at(5) },
		})
		d.Plan(plan)
		time.Sleep(2 * frameTime) // frames come by the clock
		for _, e := range events {
			d.Event(e)
		}
		d.Finish(Summary{Words: Words{Done: "is up"}, Verdict: &api.Verdict{Ok: true}, Took: dur(5)})
	})
	if len(got) != 9 || !strings.Contains(got[0], "6 services") || !strings.HasPrefix(got[8], " ✓ shop is up in 5.0 s") {
		t.Errorf("the screen is\n%s", strings.Join(got, "\n"))
	}
}

func TestAnAbortedTreeLeavesWhatFailed(t *testing.T) {
	plan, events := failing(t)
	for _, brief := range []bool{false, true} {
		got := watched(t, 90, 24, func(tty *os.File) {
			d := New(Config{Mode: "tty", W: NewOutput(tty, tty).Err, Words: Words{Brief: brief}, Began: began, Now: func() time.Time { return at(1) }})
			d.Plan(plan)
			for _, e := range events {
				d.Event(e)
			}
			d.Abort()
		})
		if brief != (len(got) == 0) || !brief && !strings.Contains(got[0], "✗ up        db/1") {
			t.Errorf("brief %t: the screen is\n%s", brief, strings.Join(got, "\n"))
		}
	}
}

// stuckPipe is a pipe that is full.
func stuckPipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	size, err := unix.FcntlInt(w.Fd(), unix.F_GETPIPE_SZ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func TestAWriteWaitsForItsReaderUntilAnInterrupt(t *testing.T) {
	r, w := stuckPipe(t)
	o := NewOutput(w, w)
	written := make(chan struct{})
	go func() {
		defer close(written)
		fmt.Fprintln(o.Out, "waits")
	}()
	select {
	case <-written:
		t.Fatal("a write to a full pipe does not wait")
	case <-time.After(50 * time.Millisecond):
	}
	o.Interrupted()
	o.Interrupted() // twice is once
	select {
	case <-written:
	case <-time.After(10 * writePatience):
		t.Fatal("a write waits on after an interrupt")
	}
	began := time.Now()
	for range 100 {
		fmt.Fprintln(o.Out, "is dropped")
	}
	if took := time.Since(began); took > writePatience/2 {
		t.Errorf("what follows waits too: %s", took)
	}
	// Somebody reads again: what was given up arrives, and what comes then.
	buf := make([]byte, 1<<20)
	n, err := r.Read(buf)
	for !bytes.Contains(buf[:n], []byte("waits")) && err == nil {
		var more int
		more, err = r.Read(buf[n:])
		n += more
	}
	more := 0
	for limit := time.Now().Add(10 * time.Second); more == 0 && time.Now().Before(limit); {
		fmt.Fprintln(o.Out, "shown") // dropped, until it is known that what was given up has ended
		if err := r.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		more, _ = r.Read(buf)
	}
	if got := string(buf[:more]); !strings.HasPrefix(got, "shown\n") {
		t.Errorf("after that came %q", got)
	}
}

func TestAWriteThatFailsSaysSo(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	if _, err := fmt.Fprintln(NewOutput(w, w).Out, "x"); err == nil {
		t.Error("a pipe without a reader takes text")
	}
}
