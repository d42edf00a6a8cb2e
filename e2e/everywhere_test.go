package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/orlop/orlop/failpoint"
)

// failpointEnv names the only failpoint to try.
const failpointEnv = "ORLOP_E2E_FAILPOINT"

// walk is the way that leads past every failpoint: a round of changes, each from
// what the one before has made.
type walk struct {
	*crashes
	dir    string // of the failpoints
	round  []*moment
	passes map[string][]int // failpoint -> the changes that pass it
	at     int              // the change of the round that comes next
}

// walkFailpoints kills who comes to a failpoint, at each of them, and fails those
// that may: whoever comes next must find no trace of it.
func walkFailpoints(c *crashes) {
	w := &walk{crashes: c, dir: c.ts.Getenv(failpoint.Variable), passes: map[string][]int{}}
	if w.dir == "" {
		c.ts.Fatalf("crashes each needs an engine that has failpoints: engine failpoints")
	}
	all, err := marks()
	c.ts.Check(err)
	if one := os.Getenv(failpointEnv); one != "" {
		all = slices.DeleteFunc(all, func(m mark) bool { return m.name != one })
	}
	w.plan()
	w.look()
	tasks := w.share(all)
	for len(tasks) > 0 {
		tasks = w.turn(tasks)
	}
}

// plan is the round. Between a down and the next the volumes stay.
func (w *walk) plan() {
	up := []string{"up", "-d", "--remove-orphans"}
	for _, file := range w.stacks {
		w.round = append(w.round, &moment{file: file, args: up})
	}
	first, last := w.stacks[0], w.stacks[len(w.stacks)-1]
	w.round = append(w.round,
		&moment{file: last, args: []string{"restart", "-t", "0"}},
		&moment{file: w.stacks[1], args: []string{"up", "-d", "--pull", "always", "--remove-orphans"}, fresh: true},
		&moment{file: first, args: []string{"down", "-t", "0", "--remove-orphans", "--rmi", "all"}},
	)
}

// look goes the round once and notes what is passed.
func (w *walk) look() {
	w.undisturbed(w.round[len(w.round)-1])
	trace := filepath.Join(w.dir, "trace")
	for i, m := range w.round {
		w.ts.Check(os.WriteFile(trace, nil, 0o600))
		w.undisturbed(m)
		w.settled() // what is done behind its back belongs to it
		text, err := os.ReadFile(trace)
		w.ts.Check(err)
		for name := range strings.FieldsSeq(string(text)) {
			if !slices.Contains(w.passes[name], i) {
				w.passes[name] = append(w.passes[name], i)
			}
		}
	}
	w.ts.Check(os.Remove(trace))
}

func (w *walk) undisturbed(m *moment) {
	w.prepare(m.fresh)
	w.must(w.orlop(m.args[0], m.file, m.args[1:]...))
}

// task is something to be done at a failpoint during a change.
type task struct {
	name, what string
	change     int
	missed     int // changes that did not come to it, though they had before
}

// mostMissed is how often a failpoint may be missed: whether a change comes to one can
// depend on who is faster, as whether the next process finds its shim still there.
const mostMissed = 4

// share gives each failpoint to one of the changes that pass it, as evenly as it
// can be had. One that no change passes is none that is tried.
func (w *walk) share(all []mark) []task {
	var tasks []task
	var missed []string
	load := map[int]int{}
	slices.SortStableFunc(all, func(a, b mark) int { return len(w.passes[a.name]) - len(w.passes[b.name]) })
	for _, m := range all {
		passed := w.passes[m.name]
		if len(passed) == 0 {
			missed = append(missed, m.name)
			continue
		}
		whats := []string{"kill"}
		if m.fails {
			whats = append(whats, "error ENOSPC", "error EIO")
		}
		for _, what := range whats {
			change := slices.MinFunc(passed, func(a, b int) int { return load[a] - load[b] })
			load[change]++
			tasks = append(tasks, task{name: m.name, what: what, change: change})
		}
	}
	if len(missed) > 0 {
		w.ts.Fatalf("no change of the round comes to the failpoints %s", strings.Join(missed, ", "))
	}
	return tasks
}

