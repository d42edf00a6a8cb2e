package display

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// LogFormat says how log lines look.
type LogFormat struct {
	NoPrefix bool
	Compose  bool // one more space behind names, as Compose has it
	NoColor  bool
	Times    bool
}

// LogPrinter prints the lines of many containers, each behind the name of its
// container, in a colour of its service.
type LogPrinter struct {
	w      io.Writer
	errw   io.Writer
	format LogFormat
	st     Style
	errSt  Style
	width  int
	colors map[string]string
	open   string    // container whose line has not ended yet
	split  bool      // what a container printed on stderr goes to ours, as Compose's up has it
	last   io.Writer // that the last text went to
	onErr  bool      // the last text was printed on stderr
}

// serviceColors are told apart on dark and on light screens.
func serviceColors() []string {
	return []string{"36", "33", "32", "35", "34", "96", "93", "92", "95", "94"}
}

// NewLogPrinter prints the logs of containers of which some are known.
func NewLogPrinter(out, errs io.Writer, st, errSt Style, f LogFormat, known []planner.Container) *LogPrinter {
	p := &LogPrinter{w: out, errw: errs, format: f, st: st, errSt: errSt, colors: map[string]string{}}
	for i := range known {
		name := logName(known[i].Service, int32(known[i].Number))
		if known[i].OneOff {
			name = known[i].Name
		}
		p.width = max(p.width, len(name))
	}
	return p
}

func logName(service string, number int32) string { return fmt.Sprintf("%s-%d", service, number) }

func (p *LogPrinter) prefix(l *api.LogLine, st Style) string {
	if p.format.NoPrefix {
		return ""
	}
	name := logName(l.Service, l.Number)
	if l.OneOff {
		name = l.Container
	}
	p.width = max(p.width, len(name))
	color, ok := p.colors[l.Service]
	if !ok {
		all := serviceColors()
		color = all[len(p.colors)%len(all)]
		p.colors[l.Service] = color
	}
	gap := " "
	if p.format.Compose {
		gap = "  "
	}
	return st.paint(color, fmt.Sprintf("%-*s%s| ", p.width, name, gap))
}

// Print writes one line, or a part of one; the parts of a long line stay
// together unless another container cuts in.
func (p *LogPrinter) Print(l *api.LogLine) {
	var b strings.Builder
	to, st := p.w, p.st
	if p.split && l.Stderr {
		to, st = p.errw, p.errSt
	}
	if p.open != l.Container || p.onErr != l.Stderr {
		p.EndLine()
	}
	if p.open == "" {
		b.WriteString(p.prefix(l, st))
		if p.format.Times {
			b.WriteString(time.Unix(0, l.TimeUnixNs).UTC().Format("2006-01-02T15:04:05.000000000Z") + " ")
		}
	}
	b.Write(l.Text)
	if l.Partial {
		p.open = l.Container
	} else {
		b.WriteByte('\n')
		p.open = ""
	}
	p.last, p.onErr = to, l.Stderr
	_, _ = io.WriteString(to, b.String())
}

// EndLine ends a line of which a part was printed.
func (p *LogPrinter) EndLine() {
	if p.open != "" {
		_, _ = io.WriteString(p.last, "\n")
		p.open = ""
	}
}

// LogMerge merges readers of the same logs: a line that one of them has
// printed is not printed by another. All readers start at the same time, so
// the lines of a container come to each in the same order.
type LogMerge struct {
	mu      sync.Mutex // guards what follows
	printer *LogPrinter
	printed map[string]int // container -> lines
	service string         // whose lines are shown; "": all
}

// NewLogMerge prints by a printer; what a container printed on stderr goes to
// ours.
func NewLogMerge(p *LogPrinter) *LogMerge {
	p.split = true
	return &LogMerge{printer: p, printed: map[string]int{}}
}

// logReader is one of the readers.
type logReader struct {
	merge *LogMerge
	read  map[string]int
}

// Reader is one more reader.
func (m *LogMerge) Reader() *logReader { return &logReader{merge: m, read: map[string]int{}} }

func (r *logReader) Line(l *api.LogLine) {
	m := r.merge
	m.mu.Lock()
	defer m.mu.Unlock()
	key := l.Container + " " + l.ContainerId
	r.read[key]++
	if r.read[key] <= m.printed[key] {
		return
	}
	m.printed[key] = r.read[key]
	if m.service == "" || m.service == l.Service {
		m.printer.Print(l)
	}
}

// Only shows the lines of one service from now on, or with "" of all.
func (m *LogMerge) Only(service string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.service = service
}

// Say prints a line of our own between those of the services.
func (m *LogMerge) Say(text string) {
	m.Between(func() { fmt.Fprintln(m.printer.errw, text) })
}

// Between has something else printed between two lines.
func (m *LogMerge) Between(print func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.printer.EndLine()
	print()
}
