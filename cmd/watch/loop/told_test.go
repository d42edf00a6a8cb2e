package loop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/spec"
)

// telling is a watcher whose events are kept.
func telling(x Executor) (*watcher, *[]Event) {
	var events []Event
	return &watcher{Config: Config{
		Executor: x, Now: func() time.Time { return time.Unix(100, 0) }, Report: func(e Event) { events = append(events, e) },
		Project: &spec.Project{Name: "p", Services: map[string]*spec.Service{}},
	}, queues: map[string]*queue{}, done: make(chan func())}, &events
}

func TestWhatIsSaidOfASync(t *testing.T) {
	absent := &OutputError{Message: "web/1 was stopped", Lines: []string{"bye"}, Of: ErrAbsent}
	two := order{sync: map[string]delivery{"/a": {}, "/b": {}}}
	for name, test := range map[string]struct {
		done     Synced
		unread   map[string]error
		err      error
		again    time.Duration // until the next try
		absent   bool
		restarts bool
		want     string
	}{
		"files":                     {Synced{Files: 2, Removed: 1}, nil, nil, 0, false, false, "synced 2 1"},
		"nothing new":               {Synced{}, nil, nil, 0, false, false, ""},
		"the roots of stopped ones": {Synced{Files: 1, Still: absent}, nil, nil, 0, false, false, "synced 1 0 web/1 was stopped [bye]"},
		"and a restart follows":     {Synced{Files: 1, Still: absent}, nil, nil, 0, false, true, "synced 1 0"},
		"no container":              {Synced{}, nil, absent, 0, true, false, "failed 0 0 0 files not synced yet: web/1 was stopped [bye]"},
		"the first failure":         {Synced{}, nil, errors.New("lost"), firstRetry, false, false, ""},
		"the second":                {Synced{}, nil, errors.New("lost"), time.Second, false, false, "failed 0 0 2 files could not be synced: lost; retrying in 1s"},
		"some paths": {
			Synced{Files: 1, Failures: []Failure{{"web/1", "/a", "read-only"}, {"web/2", "/a", "read-only"}}}, nil, nil, time.Second, false, false,
			"synced 1 0; failed 0 0 cannot write /a in web/1: read-only, and 1 more; retrying in 1s",
		},
		"what can't be read": {Synced{}, map[string]error{"/a": errors.New("cannot read /src/a: no permission")}, nil, time.Second, false, false, "failed 0 0 cannot read /src/a: no permission; retrying in 1s"},
	} {
		w, events := telling(nil)
		q := newQueue("web", nil)
		q.absent = test.absent
		w.saySynced(q, two, test.done, test.unread, test.err, 0, test.again, test.restarts)
		var got []string
		for _, e := range *events {
			text := strings.TrimSpace(strings.Join([]string{string(e.Kind), itoa(e.Files), itoa(e.Removed), e.Text}, " "))
			if len(e.Lines) > 0 {
				text += " [" + strings.Join(e.Lines, "|") + "]"
			}
			got = append(got, text)
		}
		if strings.Join(got, "; ") != test.want {
			t.Errorf("%s: %q, want %q", name, strings.Join(got, "; "), test.want)
		}
	}
}

func itoa(n int) string { return string(rune('0' + n)) }

func TestAFailureBeginsWithTheMistakeItself(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		text  string
		lines int
	}{
		"plain":           {errors.New("no engine"), "build failed: no engine", 0},
		"a compiler's":    {&OutputError{Message: "exit code 1", Lines: []string{"# shop/api", "./main.go:31:2: undefined: foo", "main.go:40: more"}}, "build failed: main.go:31:2: undefined: foo", 3},
		"some program's":  {&OutputError{Message: "exit code 1", Lines: []string{"panic"}}, "build failed: exit code 1", 1},
		"of no container": {&OutputError{Message: "was stopped", Lines: []string{"main.go:1: x"}, Of: ErrAbsent}, "build failed: was stopped", 1},
	} {
		if e := failure("api", "build failed", test.err); e.Text != test.text || len(e.Lines) != test.lines || e.Kind != Failed || e.Service != "api" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	err := &OutputError{Message: "was stopped", Of: ErrAbsent}
	if !errors.Is(err, ErrAbsent) || err.Error() != "was stopped" {
		t.Error("an error with output is not what it is one of")
	}
}

// followed remembers what follows a sync.
type followed struct {
	fakeExecutor
	calls []string
	told  int // restarts
	fails error
}

func (f *followed) Exec(_ context.Context, service string, h *spec.Hook) ([]string, error) {
	f.calls = append(f.calls, "exec "+h.Command[0])
	return []string{"printed"}, f.fails
}

func (f *followed) Restart(_ context.Context, service string) error {
	f.calls = append(f.calls, "restart "+service)
	return f.fails
}