// turn makes the next change of the round, with one of its tasks if there is one,
// and gives the tasks that are left.
func (w *walk) turn(tasks []task) []task {
	i := w.at % len(w.round)
	w.at++
	m := w.round[i]
	next := slices.IndexFunc(tasks, func(t task) bool { return t.change == i })
	if next < 0 {
		w.undisturbed(m)
		return tasks
	}
	t, named := tasks[next], *m
	named.name = fmt.Sprintf("%s at the failpoint %s of %s %s", t.what, t.name, m.file, strings.Join(m.args, " "))
	w.ts.Logf("%s", named.name)
	w.prepare(m.fresh)
	w.ts.Check(arm(w.dir, t.name, t.what))
	said, err := w.run(w.orlop(m.args[0], m.file, m.args[1:]...))
	isMissed := !isPassed(w.dir, t.name)
	if isMissed {
		w.settled() // what is done behind its back belongs to it
		if isMissed = !isPassed(w.dir, t.name); isMissed {
			w.ts.Check(disarm(w.dir, t.name))
		}
	}
	if problem := t.judge(err, said); !isMissed && problem != "" {
		w.ts.Fatalf("%s: %s: %v\n%s", named.name, problem, err, said)
	}
	w.crash(&named, said)
	if m.args[0] == "down" {
		w.undisturbed(m) // the next change begins from nothing
	}
	if !isMissed {
		return slices.Delete(tasks, next, next+1)
	}
	if t.missed++; t.missed == mostMissed {
		w.ts.Fatalf("%s: it did not come to it (%v)\n%s", named.name, err, said)
	}
	passes := w.passes[t.name]
	t.change = passes[(slices.Index(passes, t.change)+1)%len(passes)]
	tasks[next] = t
	return tasks
}

// isMadeGood says of a failpoint that what fails there is done again, or done by others:
// a shim that has lost its task is ended, what could not be written is written later, and a layer
// that can't be kept as a view is written as a file.
func isMadeGood(name string) bool {
	return name == "runner/deleting-process" || name == "store/committing" || name == "layers/view-written"
}

// judge says what is wrong with how a command has ended that came to the failpoint: it must
// end by itself, and where something failed fail with the cause.
func (t task) judge(err error, said string) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) && !exit.Exited() {
		return "it does not end"
	}
	if !strings.HasPrefix(t.what, "error ") || err == nil && isMadeGood(t.name) {
		return ""
	}
	cause := map[string]syscall.Errno{"error ENOSPC": syscall.ENOSPC, "error EIO": syscall.EIO}[t.what].Error()
	switch {
	case err == nil:
		return "it succeeds, though that failed"
	case !strings.Contains(said, cause):
		return "it does not say " + cause
	}
	return ""
}

// A failure that nobody hears of is told from one that is said, or made good.
func TestAFailureIsJudgedByWhatTheCommandSays(t *testing.T) {
	failed, hangs := exec.Command("false").Run(), exec.Command("sh", "-c", "kill -9 $$").Run()
	for _, tt := range []struct {
		name, what string
		err        error
		said, want string
	}{
		{"image/fetching", "error ENOSPC", failed, "cannot pull: no space left on device", ""},
		{"image/fetching", "error ENOSPC", failed, "cannot pull", "it does not say no space left on device"},
		{"image/fetching", "error EIO", nil, "is up", "it succeeds, though that failed"},
		{"store/committing", "error EIO", nil, "is up", ""},
		{"store/committing", "error EIO", failed, "not up", "it does not say input/output error"},
		{"image/fetching", "kill", failed, "the engine has ended", ""},
		{"image/fetching", "kill", hangs, "", "it does not end"},
	} {
		if got := (task{name: tt.name, what: tt.what}).judge(tt.err, tt.said); got != tt.want {
			t.Errorf("%s at %s, %v, %q: %q, want %q", tt.what, tt.name, tt.err, tt.said, got, tt.want)
		}
	}
}
