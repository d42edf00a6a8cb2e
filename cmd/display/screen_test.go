package display

import (
	"fmt"
	"html"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display/screentest"
	"github.com/orlop/orlop/planner"
)

// terminal is a terminal that a test looks at, with a display on it.
type terminal struct {
	vt      *screentest.Screen
	display *ttyDisplay
	now     time.Time
}

// newTerminal is a terminal on which a prompt stands already.
func newTerminal(columns, rows int, plan *planner.Plan) *terminal {
	x := &terminal{vt: screentest.New(columns, rows), now: began}
	fmt.Fprint(x.vt, "$ orlop up\n")
	x.display = &ttyDisplay{
		canvas: Canvas{w: x.vt}, board: NewBoard(began), words: Words{Header: true, Done: "is up", Failed: "is not up"}, services: 6,
		st: Style{Color: true}, now: func() time.Time { return x.now }, size: func() (int, int) { return x.vt.Width, x.vt.Height },
	}
	x.display.Plan(plan)
	return x
}

// show takes in an event and draws the next frame.
func (x *terminal) show(e planner.Event) {
	x.now = e.Time
	x.display.Event(e)
	x.draw()
}

func (x *terminal) draw() {
	x.display.tick++
	x.display.canvas.Draw(x.display.frame(x.vt.Width, x.vt.Height), x.vt.Width)
}

// lines are the rows of the screen that have something.
func (x *terminal) lines() []string {
	out := x.vt.Rows()
	for len(out) > 0 && out[len(out)-1] == "" {
		out = out[:len(out)-1]
	}
	return out
}

// unpainted is a line as it reads on a screen.
func unpainted(line string) string {
	var b strings.Builder
	escape := false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			b.WriteRune(r)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// upEvents are those of a whole up, in their order, with a step whose words
// would steer a terminal.
func upEvents(t *testing.T) (*planner.Plan, []planner.Event) {
	plan, events := halfWay(t)
	s := script{t, plan}
	events = append(events,
		s.event(1.6, "build api", planner.Progressed, func(e *planner.Event) {
			e.Text = "compile [5/6] RUN \ta\x1b[31m line\x1b[2J that is far too long for any terminal: " + strings.Repeat("0123456789 ", 30)
		}),
		s.event(2.0, "await db healthy", planner.Done, nil), s.event(3.1, "pull redis:7", planner.Done, nil),
		s.event(3.1, "create redis/1", planner.Started, nil), s.event(3.4, "create redis/1", planner.Done, nil),
		s.event(4.1, "build api", planner.Done, nil), s.event(4.1, "create api/1", planner.Started, nil), s.event(4.9, "create api/1", planner.Done, nil))
	return plan, events
}

func TestEachFrameFitsOnEachTerminal(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {200, 60}, {100, 8}, {40, 10}, {30, 6}, {20, 5}, {120, 4}, {76, 3}, {80, 2}} {
		t.Run(fmt.Sprintf("%dx%d", size[0], size[1]), func(t *testing.T) {
			plan, events := upEvents(t)
			x := newTerminal(size[0], size[1], plan)
			for _, e := range events {
				x.show(e)
				frame := x.display.frame(size[0], size[1])
				var want []string
				for _, l := range frame {
					want = append(want, unpainted(l))
				}
				got := x.lines()
				if len(frame) > size[1]-1 || len(got) < len(want) || !slices.Equal(got[len(got)-len(want):], want) {
					t.Fatalf("at %s %s the screen is\n%s\nwant, in its last rows,\n%s", e.Step, e.Kind, strings.Join(got, "\n"), strings.Join(want, "\n"))
				}
				// What is above is what stood there before: nothing of an older frame.
				if above := got[:len(got)-len(want)]; len(above) > 1 || len(above) == 1 && above[0] != "$ orlop up" {
					t.Fatalf("at %s %s something is left of older frames:\n%s", e.Step, e.Kind, strings.Join(got, "\n"))
				}
			}
		})
	}
}

