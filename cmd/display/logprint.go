package display

import (
	"fmt"
	"io"
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
	last   io.Writer // that the last text goes to
	held   []byte    // of that text, what is not written yet
	before prefixed  // what the last prefix was made of
	text   string    // that prefix
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
	if now := (prefixed{l.Service, l.Container, l.Number, st, p.width}); p.text == "" || now != p.before {
		p.text = p.newPrefix(l, st)
		now.width = p.width
		p.before = now
	}
	return p.text
}

// prefixed is what a prefix is made of.
type prefixed struct {
	service, container string
	number             int32
	st                 Style
	width              int
}

func (p *LogPrinter) newPrefix(l *api.LogLine, st Style) string {
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

// Print writes one line, or a part of one.
func (p *LogPrinter) Print(l *api.LogLine) {
	p.Add(l)
	p.Flush()
}

// mostHeld is how much is written at a time, in bytes, but for the last line.
const mostHeld = 128 << 10

// Add adds one line, or a part of one, to what Flush writes. The parts of a long line stay
// together unless another container cuts in.
func (p *LogPrinter) Add(l *api.LogLine) {
	to, st := p.w, p.st
	if p.split && l.Stderr {
		to, st = p.errw, p.errSt
	}
	if p.open != "" && (p.open != l.Container || p.onErr != l.Stderr) {
		p.held, p.open = append(p.held, '\n'), ""
	}
	if to != p.last || len(p.held) >= mostHeld {
		p.Flush()
	}
	p.last, p.onErr = to, l.Stderr
	if p.open == "" {
		p.held = append(p.held, p.prefix(l, st)...)
		if p.format.Times {
			p.held = time.Unix(0, l.TimeUnixNs).UTC().AppendFormat(p.held, "2006-01-02T15:04:05.000000000Z ")
		}
	}
	p.held = append(p.held, l.Text...)
	if p.open = l.Container; !l.Partial {
		p.held, p.open = append(p.held, '\n'), ""
	}
}

// Flush writes what was added.
func (p *LogPrinter) Flush() {
	if len(p.held) > 0 {
		_, _ = p.last.Write(p.held)
		p.held = p.held[:0]
	}
}

// EndLine ends a line of which a part was printed.
func (p *LogPrinter) EndLine() {
	if p.open != "" {
		p.held, p.open = append(p.held, '\n'), ""
	}
	p.Flush()
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

// Add adds a line to what Flush prints.
func (r *logReader) Add(l *api.LogLine) {
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
		m.printer.Add(l)
	}
}

// Flush prints what was added.
func (r *logReader) Flush() {
	r.merge.mu.Lock()
	defer r.merge.mu.Unlock()
	r.merge.printer.Flush()
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

// Hooked prints what a command in a container has printed (post_start, pre_stop): as Compose does, with an arrow behind the container's name.
func (m *LogMerge) Hooked(service, replica string, lines []string) {
	m.Between(func() {
		for _, line := range lines {
			m.printer.Print(&api.LogLine{Service: service, Container: replica + " ->", OneOff: true, Text: []byte(Printable(line))})
		}
	})
}

// Between has something else printed between two lines.
func (m *LogMerge) Between(print func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.printer.EndLine()
	print()
}
