package logs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// kept is a log whose files are small.
func kept(t testing.TB, keep Retention) (*Log, *manual) {
	t.Helper()
	clock := newManual()
	w := New(Config{Path: filepath.Join(t.TempDir(), "c", "log"), Now: clock.now, Log: slog.New(slog.DiscardHandler), Keep: keep})
	t.Cleanup(w.Close)
	return w, clock
}

// packed waits until the full files are compressed.
func packed(w *Log) { w.stopPacking(time.Minute) }

// TestTheLastLinesAreTheEndOfAll: what is read from the end is what a reader of the whole
// has at its end, over files, streams that cut in, and lines in pieces.
func TestTheLastLinesAreTheEndOfAll(t *testing.T) {
	for _, keep := range []Retention{{Size: 20 << 10, Files: 50}, {Size: 20 << 10, Files: 50, Compress: true}, {Size: 1 << 20, Files: 2}} {
		random := rand.New(rand.NewPCG(1, uint64(keep.Size)))
		w, clock := kept(t, keep)
		for i := range 1500 {
			stderr := random.IntN(3) == 0
			text := fmt.Sprintf("%d %s", i, strings.Repeat("x", random.IntN(60)))
			if random.IntN(100) == 0 {
				text += strings.Repeat("y", random.IntN(3*lineSize))
			}
			w.Write(stderr, []byte(text))
			if random.IntN(5) == 0 {
				w.showLine(stderr)
			}
			w.Write(stderr, []byte("\n"))
			clock.move(time.Second)
		}
		w.Write(true, []byte("not ended"))
		w.showLine(true)
		packed(w)
		everything := past(t, w, all)
		for _, n := range []int{0, 1, 2, 7, 100, 1499, 1501, 5000, 1 << 40} {
			whole := tail{lines: min(n, maxTail)}
			for _, l := range everything {
				whole.add(l)
			}
			if got, want := texts(past(t, w, Selection{Tail: n})), texts(whole.take()); got != want {
				t.Errorf("%+v: the last %d lines are %d bytes long, want %d:\n%.300s\n%.300s", keep, n, len(got), len(want), got, want)
			}
		}
		for _, i := range []int{0, 1, len(everything) / 2, len(everything) - 1} {
			since := everything[i].Time
			if got, want := texts(past(t, w, Selection{Tail: -1, Since: since})), texts(everything[i:]); got != want {
				t.Errorf("%+v: since line %d come %d bytes, want %d", keep, i, len(got), len(want))
			}
			if got := past(t, w, Selection{Tail: 5, Since: since}); len(got) == 0 || got[0].Time.Before(since) {
				t.Errorf("%+v: the last 5 lines since line %d are %s", keep, i, texts(got))
			}
			if got, want := texts(past(t, w, Selection{Tail: 1 << 20, Since: since})), texts(everything[i:]); got != want {
				t.Errorf("%+v: all of the last lines since line %d are %d bytes, want %d", keep, i, len(got), len(want))
			}
		}
	}
}

// counted counts what is read of a file.
type counted struct {
	io.ReaderAt
	read int
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	c.read += len(p)
	return c.ReaderAt.ReadAt(p, at)
}

// TestTheEndOfALargeFileIsAllThatIsRead: whatever its size.
func TestTheEndOfALargeFileIsAllThatIsRead(t *testing.T) {
	text := strings.Repeat(strings.Repeat("z", 80)+"\n", 500_000)
	in := &counted{ReaderAt: strings.NewReader(text)}
	n := 0
	err := backwards(in, int64(len(text)), func([]byte) error {
		if n++; n == 100 {
			return errEnough
		}
		return nil
	})
	if err != errEnough || in.read > blockSize {
		t.Errorf("for %d lines %d bytes were read (%v)", n, in.read, err)
	}
}

// TestBackwards: the lines are those of a reader from the start, in the other order,
// wherever blocks end.
func TestBackwards(t *testing.T) {
	long := strings.Repeat("l", longest)
	for name, text := range map[string]string{
		"nothing":             "",
		"an empty line":       "\n",
		"no end":              "abc",
		"a last one, no end":  "a\nb\nc",
		"long, without end":   "a\n" + strings.Repeat("c", 3*blockSize),
		"the longest":         "a\n" + long + "\nb\n",
		"the longest at last": "a\n" + long + "\n",
		"one too long":        "a\n" + long + "l\nb\n",
		"far too long":        "a\n" + strings.Repeat(long, 9) + "\nb\n",
		"too long at first":   strings.Repeat(long, 9) + "\nb\n",
		"only too long":       strings.Repeat(long, 9) + "\n",
		"blocks":              strings.Repeat(strings.Repeat("b", blockSize/2-1)+"\n", 8),
		"many":                strings.Repeat("one\n\nthree\n", blockSize/5),
	} {
		var forth, back []string
		r := lineReader{in: strings.NewReader(text)}
		for {
			line, err := r.next()
			if errors.Is(err, io.EOF) {
				break
			}
			forth = append(forth, string(line))
		}
		err := backwards(strings.NewReader(text), int64(len(text)), func(line []byte) error {
			back = append(back, string(line))
			return nil
		})
		slices.Reverse(back)
		if got, want := strings.Join(back, "|"), strings.Join(forth, "|"); err != nil || got != want || len(back) != len(forth) {
			t.Errorf("%s: %d lines, want %d (%v)", name, len(back), len(forth), err)
		}
	}
}

