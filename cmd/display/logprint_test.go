package display

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

func logLine(service, text string) *api.LogLine {
	return &api.LogLine{Container: "shop-" + service + "-1", ContainerId: service, Service: service, Number: 1, Text: []byte(text)}
}

func TestLinesStandBehindTheNamesOfTheirContainers(t *testing.T) {
	var out bytes.Buffer
	p := NewLogPrinter(&out, &out, Style{}, Style{}, LogFormat{}, []planner.Container{
		{Service: "web", Number: 10}, {Service: "db", OneOff: true, Name: "shop-db-run-1"},
	})
	half := logLine("db", "half ")
	half.Partial = true
	oneOff := logLine("db", "by hand")
	oneOff.OneOff, oneOff.Container = true, "shop-db-run-1"
	for _, l := range []*api.LogLine{logLine("web", "one"), half, logLine("web", "cuts in"), half, logLine("db", "whole"), oneOff} {
		p.Print(l)
	}
	want := `
web-1         | one
db-1          | half 
web-1         | cuts in
db-1          | half whole
shop-db-run-1 | by hand
`[1:]
	if out.String() != want {
		t.Errorf("printed is\n%swant\n%s", out.String(), want)
	}
}

func TestEachServiceHasItsColour(t *testing.T) {
	var out bytes.Buffer
	p := NewLogPrinter(&out, &out, Style{Color: true}, Style{Color: true}, LogFormat{}, nil)
	for i := range 12 {
		p.Print(logLine(fmt.Sprintf("s%02d", i), "x"))
	}
	p.Print(logLine("s00", "again"))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	color := func(i int) string { return lines[i][:strings.IndexByte(lines[i], 'm')] }
	if color(0) == color(1) || color(0) != color(10) || color(0) != color(12) {
		t.Errorf("the colours are\n%q", lines)
	}
}

// TestAMergePrintsEachLineOnce has two readers of one container's log, as an up
// has that follows, and reads the end anew when the container ends.
func TestAMergePrintsEachLineOnce(t *testing.T) {
	var out, errs bytes.Buffer
	m := NewLogMerge(NewLogPrinter(&out, &errs, Style{}, Style{}, LogFormat{NoPrefix: true}, nil))
	follows, last := m.Reader(), m.Reader()
	follows.Add(logLine("web", "1"))
	last.Add(logLine("web", "1"))
	last.Add(logLine("web", "2"))
	follows.Add(logLine("web", "2"))
	follows.Add(logLine("web", "3"))
	m.Only("db")
	follows.Add(logLine("web", "hidden"))
	follows.Add(logLine("db", "shown"))
	m.Only("")
	half := logLine("web", "half")
	half.Partial = true
	follows.Add(half)
	m.Say("web/1 exited with code 0")
	follows.Flush()
	if got := out.String(); got != "1\n2\n3\nshown\nhalf\n" {
		t.Errorf("printed is %q", got)
	}
	if got := errs.String(); got != "web/1 exited with code 0\n" {
		t.Errorf("said is %q", got)
	}
}
