package deploy

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/deploy/cluster"
)

func printing(out io.Writer) *copied {
	printer := display.NewLogPrinter(out, out, display.Style{}, display.Style{}, display.LogFormat{}, nil)
	return &copied{logReader: &logReader{printer: printer, last: -1}, label: "web-0", service: "web"}
}

func TestALogThatWasCutOffGoesOnBehindTheLastLine(t *testing.T) {
	var out bytes.Buffer
	c := printing(&out)
	const one, two, three = "2026-01-01T00:00:00.1Z one\n", "2026-01-01T00:00:00.2Z two\n", "2026-01-01T00:00:00.3Z three\n"
	lost := errors.New("connection reset")
	if err := c.from(io.MultiReader(strings.NewReader(one+two+"2026-01-01T00:00:00.3Z thr"), iotest.ErrReader(lost))); !errors.Is(err, lost) {
		t.Fatalf("it ended with %v, want %v", err, lost)
	}
	if err := c.from(strings.NewReader(one + two + three)); err != nil {
		t.Fatal(err)
	}
	if want := "web-0 | one\nweb-0 | two\nweb-0 | three\n"; out.String() != want {
		t.Errorf("printed is %q, want %q", out.String(), want)
	}
}

func TestALineMayBeAsLongAsItIs(t *testing.T) {
	var out bytes.Buffer
	long := strings.Repeat("x", 3<<20)
	if err := printing(&out).from(strings.NewReader("2026-01-01T00:00:00Z " + long + "\n2026-01-01T00:00:01Z short")); err != nil {
		t.Fatal(err)
	}
	if want := "web-0 | " + long + "\nweb-0 | short\n"; out.String() != want {
		t.Errorf("printed are %d bytes, want %d", out.Len(), len(want))
	}
}

func TestLogsOfATimeAreTheLinesOfIt(t *testing.T) {
	const log = "2026-01-01T00:00:00.1Z one\n2026-01-01T00:00:00.2Z two\n2026-01-01T00:00:00.3Z three\n2026-01-01T00:00:00.4Z four\n"
	at := func(tenths int) time.Time { return time.Date(2026, 1, 1, 0, 0, 0, tenths*1e8, time.UTC) }
	for _, c := range []struct {
		since, until int
		last         int
		want         string
	}{
		{0, 9, -1, "one two three four"}, {2, 9, -1, "two three four"}, {0, 3, -1, "one two three"}, {2, 3, -1, "two three"},
		{0, 3, 1, "three"}, {0, 3, 0, ""}, {2, 3, 5, "two three"},
	} {
		var out bytes.Buffer
		l := printing(&out)
		l.options.Since, l.until, l.last = at(c.since), at(c.until), c.last
		if err := l.from(strings.NewReader(log)); err != nil {
			t.Fatal(err)
		}
		l.flush()
		got := strings.Join(strings.Fields(strings.ReplaceAll(out.String(), "web-0 |", "")), " ")
		if got != c.want {
			t.Errorf("from %d to %d, the last %d: %q, want %q", c.since, c.until, c.last, got, c.want)
		}
	}
}

func TestACommandIsArrangedByProgramsOfTheContainer(t *testing.T) {
	for _, c := range []struct {
		env  []string
		dir  string
		want string
	}{
		{nil, "", "ls -l"}, {[]string{"A=1", "B=x y"}, "", "env A=1 B=x y ls -l"}, {[]string{"A=1"}, "/srv", `/bin/sh -c cd "$0" && exec "$@" /srv env A=1 ls -l`},
	} {
		if got := strings.Join(arranged([]string{"ls", "-l"}, c.env, c.dir), " "); got != c.want {
			t.Errorf("%v in %q: %s, want %s", c.env, c.dir, got, c.want)
		}
	}
}

// closer runs something when what is read is lost or over.
type closer struct {
	io.Reader
	over func()
}

func (c *closer) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	if err != nil {
		c.over()
	}
	return n, err
}

func (c *closer) Close() error { return nil }