func TestTheScreenFollowsATerminalThatIsResized(t *testing.T) {
	plan, events := upEvents(t)
	x := newTerminal(80, 24, plan)
	sizes := [][2]int{{80, 24}, {120, 30}, {120, 12}, {60, 12}, {60, 24}, {90, 9}, {80, 24}}
	for i, e := range events {
		size := sizes[i%len(sizes)]
		if size[1] < x.vt.Height {
			// A terminal that gets lower keeps its last rows; this one keeps the first.
			x.vt.Clear()
			x.display.canvas.drawn = nil
		}
		x.vt.Resize(size[0], size[1])
		x.show(e)
		for row, line := range x.lines() {
			if n := len([]rune(line)); n > size[0]-1 {
				t.Errorf("at %dx%d row %d has %d columns", size[0], size[1], row, n)
			}
		}
		if got := strings.Count(strings.Join(x.lines(), "\n"), "6 services"); got != 1 {
			t.Errorf("after a resize to %dx%d the screen has %d headers:\n%s", size[0], size[1], got, strings.Join(x.lines(), "\n"))
		}
	}
}

func TestTheEndLeavesTheSummaryOnTheScreen(t *testing.T) {
	plan, events := upEvents(t)
	x := newTerminal(80, 24, plan)
	for _, e := range events {
		x.show(e)
	}
	x.display.stop, x.display.stopped = make(chan struct{}), make(chan struct{})
	close(x.display.stopped)
	x.display.Finish(Summary{Words: x.display.words, Verdict: &api.Verdict{Ok: true}, Took: dur(5), Addresses: []string{"http://localhost:8080"}})
	got := x.lines()
	if want := " ✓ shop is up in 5.0 s (4.1 s building api, 0.8 s starting api/1)   http://local"; got[len(got)-2] != want && got[len(got)-1] != want {
		t.Errorf("the screen ends with\n%s\nwant\n%s", strings.Join(got[len(got)-2:], "\n"), want)
	}
	if got[0] != "$ orlop up" || !strings.Contains(got[1], "6 services") {
		t.Errorf("the screen begins with\n%s", strings.Join(got[:2], "\n"))
	}
}

func TestWideCharactersTakeTwoColumns(t *testing.T) {
	for text, want := range map[string]int{"abc": 3, "日本": 4, "e\u0301": 1, "\x1b[31m✓\x1b[0m ok": 4, "🚀": 2} {
		if got := visible(text); got != want {
			t.Errorf("%q takes %d columns, want %d", text, got, want)
		}
	}
	if got := Clip("a日本語", 4); got != "a日" {
		t.Errorf("clipped to four columns it is %q", got)
	}
}

// TestThePictureOfTheScreen holds docs/up.svg against the display: the README
// shows what a user sees, not what somebody drew.
func TestThePictureOfTheScreen(t *testing.T) {
	plan, events := halfWay(t)
	x := newTerminal(80, 10, plan)
	for _, e := range events {
		x.show(e)
	}
	x.now = at(1.9)
	x.draw()
	got := picture(x.vt)
	const path = "../../docs/up.svg"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("docs/up.svg is not what the display shows (%v): go test ./cmd/display -run Picture -update", err)
	}
}

// Sizes of the picture, in pixels.
const (
	cellWidth, cellHeight = 8.4, 19
	margin                = 14
)

// picture is a screen as SVG: a text for each run of cells of one colour.
func picture(vt *screentest.Screen) string {
	var b strings.Builder
	width, height := int(float64(vt.Width)*cellWidth)+2*margin, vt.Height*cellHeight+2*margin
	fmt.Fprintf(&b, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"orlop up\">\n", width, height, width, height)
	fmt.Fprintf(&b, "<rect width=\"100%%\" height=\"100%%\" rx=\"8\" fill=\"#16181d\"/>\n<g font-family=\"ui-monospace, Menlo, Consolas, monospace\" font-size=\"14\" xml:space=\"preserve\">\n")
	for y, row := range vt.Cells {
		for from := 0; from < len(row); {
			to := from
			var run []rune
			for to < len(row) && row[to].Style == row[from].Style {
				run = append(run, row[to].Rune)
				to++
			}
			if text := string(run); strings.TrimSpace(text) != "" {
				lead := len(text) - len(strings.TrimLeft(text, " "))
				text = strings.Trim(text, " ")
				fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%d\" textLength=\"%.1f\" fill=\"%s\">%s</text>\n", margin+float64(from+lead)*cellWidth,
					margin+y*cellHeight+14, float64(len([]rune(text)))*cellWidth, ink(row[from].Style), html.EscapeString(text))
			}
			from = to
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// ink is a colour that reads well on the picture's ground.
func ink(s screentest.Style) string {
	switch s.Color {
	case 32:
		return "#7ec97e"
	case 36:
		return "#6cc6d9"
	case 31:
		return "#e8706a"
	case 33:
		return "#e0c070"
	}
	if s.Dim {
		return "#8b919c"
	}
	return "#d7dae0"
}
