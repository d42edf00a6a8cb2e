package display

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
	"unicode"

	"golang.org/x/text/width"

	"github.com/orlop/orlop/planner"
)

// frameTime is the time between two frames. Events in between are seen in the
// next one.
const frameTime = 80 * time.Millisecond

// ttyDisplay redraws a tree in place: each frame is computed whole and written
// at once, over the one before. A terminal that stands holds up who draws, and
// nobody else: what happens meanwhile is seen in the frame after.
type ttyDisplay struct {
	st       Style
	words    Words
	services int
	now      func() time.Time
	size     func() (columns, rows int)
	stop     chan struct{}
	stopped  chan struct{}
	canvas   Canvas // of the goroutine that animates, and then of who ends it

	mu    sync.Mutex
	board *Board // guarded by mu
	tick  int    // guarded by mu
}

func newTTYDisplay(w io.Writer, b *Board, st Style, words Words, services int, now func() time.Time, size func() (int, int)) *ttyDisplay {
	d := &ttyDisplay{
		canvas: Canvas{w: w}, board: b, st: st, words: words, services: services, now: now, size: size,
		stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go d.animate()
	return d
}

func (d *ttyDisplay) Plan(p *planner.Plan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.board.SetPlan(p)
}

func (d *ttyDisplay) Event(e planner.Event) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.board.Apply(e)
}

func (d *ttyDisplay) animate() {
	defer close(d.stopped)
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	for {
		select {
		case <-d.stop:
			return
		case <-ticker.C:
			columns, rows := d.size()
			if lines := d.next(columns, rows); lines != nil {
				d.canvas.Draw(lines, columns)
			}
		}
	}
}

// next is the next frame, or nil while there is nothing to show.
func (d *ttyDisplay) next(columns, rows int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tick++
	if d.board.plan.IsEmpty() {
		return nil
	}
	return d.frame(columns, rows)
}

// frame is the tree. The caller holds mu.
func (d *ttyDisplay) frame(columns, rows int) []string {
	var lines []string
	room := max(1, rows-1) // the last row is the cursor's
	if d.words.Header && room > 2 {
		lines = append(lines, Clip(header(d.board, d.services, Style{}), columns-1))
		room--
	}
	return append(lines, d.board.tree(d.now(), d.tick, columns, room, d.st)...)
}

func (d *ttyDisplay) Finish(s Summary) {
	close(d.stop)
	<-d.stopped
	columns, rows := d.size()
	d.canvas.Draw(d.last(s, columns, rows), columns)
}

// last is what stays on the screen.
func (d *ttyDisplay) last(s Summary, columns, rows int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var lines []string
	switch {
	case s.isToldElsewhere(d.board):
		return nil
	case !s.Verdict.Ok:
		lines = d.board.report(d.now(), columns, d.st)
	case !s.Verdict.UpToDate && !d.board.plan.IsEmpty():
		lines = d.frame(columns, rows)
	}
	return append(lines, s.lines(d.board, d.st)...)
}

func (d *ttyDisplay) Abort() {
	close(d.stop)
	<-d.stopped
	columns, _ := d.size()
	var lines []string
	if !d.words.Brief {
		d.mu.Lock()
		lines = d.board.report(d.now(), columns, d.st)
		d.mu.Unlock()
	}
	d.canvas.Draw(lines, columns)
}

// tree is the board as lines, at most height of them: finished rows fold away
// first, then those that wait.
func (b *Board) tree(now time.Time, tick, width, height int, st Style) []string {
	hideDone, hidePending := 0, 0
	if extra := len(b.rows) - height; extra > 0 {
		hideDone = min(b.count(done), extra+1)
		if extra -= max(0, hideDone-1); extra > 0 {
			hidePending = min(b.count(pending), extra+1)
		}
	}
	var lines []string
	if hideDone > 0 {
		lines = append(lines, fmt.Sprintf(" %s %d done", st.Green("✓"), hideDone))
	}
	shown := b.count(pending) - hidePending
	for _, r := range b.rows {
		switch {
		case r.mark == done && hideDone > 0:
			hideDone--
			continue
		case r.mark == pending && shown == 0:
			continue
		case r.mark == pending:
			shown--
		}
		lines = append(lines, Clip(b.line(r, now, tick, width-1, st), width-1))
	}
	if hidePending > 0 {
		lines = append(lines, st.Dim(fmt.Sprintf(" · %d more waiting", hidePending)))
	}
	if len(lines) > height {
		lines = lines[len(lines)-height:]
	}
	return lines
}

// report is what is left to read of a progress that went wrong: the culprits
// first, with what they printed, then what they stopped.
func (b *Board) report(now time.Time, width int, st Style) []string {
	var lines []string
	for _, r := range b.failures() {
		lines = append(lines, b.line(r, now, 0, width-1, st))
		lines = append(lines, r.output(st)...)
	}
	for _, r := range b.rows {
		if r.mark == cancelled && !r.began.IsZero() {
			lines = append(lines, b.line(r, now, 0, width-1, st))
		}
	}
	lines = append(lines, b.leftOut(cancelled, now, width-1, st)...)
	return append(lines, b.leftOut(skipped, now, width-1, st)...)
}

// visible is the width of a painted line.
func visible(line string) int {
	n, escape := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n += cells(r)
		}
	}
	return n
}

// cells is how many columns of a terminal a character takes.
func cells(r rune) int {
	if r < 0x300 { // nothing below is wide or combining
		return 1
	}
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case width.LookupRune(r).Kind() == width.EastAsianWide, width.LookupRune(r).Kind() == width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Clip cuts a painted line to a number of columns.
func Clip(line string, columns int) string {
	if visible(line) <= columns {
		return line
	}
	var b strings.Builder
	n, escape := 0, false
	for _, r := range line {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case n+cells(r) > columns:
			n = columns
			continue
		default:
			n += cells(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}
