package deploy

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/orlop/orlop/cmd/display"
)

func printing(out io.Writer) *copied {
	printer := display.NewLogPrinter(out, out, display.Style{}, display.Style{}, display.LogFormat{}, nil)
	return &copied{logReader: &logReader{printer: printer}, label: "web-0", service: "web"}
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
