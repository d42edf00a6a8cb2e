package logs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// manual is a clock that the test moves.
type manual struct {
	mu sync.Mutex
	at time.Time // guarded by mu
}

func newManual() *manual { return &manual{at: time.Unix(1_700_000_000, 0).UTC()} }

func (m *manual) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at
}

func (m *manual) move(d time.Duration) time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.at = m.at.Add(d)
	return m.at
}

// logged is a log of a container that prints nothing yet.
func logged(t testing.TB) (*Log, *manual) {
	t.Helper()
	clock := newManual()
	w := logAt(filepath.Join(t.TempDir(), "c", "log"), clock)
	t.Cleanup(w.Close)
	return w, clock
}

func logAt(path string, clock *manual) *Log {
	origin := Origin{ID: "id", Container: "shop-web-1", Service: "web", Number: 1}
	return New(Config{Path: path, Origin: origin, Now: clock.now, Log: slog.New(slog.DiscardHandler)})
}

func texts(lines []Line) string {
	var out []string
	for _, l := range lines {
		s := string(l.Text)
		if l.Stderr {
			s = "!" + s
		}
		if l.Partial {
			s += "+"
		}
		out = append(out, s)
	}
	return strings.Join(out, "|")
}

func past(t testing.TB, c *Log, opts Selection) []Line {
	t.Helper()
	lines, _, err := c.past(opts)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

var all = Selection{Tail: -1}

func TestLogLines(t *testing.T) {
	c, _ := logged(t)
	w := c
	if got := past(t, c, all); len(got) != 0 {
		t.Errorf("before the first line: %s", texts(got))
	}
	w.Write(false, []byte("one\ntw"))
	w.Write(true, []byte("err"))
	w.Write(false, []byte("o\n\nhalf"))
	w.Write(true, []byte("or\n"))
	if got := texts(past(t, c, all)); got != "one|two||!error" {
		t.Errorf("got %s", got)
	}
	w.endLine(true)
	w.endLine(false)
	w.endLine(false)
	lines := past(t, c, all)
	if got := texts(lines); got != "one|two||!error|half" {
		t.Errorf("got %s", got)
	}
	if l := lines[0]; l.Container != "shop-web-1" || l.ID != "id" || l.Service != "web" || l.Number != 1 || !l.Time.Equal(c.now()) {
		t.Errorf("the line is %+v", l)
	}
}

func TestLogLongLines(t *testing.T) {
	for _, size := range []int{lineSize - 1, lineSize, lineSize + 1, 3*lineSize + 5} {
		for _, chunk := range []int{100, lineSize, 1 << 20} {
			c, _ := logged(t)
			want := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
			for p := slices.Concat(want, []byte("\nend\n")); len(p) > 0; {
				n := min(chunk, len(p))
				c.Write(false, p[:n])
				p = p[n:]
			}
			var got []byte
			lines := past(t, c, all)
			for i, l := range lines[:len(lines)-1] {
				got = append(got, l.Text...)
				if l.Partial != (i < len(lines)-2) {
					t.Errorf("%d by %d: part %d of %d is marked %v", size, chunk, i, len(lines)-1, l.Partial)
				}
			}
			if !bytes.Equal(got, want) || string(lines[len(lines)-1].Text) != "end" {
				t.Errorf("%d by %d: %d bytes came back", size, chunk, len(got))
			}
		}
	}
}

// TestLogWithoutLineEnds: what a process prints in one endless line is not
// kept in memory.
func TestLogWithoutLineEnds(t *testing.T) {
	c, _ := logged(t)
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for range 1000 { // 32 MB
		c.Write(false, chunk)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 2<<20 {
		t.Errorf("the log holds %d bytes", grown)
	}
	if n := cap(c.partial[0]); n > 4*lineSize {
		t.Errorf("an unfinished line holds %d bytes", n)
	}
}

func TestLogRotates(t *testing.T) {
	c, _ := logged(t)
	text := strings.Repeat("x", 1000)
	count := 0
	for ; c.rotated < logFiles+1; count++ {
		c.Write(false, fmt.Appendf(nil, "%07d %s\n", count, text))
	}
	var size int64
	for i := range logFiles + 2 {
		st, err := os.Stat(numbered(c.path, i))
		if (err == nil) != (i < logFiles) {
			t.Errorf("file %d: %v", i, err)
		}
		if err == nil {
			size += st.Size()
			if st.Size() > logSize {
				t.Errorf("file %d has %d bytes", i, st.Size())
			}
		}
	}
	if size > logFiles*logSize {
		t.Errorf("the log takes %d bytes", size)
	}
	lines := past(t, c, all)
	for i, l := range lines {
		if want := fmt.Sprintf("%07d ", count-len(lines)+i); !bytes.HasPrefix(l.Text, []byte(want)) {
			t.Fatalf("line %d is %.10s, want %s", i, l.Text, want)
		}
	}
	if got := past(t, c, Selection{Tail: 3}); len(got) != 3 || !bytes.HasPrefix(got[2].Text, fmt.Appendf(nil, "%07d", count-1)) {
		t.Errorf("the last lines are %.100s", texts(got))
	}
}

func TestLogSelection(t *testing.T) {
	c, clock := logged(t)
	start := clock.now()
	for i := range 10 {
		c.Write(false, fmt.Appendf(nil, "%d\n", i))
		clock.move(time.Second)
	}
	at := func(s int) time.Time { return start.Add(time.Duration(s) * time.Second) }
	for want, opts := range map[string]Selection{
		"0|1|2|3|4|5|6|7|8|9": {Tail: -1},
		"":                    {Tail: 0},
		"8|9":                 {Tail: 2},
		"7|8|9":               {Tail: -1, Since: at(7)},
		"0|1|2":               {Tail: -1, Until: at(2)},
		"3|4|5":               {Tail: -1, Since: at(3), Until: at(5)},
		"5":                   {Tail: 1, Since: at(3), Until: at(5)},
	} {
		if got := texts(past(t, c, opts)); got != want {
			t.Errorf("%+v: %s, want %s", opts, got, want)
		}
	}
}

// TestLogDamage: what a power failure leaves in a file does not hide the rest.
func TestLogDamage(t *testing.T) {
	c, _ := logged(t)
	c.Write(false, []byte("first\n"))
	f, err := os.OpenFile(c.path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, junk := range []string{"no line\n", "\n", "2026-01-02T15:04:05Z\n", "2026-01-02T15:04:05Z std\n", string(make([]byte, 200<<10)) + "\n", "2026-01-02T15:04:05Z stdout F " + strings.Repeat("x", 3*lineSize) + "\n"} {
		if _, err := f.WriteString(junk); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	c.Write(false, []byte("last\n"))
	if got := texts(past(t, c, all)); got != "first|last" {
		t.Errorf("got %.200s", got)
	}
}

// TestLogOfAnEngineBefore: a new writer goes on with the file.
func TestLogOfAnEngineBefore(t *testing.T) {
	c, clock := logged(t)
	c.Write(false, []byte("before\n"))
	c.Close()
	c.Write(false, []byte("lost\n"))
	c = logAt(c.path, clock)
	c.Write(false, []byte("after\n"))
	if got := texts(past(t, c, all)); got != "before|after" {
		t.Errorf("got %s", got)
	}
	c.Close()
}

// TestFollow: each line comes once and in order, also across rotations that
// overtake the reader.
func TestFollow(t *testing.T) {
	c, _ := logged(t)
	c.Write(false, []byte("old\n"))
	_, at, err := c.past(Selection{Tail: 0})
	if err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	done := make(chan error, 1)
	go func() {
		done <- c.Follow(context.Background(), all, at, func(l Line) error {
			lines <- string(l.Text)
			return nil
		}, nil)
	}()
	next := 0
	write := func(n int, pad string) {
		for range n {
			c.Write(false, fmt.Appendf(nil, "%d %s\n", next, pad))
			next++
		}
	}
	read := 0
	expect := func(n int) {
		t.Helper()
		for range n {
			got, _, _ := strings.Cut(<-lines, " ")
			if got != fmt.Sprint(read) {
				t.Fatalf("line %s comes, want %d", got, read)
			}
			read++
		}
	}
	write(1, "")
	expect(1)
	write(3, "")
	expect(2)
	// The follower stands at a line while the file is rotated twice.
	write(2500, strings.Repeat("x", 10_000))
	if c.rotated < 2 {
		t.Fatalf("rotated %d times: the test can't fail", c.rotated)
	}
	expect(2501)
	write(1, "end")
	expect(1)
	c.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestFollowEnds(t *testing.T) {
	c, _ := logged(t)
	c.Write(false, []byte("one\n"))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	begun := make(chan bool)
	go func() {
		done <- c.Follow(ctx, all, Position{}, func(Line) error { begun <- true; return nil }, nil)
	}()
	<-begun
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	broken := fmt.Errorf("the command is gone")
	if err := c.Follow(context.Background(), all, Position{}, func(Line) error { return broken }, nil); err != broken {
		t.Errorf("the error is %v", err)
	}
}

func TestLogSafeForManyUsers(t *testing.T) {
	c, _ := logged(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for range 200 {
				c.Write(i%2 == 0, []byte("line\n"))
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			if _, _, err := c.past(all); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	if got := past(t, c, all); len(got) != 800 {
		t.Errorf("%d lines", len(got))
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add("2026-01-02T15:04:05.999999999Z stdout F hello")
	f.Add("2026-01-02T15:04:05Z stderr P")
	f.Fuzz(func(t *testing.T, text string) {
		l, ok := parseLine([]byte(text))
		if ok && !strings.HasSuffix(text, string(l.Text)) {
			t.Errorf("%q gives %q", text, l.Text)
		}
	})
}

// TestLogsOfManyInOrder: lines of several containers come in the order of
// time, and those of one time in the order of the containers.
func TestLogsOfManyInOrder(t *testing.T) {
	at := func(feed string, seconds ...int) iter.Seq2[Line, error] {
		return func(yield func(Line, error) bool) {
			for _, s := range seconds {
				if !yield(Line{Time: time.Unix(int64(s), 0), Text: fmt.Append(nil, feed, s)}, nil) {
					return
				}
			}
		}
	}
	var got []Line
	err := inOrder([]iter.Seq2[Line, error]{at("a", 1, 4, 4, 9), at("b"), at("c", 2, 4), at("d", 0)}, func(l Line) error {
		got = append(got, l)
		return nil
	})
	if want := "d0|a1|c2|a4|a4|c4|a9"; err != nil || texts(got) != want {
		t.Errorf("got %s, %v; want %s", texts(got), err, want)
	}
	stop := errors.New("enough")
	if err := inOrder([]iter.Seq2[Line, error]{at("a", 1, 2), at("b", 1)}, func(Line) error { return stop }); err != stop {
		t.Errorf("the reader's error is lost: %v", err)
	}
}

// TestLogsWithAnyTail: a number of lines that nobody has is all of them.
func TestLogsWithAnyTail(t *testing.T) {
	c, _ := logged(t)
	c.Write(false, []byte("one\ntwo\n"))
	for _, tail := range []int{1 << 62, 1<<63 - 1, 2} {
		if got := texts(past(t, c, Selection{Tail: tail})); got != "one|two" {
			t.Errorf("the last %d lines are %s", tail, got)
		}
	}
}

// TestTailCountsLines: a line that was kept in pieces counts once and comes
// whole, also where the other stream printed between its pieces, and where it
// is not finished yet.
func TestTailCountsLines(t *testing.T) {
	out := func(text string) Line { return Line{Text: []byte(text)} }
	part := func(text string) Line { return Line{Text: []byte(text), Partial: true} }
	err := func(l Line) Line { l.Stderr = true; return l }
	for _, test := range []struct {
		pieces []Line
		lines  int
		want   string
	}{
		{[]Line{out("a"), part("b1"), part("b2"), out("b3"), out("c")}, 2, "b1+|b2+|b3|c"},
		{[]Line{out("a"), part("b1"), part("b2"), out("b3"), out("c")}, 1, "c"},
		{[]Line{out("a"), part("b1"), out("b2")}, 1, "b1+|b2"},
		{[]Line{part("a1"), err(out("x")), err(part("y1")), out("a2"), err(out("y2"))}, 2, "a1+|!y1+|a2|!y2"},
		{[]Line{part("a1"), err(out("x")), err(part("y1")), out("a2"), err(out("y2"))}, 1, "!y1+|!y2"},
		{[]Line{out("a"), part("b1"), part("b2")}, 1, "b1+|b2+"},
		{[]Line{out("a"), part("b1"), err(out("x"))}, 2, "b1+|!x"},
		{[]Line{part("b1"), part("b2"), out("b3")}, 0, ""},
	} {
		kept := tail{lines: test.lines}
		for _, l := range test.pieces {
			kept.add(l)
		}
		if got := texts(kept.take()); got != test.want {
			t.Errorf("the last %d of %s are %s, want %s", test.lines, texts(test.pieces), got, test.want)
		}
	}
	many := tail{lines: 2}
	for i := range 5000 {
		many.add(part(fmt.Sprintf("%d", i)))
		many.add(out("."))
	}
	if got := texts(many.take()); got != "4998+|.|4999+|." || len(many.pieces) > 4000 {
		t.Errorf("of many the last are %s; %d pieces are held", got, len(many.pieces))
	}
	endless := tail{lines: 1}
	for range 10 * mostPieces {
		endless.add(part("="))
	}
	if n := len(endless.pieces); n > 3*mostPieces {
		t.Errorf("%d pieces of a line without an end are held", n)
	}
}

// A prompt or a row of dots is shown before its line ends; what follows is the
// rest of the same line.
func TestAnUnfinishedLineIsShownAfterAMoment(t *testing.T) {
	c, _ := logged(t)
	in, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var lines []Line
	come := make(chan Line, 8)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		_ = c.Follow(ctx, all, Position{}, func(l Line) error { l.Text = bytes.Clone(l.Text); come <- l; return nil }, nil)
	}()
	ended := make(chan struct{})
	go func() {
		c.Copy(Stream{Pipe: in, Live: true, Tee: func([]byte) {}, Detached: func() bool { return false }})
		close(ended)
	}()
	for _, text := range []string{"name? ", "more ", "me\nnext\n"} {
		if _, err := pipe.WriteString(text); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, <-come)
	}
	lines = append(lines, <-come)
	if _, err := pipe.WriteString("bye"); err != nil {
		t.Fatal(err)
	}
	lines = append(lines, <-come)
	pipe.Close()
	lines = append(lines, <-come)
	<-ended
	if got := texts(lines); got != "name? +|more +|me|next|bye+|" {
		t.Errorf("got %s", got)
	}
	if got := texts(past(t, c, Selection{Tail: 1})); got != "bye+|" {
		t.Errorf("the last line is %s", got)
	}
}