func TestAQuietLogIsFollowedOverManyLostConnections(t *testing.T) {
	var out bytes.Buffer
	lost := errors.New("connection reset")
	for lasts, want := range map[time.Duration]string{time.Minute: "web-0 | one\nweb-0 | two\n", 0: "web-0 | one\n"} {
		out.Reset()
		c := printing(&out)
		clock := time.Unix(0, 0)
		c.now = func() time.Time { return clock }
		c.options.Follow = true
		const one, two = "2026-01-01T00:00:00.1Z one\n", "2026-01-01T00:00:00.2Z two\n"
		logs := []io.Reader{
			io.MultiReader(strings.NewReader(one), iotest.ErrReader(lost)), io.MultiReader(strings.NewReader(one), iotest.ErrReader(lost)),
			io.MultiReader(strings.NewReader(one), iotest.ErrReader(lost)), strings.NewReader(one + two),
		}
		err := c.all(t.Context(), func(cluster.LogOptions) (io.ReadCloser, error) {
			next := logs[0]
			logs = logs[1:]
			return &closer{next, func() { clock = clock.Add(lasts) }}, nil
		})
		if out.String() != want || (lasts == 0) != errors.Is(err, lost) {
			t.Errorf("connections of %v: %q (%v), want %q", lasts, out.String(), err, want)
		}
	}
}

func TestLinesThatNoConnectionHasSeenAreShownWhateverTheTail(t *testing.T) {
	lost := errors.New("connection reset")
	for _, tail := range []int{0, 5, -1} {
		var out bytes.Buffer
		c := printing(&out)
		clock := time.Unix(100, 0)
		c.now = func() time.Time { return clock }
		c.options.Follow, c.options.Tail = true, tail
		var asked []cluster.LogOptions
		logs := []io.Reader{iotest.ErrReader(lost), iotest.ErrReader(lost), strings.NewReader("1970-01-01T00:02:00Z one\n1970-01-01T00:02:01Z two\n")}
		err := c.all(t.Context(), func(o cluster.LogOptions) (io.ReadCloser, error) {
			asked = append(asked, o)
			next := logs[0]
			logs = logs[1:]
			clock = clock.Add(time.Second) // while it is opened, lines may come
			return &closer{next, func() { clock = clock.Add(time.Minute) }}, nil
		})
		if err != nil || out.String() != "web-0 | one\nweb-0 | two\n" {
			t.Errorf("--tail %d: printed is %q (%v)", tail, out.String(), err)
		}
		for n, o := range asked[1:] {
			ago := time.Duration(n+1) * (time.Minute + time.Second)
			if tail < 0 {
				ago = 0 // all that there is
			}
			if o.Tail != -1 || o.Ago != ago || !o.Since.IsZero() {
				t.Errorf("--tail %d: asked is for %d lines since %v ago (%v), want all since %v ago", tail, o.Tail, o.Ago, o.Since, ago)
			}
		}
		if asked[0].Tail != tail {
			t.Errorf("--tail %d: asked is for %d lines first", tail, asked[0].Tail)
		}
	}
}

func TestASpanIsCountedByTheClockOfTheNode(t *testing.T) {
	now := time.Unix(1000, 0)
	for since, want := range map[string]cluster.LogOptions{
		"5m": {Ago: 5 * time.Minute}, "0s": {Since: now}, "-1h": {Since: now.Add(time.Hour)}, "500": {Since: time.Unix(500, 0)}, "": {},
	} {
		var o cluster.LogOptions
		if err := (&logFlags{since: since}).from(&o, now); err != nil || o != want {
			t.Errorf("--since %q asks for %+v (%v), want %+v", since, o, err, want)
		}
	}

	// Over a lost connection it begins where it began.
	var out bytes.Buffer
	c := printing(&out)
	clock := time.Unix(1000, 0)
	c.now = func() time.Time { return clock }
	c.options.Follow, c.options.Tail, c.options.Ago = true, -1, 5*time.Minute
	var asked []time.Duration
	logs := []io.Reader{iotest.ErrReader(errors.New("connection reset")), strings.NewReader("")}
	if err := c.all(t.Context(), func(o cluster.LogOptions) (io.ReadCloser, error) {
		asked = append(asked, o.Ago)
		next := logs[0]
		logs = logs[1:]
		return &closer{next, func() { clock = clock.Add(time.Minute) }}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []time.Duration{5 * time.Minute, 6 * time.Minute}; !slices.Equal(asked, want) {
		t.Errorf("asked is for what is no older than %v, want %v", asked, want)
	}
}