func TestWhatFollowsASync(t *testing.T) {
	hook := func(command string) *Rule {
		return &Rule{WatchRule: spec.WatchRule{Action: spec.WatchSyncExec, Exec: &spec.Hook{Command: spec.Command{command}}}}
	}
	reload, restart := hook("reload"), &Rule{WatchRule: spec.WatchRule{Action: spec.WatchSyncRestart}}
	synced := func(rules ...*Rule) map[string]delivery {
		files := map[string]delivery{}
		for i, r := range rules {
			files["/"+itoa(i)] = delivery{rule: r}
		}
		return files
	}
	for name, test := range map[string]struct {
		o      order
		done   Synced
		failed bool
		absent bool
		want   string
	}{
		"a command, once":         {order{sync: synced(reload, reload, hook("other"))}, Synced{Files: 3}, false, false, "exec reload, exec other"},
		"a command and a restart": {order{sync: synced(restart, reload)}, Synced{Files: 1}, false, false, "exec reload, restart web"},
		"nothing new":             {order{sync: synced(reload, restart)}, Synced{}, false, false, ""},
		"what an earlier try did": {order{sync: synced(restart), force: true}, Synced{}, false, false, "restart web"},
		"a restart alone":         {order{restart: true}, Synced{}, false, false, "restart web"},
		"a sync that failed":      {order{sync: synced(restart)}, Synced{Files: 1}, true, false, ""},
		"no container":            {order{sync: synced(reload, restart)}, Synced{}, true, true, ""},
		"after our restart":       {order{sync: map[string]delivery{"/a": {rule: restart, again: true}}}, Synced{Files: 1}, false, false, ""},
		"none that runs":          {order{sync: synced(reload, restart)}, Synced{Files: 1, Still: errors.New("stopped")}, false, false, "restart web"},
	} {
		f := &followed{}
		w, _ := telling(f)
		events := w.follow(t.Context(), "web", test.o, test.done, test.failed, test.absent, func() { f.told++ })
		if got := strings.Join(f.calls, ", "); got != test.want || len(events) != len(f.calls) {
			t.Errorf("%s: %q with %d events, want %q", name, got, len(events), test.want)
		}
		if restarts := strings.Contains(test.want, "restart"); (f.told == 1) != restarts {
			t.Errorf("%s: told of %d restarts", name, f.told)
		}
	}
	f := &followed{fails: errors.New("exit code 1")}
	w, _ := telling(f)
	events := w.follow(t.Context(), "web", order{sync: synced(reload, restart)}, Synced{Files: 1}, false, false, func() {})
	if events[0].Text != "reload: exit code 1" || events[1].Text != "not restarted: exit code 1" || events[0].Kind != Failed {
		t.Errorf("failures are %+v", events)
	}
}

// reloading is an executor whose files and engine fail as laid down.
type reloading struct {
	fakeExecutor
	reloadError, applyError error
}

func (r *reloading) Reload(context.Context) (*spec.Project, []string, error) {
	return &spec.Project{Name: "p", Services: map[string]*spec.Service{}}, nil, r.reloadError
}

func (r *reloading) Apply(context.Context, *spec.Project) error { return r.applyError }

func TestHowAnEditOfTheStackEnds(t *testing.T) {
	for want, x := range map[string]*reloading{
		"applied ": {},
		"failed the stack stays as it is until its files are valid": {reloadError: errors.New("mistakes")},
		"note the stack stays as it is":                             {applyError: ErrDeclined},
		"failed the stack does not match its files: see above":      {applyError: errors.New("see above")},
	} {
		w, events := telling(x)
		w.tree = newTree(scope{}, deaf{errors.New("none")})
		w.Project.Name, w.applying = "before", true
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.reload(t.Context())
		}()
		awaited(t, "the edit", w.done)()
		<-done
		e := (*events)[len(*events)-1]
		if got := string(e.Kind) + " " + e.Text; got != want || w.applying {
			t.Errorf("%q, want %q, still applying %t", got, want, w.applying)
		}
		if took := w.Project.Name == "p"; took != (x.reloadError == nil && !errors.Is(x.applyError, ErrDeclined)) {
			t.Errorf("%s: the project is %s", want, w.Project.Name)
		}
		if w.Behind != strings.HasPrefix(want, "failed the stack does not") {
			t.Errorf("%s: behind %t", want, w.Behind)
		}
	}
}

func TestWhatGitLeavesOutOfAWatch(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(".gitignore", "*.log\n!keep.log\n/dist/\n[ab]?.tmp\n# no pattern\n")
	put("sub/.gitignore", "!*.log\nonly/*\n")
	put("dist/x", "")
	put("sub/dist/x", "")
	g := newGitIgnore(dir, func(string) []string { return nil })
	for file, want := range map[string]bool{
		"a.log": true, "keep.log": false, "sub/a.log": false, "dist/x": true, "sub/dist/x": false, "ax.tmp": true, "cx.tmp": false, "sub/only/x": true, "main.go": false, "": false,
	} {
		if got := g.match(filepath.Join(dir, file)); got != want {
			t.Errorf("%q is left out: %t", file, got)
		}
	}
	if g.match(filepath.Dir(dir)) || (*gitIgnore)(nil).match("x") || (*gitIgnore)(nil).skips("x") {
		t.Error("what is outside is left out")
	}
	if got := g.skips(filepath.Join(dir, "dist")); !got {
		t.Error("a directory that is left out is read")
	}
}

func TestTheLimitOfTheKernelIsSaidOnce(t *testing.T) {
	w, events := telling(nil)
	w.tree = newTree(scope{}, deaf{errors.New("none")})
	w.tree.limit = errors.New("the limit is reached")
	w.sayLimit()
	w.sayLimit()
	if len(*events) != 1 || (*events)[0].Kind != Note {
		t.Errorf("said is %+v", *events)
	}
	w.tree.blind = map[string]bool{"/x": true}
	w.looked, w.looking = time.Unix(99, 0), time.Second
	if got := w.lookAt(); got != time.Unix(99, 0).Add(20*time.Second) {
		t.Errorf("the next look is at %s", got)
	}
	if !slices.Equal(failures(order{sync: map[string]delivery{"/b": {}, "/a": {}}}, Synced{}, nil, errors.New("lost")), []string{"/a", "/b"}) {
		t.Error("a sync that failed as a whole has failures of its own")
	}
}
