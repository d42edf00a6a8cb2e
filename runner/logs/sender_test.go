package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// receiver is a sink that is there or not.
type receiver struct {
	mu   sync.Mutex
	away bool     // guarded by mu
	got  []string // guarded by mu
	news chan struct{}

	tooLong string // what can't be sent
}

func newReceiver() *receiver { return &receiver{news: make(chan struct{}, 1)} }

func (r *receiver) Send(_ context.Context, e *Entry) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer func() {
		select {
		case r.news <- struct{}{}:
		default:
		}
	}()
	if r.away {
		return errors.New("nobody is there")
	}
	text := string(e.Text)
	if text == r.tooLong {
		return &net.OpError{Err: syscall.EMSGSIZE}
	}
	if e.Piece != nil {
		text = fmt.Sprintf("%d/%t %d", e.Piece.Index, e.Piece.Last, len(text))
	}
	r.got = append(r.got, text)
	return nil
}

func (r *receiver) Close() error { return nil }

func (r *receiver) set(away bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = away
}

// until waits for the receiver to have got what is wanted.
func (r *receiver) until(t *testing.T, want func(got []string) bool) {
	t.Helper()
	for deadline := time.After(10 * time.Second); ; {
		r.mu.Lock()
		got := slices.Clone(r.got)
		r.mu.Unlock()
		if want(got) {
			return
		}
		select {
		case <-r.news:
		case <-deadline:
			t.Fatalf("it got %q", got)
		}
	}
}

func (r *receiver) all() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.got, "|")
}

func sentTo(t *testing.T, dir string, r *receiver, keep Retention) *Log {
	t.Helper()
	return New(Config{
		Path: filepath.Join(dir, "log"), Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Keep: keep, To: Delivery{Sink: r, Name: "a receiver", Wait: time.Millisecond}, Origin: Origin{ID: "0123456789abcdef"},
	})
}

// TestTheNextEngineSendsWhatIsLeft holds that no line is lost, nor sent twice, where one
// engine ends in order and the next goes on.
func TestTheNextEngineSendsWhatIsLeft(t *testing.T) {
	dir, r := t.TempDir(), newReceiver()
	w := sentTo(t, dir, r, Retention{})
	w.Write(false, []byte("one\ntwo\n"))
	r.until(t, func(got []string) bool { return len(got) == 2 })
	r.set(true)
	w.Write(true, []byte("three\n"))
	w.Write(false, []byte("fo"))
	w.Suspend()
	r.set(false)
	w = sentTo(t, dir, r, Retention{})
	w.Write(false, []byte("ur\n"))
	w.Close()
	if got := r.all(); got != "one|two|three|four" {
		t.Errorf("it got %s", got)
	}
}

// TestWhatIsRotatedAwayIsTold holds that a receiver which was away too long is told what it
// misses, and who reads the log too; and that nobody who prints waits for it.
func TestWhatIsRotatedAwayIsTold(t *testing.T) {
	dir, r := t.TempDir(), newReceiver()
	w := sentTo(t, dir, r, Retention{Size: 4 << 10, Files: 2})
	w.Write(false, []byte("first\n"))
	r.until(t, func(got []string) bool { return len(got) == 1 })
	r.set(true)
	for i := range 1000 {
		w.Write(false, fmt.Appendf(nil, "line %d\n", i))
	}
	r.set(false)
	r.until(t, func(got []string) bool { return len(got) > 0 && got[len(got)-1] == "line 999" })
	if got := r.all(); !strings.Contains(got, "newer lines had taken its place") || strings.Contains(got, "line 500|") {
		t.Errorf("it got %.300s", got)
	}
	lines, _, err := w.past(Selection{Tail: -1})
	if err != nil || !strings.Contains(strings.Join(joined(lines), "\n"), "was not sent to a receiver") {
		t.Errorf("the log says nothing of it: %v", err)
	}
	w.Close()
}

