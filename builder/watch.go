package builder

import (
	"regexp"
	"strings"
	"sync"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec/secret"
)

// keptLines is how many of a step's last lines are kept to explain a failure.
const keptLines = 30

// longestLine is how much of a line without an end is kept, in bytes.
const longestLine = 64 << 10

// watch follows the vertices of one build and says in events what is done now.
type watch struct {
	note func(planner.Event)
	mask *secret.Mask

	mu    sync.Mutex
	steps map[string]*step // guarded by mu
	order []string         // guarded by mu
	warns []string         // guarded by mu
}

// step is one vertex of a build.
type step struct {
	name    string
	started time.Time
	ended   time.Time
	cached  bool
	err     string
	lines   []string
	partial string
	streams map[int64]*secret.Stream // of stdout and stderr, each of which may cut a secret
}

func newWatch(note func(planner.Event), mask *secret.Mask) *watch {
	return &watch{note: note, mask: mask, steps: map[string]*step{}}
}

// update takes in what BuildKit says.
func (w *watch) update(msg *controlapi.StatusResponse) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, v := range msg.Vertexes {
		w.vertex(v)
	}
	for _, warning := range msg.Warnings {
		w.warns = append(w.warns, string(warning.Short))
	}
	for _, st := range msg.Statuses {
		if s := w.steps[st.Vertex]; s != nil && st.Total > 0 && st.Completed == nil {
			w.note(planner.Event{Text: s.name, Current: st.Current, Total: st.Total})
		}
	}
	for _, l := range msg.Logs {
		if s := w.steps[l.Vertex]; s != nil {
			s.print(w.shown(s, l), func(line string) {
				w.note(planner.Event{Text: s.name, Lines: []string{line}})
			})
		}
	}
}

func (w *watch) vertex(v *controlapi.Vertex) {
	s := w.steps[v.Digest]
	if s == nil {
		s = &step{name: v.Name}
		w.steps[v.Digest] = s
		w.order = append(w.order, v.Digest)
	}
	before := s.ended
	fresh := s.started.IsZero() && v.Started != nil
	if v.Started != nil {
		s.started = v.Started.AsTime()
	}
	if v.Completed != nil {
		s.ended = v.Completed.AsTime()
	}
	s.cached = s.cached || v.Cached
	if v.Error != "" {
		s.err = v.Error
	}
	if before.IsZero() && !s.ended.IsZero() && !s.started.IsZero() {
		w.note(planner.Event{Part: &planner.Part{Name: s.name, Began: s.started, Ended: s.ended, Cached: s.cached, Error: s.err}})
	}
	if fresh && !s.cached && !strings.HasPrefix(s.name, "[internal]") {
		w.note(planner.Event{Text: s.name})
	}
}

// shown is what of an output of a step can be shown by now. The caller holds mu.
func (w *watch) shown(s *step, l *controlapi.VertexLog) string {
	if s.streams[l.Stream] == nil {
		if s.streams == nil {
			s.streams = map[int64]*secret.Stream{}
		}
		s.streams[l.Stream] = &secret.Stream{Mask: w.mask}
	}
	return s.streams[l.Stream].Push(string(l.Msg))
}

// print splits output into lines and keeps the last of them.
func (s *step) print(text string, each func(string)) {
	s.partial += text
	for {
		line, rest, ok := strings.Cut(s.partial, "\n")
		if !ok {
			break
		}
		s.partial = rest
		line = strings.TrimRight(line, "\r")
		if i := strings.LastIndexByte(line, '\r'); i >= 0 {
			line = line[i+1:]
		}
		s.lines = append(s.lines, line)
		if len(s.lines) > keptLines {
			s.lines = s.lines[1:]
		}
		each(line)
	}
	if len(s.partial) > longestLine { // a progress bar, or no text at all
		if i := strings.LastIndexByte(strings.TrimRight(s.partial, "\r"), '\r'); i >= 0 {
			s.partial = s.partial[i+1:]
		}
		s.partial = s.partial[max(0, len(s.partial)-longestLine):]
	}
}

// ignoredCopies are the paths that instructions name and .dockerignore leaves
// out.
func (w *watch) ignoredCopies() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, text := range w.warns {
		if m := regexp.MustCompile(ignoredCopy).FindStringSubmatch(text); m != nil {
			out = append(out, m[1])
		}
	}
	return out
}

// failedStep is the first step that failed by itself, not by being cancelled.
func (w *watch) failedStep() *step {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, d := range w.order {
		s := w.steps[d]
		if s.err != "" && !strings.Contains(s.err, "context canceled") {
			for _, stream := range s.streams {
				s.partial += stream.Rest()
			}
			if s.partial != "" {
				s.lines = append(s.lines, s.partial)
				s.partial = ""
			}
			return s
		}
	}
	return nil
}
