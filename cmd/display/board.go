package display

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// mark is where a row of the board stands.
type mark uint8

const (
	pending mark = iota
	active
	done
	failed
	skipped
	cancelled
)

// row is what is shown of one resource: its step, and the awaits for it.
type row struct {
	id      string // of the step
	action  planner.Action
	verb    string
	name    string
	mark    mark
	text    string
	lines   []string
	current int64
	total   int64
	began   time.Time
	took    time.Duration
	needs   []string
	cause   string // of skipped: the ID of the step that failed
	image   string // of a build or pull: its reference; of a network or volume: its full name
	service string
	ran     bool // of a container: its program was started, so that there are logs
}

// Board is the state of one progress, fed by events. It neither prints nor
// looks at the clock, so that a display is a pure function of it.
type Board struct {
	plan  *planner.Plan
	rows  []*row
	byID  map[string]*row
	ups   map[string][]*row // service -> its containers
	times *timeline
}

// NewBoard is a board of a progress that began at a time.
func NewBoard(began time.Time) *Board {
	return &Board{plan: &planner.Plan{}, byID: map[string]*row{}, ups: map[string][]*row{}, times: newTimeline("", began)}
}

// SetPlan makes a row of each step that is no await.
func (b *Board) SetPlan(p *planner.Plan) {
	b.plan = p
	b.times.setPlan(p)
	for _, s := range p.Steps {
		if s.Action == planner.Await || s.Action == planner.Rollback { // which may never be needed
			continue
		}
		b.addRow(&row{id: s.ID, needs: slices.Concat(s.Needs, s.After), image: s.Name, service: s.Service}, s.Action, s.Resource, s.NoStart)
	}
}

func (b *Board) addRow(r *row, action planner.Action, resource string, noStart bool) *row {
	r.action = action
	r.verb, r.name = Describe(action, spec.ShortDigests(resource))
	if noStart && r.verb == "up" {
		r.verb = "create"
	}
	b.rows = append(b.rows, r)
	b.byID[r.id] = r
	r.ran = action == planner.Await // a step of its own has to be done first: what an older run has printed tells nothing
	switch action {
	case planner.Create, planner.Replace, planner.Start, planner.Restart, planner.Unpause, planner.Update:
		b.ups[r.service] = append(b.ups[r.service], r)
	}
	return r
}

// Describe gives the two first columns of a row.
func Describe(action planner.Action, resource string) (verb, name string) {
	switch action {
	case planner.CreateNetwork:
		return "network", resource
	case planner.CreateVolume:
		return "volume", resource
	case planner.UpdateNetwork:
		return "update", "network " + resource
	case planner.UpdateVolume:
		return "update", "volume " + resource
	case planner.AttachNetwork:
		return "attach", resource
	case planner.RemoveNetwork:
		return "remove", "network " + resource
	case planner.RemoveVolume:
		return "remove", "volume " + resource
	case planner.RemoveImage:
		return "remove", "image " + resource
	case planner.Create, planner.Replace:
		return "up", resource
	case planner.Reschedule:
		return "schedule", resource
	}
	return string(action), resource
}

// Apply takes in an event and gives the rows that it changed.
func (b *Board) Apply(e planner.Event) []*row {
	if e.Kind == planner.Warned {
		return nil // told at the end
	}
	b.times.apply(e)
	if e.Action == planner.Await {
		return b.await(e)
	}
	r := b.byID[e.Step]
	if r == nil && e.Action == planner.Rollback && (e.Kind == planner.Unchanged || e.Kind == planner.Cancelled) {
		return nil
	}
	if r == nil {
		r = b.addRow(&row{id: e.Step, service: e.Service}, e.Action, e.Resource, false)
	}
	r.apply(e)
	return []*row{r}
}