// TestTheEndOfALogWaitsForNobody holds that a log which ends does so in a moment.
func TestTheEndOfALogWaitsForNobody(t *testing.T) {
	r := newReceiver()
	w := sentTo(t, t.TempDir(), r, Retention{})
	r.set(true)
	w.Write(false, []byte("one\ntwo\n"))
	began := time.Now()
	w.Close()
	if took := time.Since(began); took > lastPatience+time.Second {
		t.Errorf("it took %s", took)
	}
}

// TestLongLinesAreSentInPieces holds that pieces say which they are.
func TestLongLinesAreSentInPieces(t *testing.T) {
	r := newReceiver()
	w := sentTo(t, t.TempDir(), r, Retention{})
	w.Write(false, []byte(strings.Repeat("x", 2*lineSize+5)+"\nshort\n"))
	w.Close()
	if got, want := r.all(), "1/false 16384|2/false 16384|3/true 5|short"; got != want {
		t.Errorf("it got %s, want %s", got, want)
	}
}

// TestCompressedFilesAreRead holds that full files are compressed, and that a log reads as if
// they were not; also with files of before.
func TestCompressedFilesAreRead(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	write := func(keep Retention, from, to int) {
		w := New(Config{Path: path, Now: time.Now, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Keep: keep})
		for i := from; i < to; i++ {
			w.Write(false, fmt.Appendf(nil, "line %d\n", i))
		}
		lines, _, err := w.past(Selection{Tail: -1})
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range lines[1:] {
			var a, b int
			fmt.Sscanf(string(lines[i].Text), "line %d", &a)
			fmt.Sscanf(string(l.Text), "line %d", &b)
			if b != a+1 {
				t.Fatalf("line %d comes after %d", b, a)
			}
		}
		if last := string(lines[len(lines)-1].Text); last != fmt.Sprintf("line %d", to-1) {
			t.Errorf("the last line is %q", last)
		}
		w.Close()
	}
	write(Retention{Size: 4 << 10, Files: 4}, 0, 300)
	write(Retention{Size: 4 << 10, Files: 4, Compress: true}, 300, 400)
	for name, want := range map[string]bool{"log.1.gz": true, "log.1": false, "log.3.gz": false, "log.3": true, "log.4": false} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s is there: %t", name, err == nil)
		}
	}
	write(Retention{Size: 4 << 10, Files: 1}, 400, 600)
	if st, err := os.Stat(path); err != nil || st.Size() > 4<<10 {
		t.Errorf("one file has %v bytes: %v", st, err)
	}
}

// TestNothingIsKept holds that a log which keeps nothing says so, and has no file.
func TestNothingIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := New(Config{Path: path, Now: time.Now, Log: slog.Default(), Keep: Retention{None: true}})
	w.Write(false, []byte("said\n"))
	lines, _, err := w.past(Selection{Tail: -1})
	if err != nil || len(lines) != 1 || !strings.Contains(string(lines[0].Text), "not kept") {
		t.Errorf("%q %v", joined(lines), err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("there is a file")
	}
	w.Close()
}

// TestAClockThatWentBackLosesNoLine holds that lines which seem older than what was sent are
// sent all the same.
func TestAClockThatWentBackLosesNoLine(t *testing.T) {
	dir, r := t.TempDir(), newReceiver()
	w := sentTo(t, dir, r, Retention{})
	w.Write(false, []byte("one\n"))
	w.Close()
	w = New(Config{
		Path: filepath.Join(dir, "log"), Now: func() time.Time { return time.Now().Add(-time.Hour) }, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		To: Delivery{Sink: r, Name: "a receiver"}, Origin: Origin{ID: "0123456789abcdef"},
	})
	w.Write(false, []byte("two\n"))
	w.Close()
	if got := r.all(); got != "one|two" {
		t.Errorf("it got %s", got)
	}
}

// TestALineThatIsTooLongHoldsNothingUp holds that what no datagram can hold is given up.
func TestALineThatIsTooLongHoldsNothingUp(t *testing.T) {
	r := newReceiver()
	w := sentTo(t, t.TempDir(), r, Retention{})
	r.tooLong = "long"
	w.Write(false, []byte("one\nlong\ntwo\n"))
	w.Close()
	if got := r.all(); got != "one|two" {
		t.Errorf("it got %s", got)
	}
	if lines := joined(past(t, w, Selection{Tail: -1})); !strings.Contains(lines[len(lines)-1], "was not sent to a receiver") {
		t.Errorf("nothing is said of it: %q", lines)
	}
}