// TestALineReaderGoesOnWithWhatHadNoEnd, as a follower does with a file that grows.
func TestALineReaderGoesOnWithWhatHadNoEnd(t *testing.T) {
	var file bytes.Buffer
	r := lineReader{in: &file}
	file.WriteString("one\ntw")
	for _, want := range []string{"one", "", "two", ""} {
		line, err := r.next()
		if string(line) != want || (err != nil) != (want == "") {
			t.Fatalf("got %q (%v), want %q", line, err, want)
		}
		if err != nil {
			r.rest()
			file.WriteString("o\n")
		}
	}
}

// TestTheEarlierPartOfALineIsNotLookedForForEver: a stream that prints its first and last
// piece with much of the other one in between.
func TestTheEarlierPartOfALineIsNotLookedForForEver(t *testing.T) {
	w, _ := kept(t, Retention{Size: 100 << 20})
	for i, far := range []int{lookBack / 2, 3 * lookBack} {
		w.Write(true, []byte("begun "))
		w.showLine(true)
		w.Write(false, []byte(strings.Repeat(strings.Repeat("-", 99)+"\n", far/99)))
		w.Write(true, []byte("done\n"))
		if got, want := texts(past(t, w, Selection{Tail: 1})), []string{"!begun +|!done", "!done"}[i]; got != want {
			t.Errorf("behind %d bytes the last line is %s, want %s", far, got, want)
		}
	}
}

// TestTailWhileItIsRotated: a reader has the last lines as they were at some moment, one
// after the other, whatever is rotated and compressed meanwhile.
func TestTailWhileItIsRotated(t *testing.T) {
	w, _ := kept(t, Retention{Size: 4 << 10, Files: 4, Compress: true})
	w.Write(false, []byte("0\n"))
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 1; i < 5000; i++ {
			w.Write(false, fmt.Appendf(nil, "%d\n", i))
		}
	})
	for range 200 {
		lines := past(t, w, Selection{Tail: 20})
		for i := range lines[1:] {
			var a, b int
			_, _ = fmt.Sscan(string(lines[i].Text), &a)
			_, _ = fmt.Sscan(string(lines[i+1].Text), &b)
			if b != a+1 {
				t.Fatalf("%d comes after %d: %s", b, a, texts(lines))
			}
		}
	}
	writing.Wait()
	packed(w)
	if got := texts(past(t, w, Selection{Tail: 2})); got != "4998|4999" {
		t.Errorf("the last lines are %s", got)
	}
}

// TestTailPassesOverDamage: a file whose end was cut off, and one that is none.
func TestTailPassesOverDamage(t *testing.T) {
	w, _ := kept(t, Retention{})
	w.Write(false, []byte("one\ntwo\n"))
	f, err := os.OpenFile(w.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("no line\n\x00\x00\x00" + strings.Repeat("?", 5*blockSize)); err != nil {
		t.Fatal(err)
	}
	if got := texts(past(t, w, Selection{Tail: 2})); got != "one|two" {
		t.Errorf("the last lines are %s", got)
	}
}

// TestClock: times are those of the standard library, of whatever form.
func TestClock(t *testing.T) {
	var c clock
	for _, stamp := range []string{
		"2026-01-02T15:04:05Z", "2026-01-02T15:04:05.5Z", "2026-01-02T15:04:05.000000001Z", "2026-01-02T15:04:05.999999999Z",
		"2026-01-02T15:04:05.12345678901Z", "2026-01-02T15:04:05.Z", "2026-01-02T15:04:05,5Z", "2026-01-02T15:04:05.1x2Z", "2026-01-02T15:04:05+01:00",
		"2026-01-02T15:04:05.5+01:00", "2026-01-02T15:04:06.123Z", "2026-01-02T15:04:06", "", "Z", "2026-13-02T15:04:06Z",
	} {
		want, err := time.Parse(time.RFC3339Nano, stamp)
		if got, ok := c.read([]byte(stamp)); ok != (err == nil) || !got.Equal(want) {
			t.Errorf("%q is %v (%v), want %v (%v)", stamp, got, ok, want, err)
		}
	}
}