func (r *row) apply(e planner.Event) {
	if e.Text != "" || e.Kind != planner.Progressed {
		r.text = e.Text
	}
	switch e.Kind {
	case planner.Started:
		r.mark, r.began = active, e.Time
	case planner.Progressed:
		if e.Total > 0 || e.Current > 0 {
			r.current, r.total = e.Current, e.Total
		}
	case planner.Done, planner.Unchanged:
		r.mark, r.took, r.ran = done, e.Took, true
		if r.text == "" && e.Kind == planner.Unchanged {
			r.text = "unchanged"
		}
	case planner.Failed:
		r.mark, r.took, r.lines = failed, e.Took, e.Lines
	case planner.Skipped:
		r.mark, r.cause = skipped, e.Cause
		r.text = "skipped"
		if e.Text != "" {
			r.text = "skipped: " + e.Text
		}
	case planner.Cancelled:
		r.mark, r.text = cancelled, "interrupted"
	}
}

// await folds what happens to an await into the rows of the containers that
// it waits for.
func (b *Board) await(e planner.Event) []*row {
	if s := b.plan.Step(e.Step); s != nil && len(s.IfFailed) > 0 && e.Kind != planner.Failed {
		return nil // of a rollback, which has rows of its own
	}
	rows := slices.DeleteFunc(slices.Clone(b.ups[e.Service]), func(r *row) bool { return r.mark == failed || r.mark == skipped })
	switch {
	case e.Kind == planner.Skipped, e.Kind == planner.Cancelled && len(rows) == 0:
		return nil // its containers say so themselves
	case len(rows) == 0, e.Kind == planner.Failed && len(rows) > 1:
		r := b.byID[e.Step]
		if r == nil {
			r = b.addRow(&row{id: e.Step, service: e.Service}, e.Action, e.Resource, false)
			r.began = e.Time
		}
		r.apply(e)
		return []*row{r}
	}
	word := b.awaited(e)
	for _, r := range rows {
		began := r.began
		text := r.text
		r.apply(e)
		if !began.IsZero() {
			r.began = began
		}
		switch e.Kind {
		case planner.Started:
			r.text = text
			if word != "" {
				r.text = "until it is " + word
			}
		case planner.Done, planner.Unchanged:
			r.text = cmp.Or(e.Text, word)
			r.took = e.Time.Sub(r.began)
		case planner.Failed:
			r.took = e.Time.Sub(r.began)
		}
	}
	return rows
}

// awaited is the word for the condition of an await: healthy or completed.
func (b *Board) awaited(e planner.Event) string {
	condition := ""
	if s := b.plan.Step(e.Step); s != nil {
		condition = s.Condition
	}
	switch condition {
	case spec.ServiceHealthy:
		return "healthy"
	case spec.ServiceCompleted:
		return "completed"
	}
	return ""
}

// waits says what a pending row waits for.
func (b *Board) waits(r *row) string {
	for _, id := range r.needs {
		on := b.byID[id]
		switch {
		case on == nil:
			if s := b.plan.Step(id); s != nil && !b.isAwaited(s) {
				return "waits until " + s.Service + " is " + strings.TrimPrefix(s.Resource, s.Service+" ")
			}
		case on.mark == pending || on.mark == active:
			if on.verb == "build" || on.verb == "pull" {
				return "waits for image " + on.name
			}
			if on.verb == "network" || on.verb == "volume" {
				return "waits for " + on.verb + " " + on.name
			}
			return "waits for " + on.name
		}
	}
	return ""
}

// isAwaited says that the containers that an await waits for are all done.
func (b *Board) isAwaited(s *planner.Step) bool {
	for _, r := range b.ups[s.Service] {
		if r.mark == pending || r.mark == active {
			return false
		}
	}
	return len(b.ups[s.Service]) > 0
}

func (b *Board) count(m mark) int {
	n := 0
	for _, r := range b.rows {
		if r.mark == m {
			n++
		}
	}
	return n
}