// TestWhoAsksWhatIsUnsentWaitsForNoDisk holds that what is unsent is told while the log is
// being written.
func TestWhoAsksWhatIsUnsentWaitsForNoDisk(t *testing.T) {
	w := sentTo(t, t.TempDir(), newReceiver(), Retention{})
	defer w.Close()
	told := make(chan string, 1)
	w.mu.Lock() // as a Write does that waits for its disk
	defer w.mu.Unlock()
	go func() { told <- w.Unsent() }()
	select {
	case <-told:
	case <-time.After(5 * time.Second):
		t.Error("who asks waits for the writing")
	}
}

// TestADamagedFileIsPassedOver: what a power failure leaves of a compressed file, a part of
// it or nothing but its name, keeps nobody from the rest; who reads and the receiver are told.
func TestADamagedFileIsPassedOver(t *testing.T) {
	for name, damage := range map[string]func(string) error{
		"empty": func(path string) error { return os.Truncate(path, 0) },
		"cut": func(path string) error {
			st, err := os.Stat(path)
			if err != nil {
				return err
			}
			return os.Truncate(path, st.Size()/2)
		},
		"zeroes": func(path string) error { return os.WriteFile(path, make([]byte, 500), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			dir, keep := t.TempDir(), Retention{Size: 4 << 10, Files: 10, Compress: true}
			w := New(Config{Path: filepath.Join(dir, "log"), Now: time.Now, Log: slog.New(slog.DiscardHandler), Keep: keep})
			for i := range 300 {
				w.Write(false, fmt.Appendf(nil, "line %d\n", i))
			}
			w.Close()
			if err := damage(filepath.Join(dir, "log.2.gz")); err != nil {
				t.Fatal(err)
			}
			r := newReceiver()
			w = sentTo(t, dir, r, keep)
			defer w.Close()
			r.until(t, func(got []string) bool { return len(got) > 0 && got[len(got)-1] == "line 299" })
			if got := r.all(); !strings.HasPrefix(got, "line 0|") || !strings.Contains(got, "was not sent to a receiver") {
				t.Errorf("the receiver got %s", got)
			}
			lines, _, err := w.past(Selection{Tail: -1})
			if got := strings.Join(joined(lines), "|"); err != nil || !strings.Contains(got, "is damaged") || !strings.Contains(got, "line 299") {
				t.Errorf("who reads got %s: %v", got, err)
			}
		})
	}
}

// TestTheNextEngineTellsWhatIsLost holds that lines which were rotated away while the receiver
// was away are told though another engine sends the rest; and that nothing is told where all
// that is gone was sent.
func TestTheNextEngineTellsWhatIsLost(t *testing.T) {
	for name, keep := range map[string]Retention{
		"one file": {Size: 4 << 10, Files: 1}, "two files": {Size: 4 << 10, Files: 2}, "compressed": {Size: 4 << 10, Files: 3, Compress: true},
	} {
		for _, before := range []int{0, 1, 1000} { // lines that are sent
			for _, after := range []int{1, 1000} { // and not
				t.Run(fmt.Sprintf("%s, %d sent, %d not", name, before, after), func(t *testing.T) {
					dir, r := t.TempDir(), newReceiver()
					w := sentTo(t, dir, r, keep)
					for i := range before {
						w.Write(false, fmt.Appendf(nil, "sent %d\n", i))
						r.until(t, func(got []string) bool { return len(got) > i })
					}
					r.set(true)
					for i := range after {
						w.Write(false, fmt.Appendf(nil, "line %d\n", i))
					}
					w.Suspend()
					r.set(false)
					w = sentTo(t, dir, r, keep)
					w.Write(false, []byte("last\n"))
					w.Close()
					got := r.all()
					if told := strings.Contains(got, "newer lines had taken its place"); told != (after > 1) || !strings.HasSuffix(got, "|last") {
						t.Errorf("it got %.1500s", got)
					}
				})
			}
		}
	}
}