// rollbacks say of each service whose update was taken back what it is again.
func (b *Board) rollbacks() (texts []string) {
	for _, r := range b.rows {
		isBack := r.verb == string(planner.Rollback) && r.mark == done && strings.HasPrefix(r.text, "back to ")
		if text := r.service + " is rolled " + r.text; isBack && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}

// failures are the rows that failed, in the order of the plan.
func (b *Board) failures() []*row {
	var rows []*row
	for _, r := range b.rows {
		if r.mark == failed {
			rows = append(rows, r)
		}
	}
	return rows
}

// leastText is how many columns the text of a row has behind a long name, where the line has room.
const leastText = 24

// line is a row as text, painted, no wider than width; the time stands at the
// right of 76 columns, unless a long name pushes it.
func (b *Board) line(r *row, now time.Time, frame int, width int, st Style) string {
	middle, clockText := r.middle(b, st), ""
	switch r.mark {
	case done, failed, cancelled:
		clockText = Clock(r.took)
	case active:
		clockText = Clock(max(0, now.Sub(r.began)))
	}
	head := b.head(r)
	used := 3 + len([]rune(head)) + len(clockText) + 2
	room := max(min(width, 77)-used, min(width-used, leastText))
	if clockText == "" {
		room = width - 4 - len([]rune(head))
	}
	if r.mark == failed {
		room, clockText = width-4-len([]rune(head)), ""
	}
	text := []rune(Printable(spec.ShortDigests(middle)))
	if r.mark != failed && len(text) > room {
		text = append(text[:max(0, room-1)], '…')
	}
	out := " " + r.symbol(frame, st) + " " + head + string(text)
	if clockText != "" {
		out += strings.Repeat(" ", max(1, room-len(text)+1)) + st.Dim(clockText)
	}
	return strings.TrimRight(out, " ")
}

// head is what a row begins with: its verb and its name, each with a gap behind it.
func (b *Board) head(r *row) string {
	width := 16
	for _, r := range b.rows {
		width = max(width, len([]rune(r.name)))
	}
	return fmt.Sprintf("%-9s %-*s  ", r.verb, min(width, 32), r.name)
}

// middle is the text of a row: a bar where a total is known.
func (r *row) middle(b *Board, st Style) string {
	switch {
	case r.mark == pending:
		return b.waits(r)
	case r.mark == active && r.text != "" && r.current >= r.total: // all is here, and something takes long
		return r.text
	case r.total > 0 && (r.mark == active || r.mark == done && r.text == ""):
		return bar(r.current, r.total) + " " + amounts(r.current, r.total)
	}
	return r.text
}

func bar(current, total int64) string {
	const cells = 20
	full := int(cells * min(current, total) / total)
	return strings.Repeat("█", full) + strings.Repeat("░", cells-full)
}

// Amount is a bar and "12/41 MB", or "12 MB" where the whole is unknown.
func Amount(current, total int64) string {
	if total <= 0 {
		return Bytes(current)
	}
	return bar(current, total) + " " + amounts(current, total)
}

// amounts is "12/41 MB".
func amounts(current, total int64) string {
	text := Bytes(total)
	number, unit, _ := strings.Cut(text, " ")
	divisor := map[string]float64{"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}[unit]
	if strings.Contains(number, ".") {
		return fmt.Sprintf("%.1f/%s", float64(current)/divisor, text)
	}
	return fmt.Sprintf("%.0f/%s", float64(current)/divisor, text)
}

func (r *row) symbol(frame int, st Style) string {
	switch r.mark {
	case active:
		return st.Cyan(string([]rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[frame%10]))
	case done:
		return st.Green("✓")
	case failed:
		return st.Red("✗")
	case skipped, cancelled:
		return st.Yellow("-")
	}
	return st.Dim("·")
}

// output is what a failed step printed, indented.
func (r *row) output(st Style) []string {
	var out []string
	for _, l := range r.lines {
		out = append(out, "     "+st.Dim("|")+" "+Printable(spec.ShortDigests(l)))
	}
	return out
}

// waitColumns bounds what is said again and again; it was said whole once.
const waitColumns = 72

// Unfinished says what has not ended yet: what it is at, what it waits for, and
// since when.
func (b *Board) Unfinished(now time.Time) []string {
	var out []string
	for _, r := range b.rows {
		text, since := r.text, r.began
		switch r.mark {
		case pending:
			text, since = cmp.Or(b.waits(r), "queued behind "+spec.Plural(b.count(active), "other")), b.times.began
		case active:
		default:
			continue
		}
		text = Clip(Printable(cmp.Or(text, "runs")), waitColumns)
		out = append(out, fmt.Sprintf(" · %s%s (%s)", b.head(r), text, Seconds(now.Sub(since))))
	}
	return out
}
