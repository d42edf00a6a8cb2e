package up

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// change is what the engine tells of a container.
func change(t *testing.T, c planner.Container) *api.ContainerChange {
	t.Helper()
	k, err := api.NewContainer(c)
	if err != nil {
		t.Fatal(err)
	}
	return &api.ContainerChange{Container: k}
}

func ended(id, service string, code int) planner.Container {
	return planner.Container{ID: id, Service: service, Number: 1, State: planner.Exited, ExitCode: code, ExitedAt: began.Add(time.Second)}
}

func running(id, service string) planner.Container {
	return planner.Container{ID: id, Service: service, Number: 1, State: planner.Running}
}

func TestWhatIsSaidOfContainersThatChange(t *testing.T) {
	restarting := ended("w", "web", 2)
	restarting.State = planner.Restarting
	old := ended("d", "db", 1)
	old.ExitedAt = began.Add(-time.Hour)
	oneOff := ended("o", "web", 1)
	oneOff.OneOff = true
	for name, test := range map[string]struct {
		changes []planner.Container
		want    string
	}{
		"one ends":                       {[]planner.Container{running("w", "web"), ended("w", "web", 1)}, "web/1 exited with code 1"},
		"once":                           {[]planner.Container{running("w", "web"), ended("w", "web", 1), ended("w", "web", 1)}, "web/1 exited with code 1"},
		"one is restarted":               {[]planner.Container{running("w", "web"), restarting, running("w", "web")}, "web/1 exited with code 2 and is restarted"},
		"one that had ended long before": {[]planner.Container{old}, ""},
		"one that has ended since":       {[]planner.Container{ended("d", "db", 3)}, "db/1 exited with code 3"},
		"a run beside":                   {[]planner.Container{oneOff}, ""},
		"an orphan":                      {[]planner.Container{ended("x", "gone", 1)}, ""},
		"another service":                {[]planner.Container{ended("x", "mail", 1)}, ""},
	} {
		w := watched{services: []string{"web", "db"}, orphans: []string{"gone"}, since: began}
		w.begin()
		var said []string
		for _, c := range test.changes {
			_, news, err := w.apply(change(t, c))
			if err != nil {
				t.Fatal(err)
			}
			if news != "" {
				said = append(said, news)
			}
		}
		if got := strings.Join(said, "; "); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestAnUpIsOverWhenNothingIsLeftThatRuns(t *testing.T) {
	w := watched{since: began}
	w.begin()
	take := func(m *api.ContainerChange) {
		t.Helper()
		if _, _, err := w.apply(m); err != nil {
			t.Fatal(err)
		}
	}
	take(change(t, ended("w", "web", 0)))
	if w.isOver() {
		t.Error("it is over before all containers are told")
	}
	take(&api.ContainerChange{Synced: true})
	if !w.isOver() {
		t.Error("all have ended and it goes on")
	}
	take(change(t, running("d", "db")))
	if w.isOver() {
		t.Error("it is over while db runs")
	}
	gone := change(t, running("d", "db"))
	gone.Removed = true
	take(gone)
	if !w.isOver() {
		t.Error("what was removed is waited for")
	}
}

// TestTheNextEngineTellsNoOldNews has an engine go away between two states.
func TestTheNextEngineTellsNoOldNews(t *testing.T) {
	w := watched{since: began}
	w.begin()
	for _, c := range []planner.Container{running("w", "web"), running("d", "db")} {
		if _, _, err := w.apply(change(t, c)); err != nil {
			t.Fatal(err)
		}
	}
	w.begin()
	_, news, err := w.apply(change(t, running("w", "web")))
	if news != "" || err != nil {
		t.Errorf("of one that runs on: %q, %v", news, err)
	}
	if _, news, err = w.apply(change(t, ended("d", "db", 137))); news != "db/1 exited with code 137" || err != nil {
		t.Errorf("of one that ended meanwhile: %q, %v", news, err)
	}
}

func TestInterruptsComeFromSignalsAndFromAKey(t *testing.T) {
	signals := make(chan os.Signal, 1)
	inv := cli.New(cli.NewSettings(cli.World{Signals: signals, Now: time.Now}), display.NewOutput(io.Discard, io.Discard))
	responses := make(chan response)
	i := onInterrupt(inv, func(r response) { responses <- r })
	if !i.attach() || i.interrupted() {
		t.Error("it cannot attach before any interrupt")
	}
	go i.press()
	if got := <-responses; got != stopServices || !i.interrupted() {
		t.Errorf("the key gives %d", got)
	}
	signals <- os.Interrupt
	if got := <-responses; got != killServices {
		t.Errorf("the signal gives %d", got)
	}
	i.close()
	i.press() // nobody waits for it any more
	if i.attach() {
		t.Error("it attaches after an interrupt")
	}
}

func TestFlagsOfTheEndExcludeEachOther(t *testing.T) {
	for name, test := range map[string]struct {
		e      Ending
		wanted bool
		fails  bool
		onExit bool
	}{
		"none":              {Ending{}, false, false, false},
		"both":              {Ending{OnExit: true, OnFailure: true}, true, true, true},
		"from alone":        {Ending{From: "tests"}, true, false, true},
		"from, on failures": {Ending{From: "tests", OnFailure: true}, true, false, false},
	} {
		err := test.e.Check()
		if test.e.Wanted() != test.wanted || (err != nil) != test.fails || test.e.OnExit != test.onExit {
			t.Errorf("%s: wanted %t, %v, %+v", name, test.e.Wanted(), err, test.e)
		}
	}
	e := Ending{From: "tests"}
	if err := e.mustHave([]string{"web"}); err == nil || e.mustHave([]string{"web", "tests"}) != nil {
		t.Errorf("of a service that is not brought up: %v", err)
	}
}

func TestWhatTheCommandIsForRunsOnceMore(t *testing.T) {
	p := &spec.Project{Services: map[string]*spec.Service{
		"migrate": {}, "tests": {}, "web": {DependsOn: map[string]spec.Dependency{"migrate": {Condition: spec.ServiceCompleted}}},
	}}
	for from, want := range map[string]string{"": "tests web", "migrate": "migrate tests web"} {
		e := Ending{OnExit: true, From: from}
		if got := strings.Join(e.again(p), " "); got != want {
			t.Errorf("from %q run again %q, want %q", from, got, want)
		}
	}
	if got := (&Ending{}).again(p); got != nil {
		t.Errorf("an up that goes on runs again %q", got)
	}
}

// TestOnlyTheNewestCallCounts has a stop fail because a kill ended it.
func TestOnlyTheNewestCallCounts(t *testing.T) {
	for name, test := range map[string]struct {
		calls, ended int
		err          error
		want         bool
	}{
		"a stop that fails":                 {1, 1, errors.New("stuck"), true},
		"a stop that works":                 {1, 1, nil, false},
		"a stop that a kill has superseded": {2, 1, errors.New("killed meanwhile"), false},
		"the kill":                          {2, 2, errors.New("stuck"), true},
	} {
		ctx, cancel := context.WithCancelCause(context.Background())
		s := &shutdown{ctx: ctx, cancel: cancel, calls: test.calls}
		s.ended(test.ended, test.err, false)
		if got := s.wait(); (got != nil) != test.want || (ctx.Err() != nil) != test.want {
			t.Errorf("%s: %v, ended %t", name, got, ctx.Err() != nil)
		}
		cancel(nil)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &shutdown{ctx: ctx, cancel: cancel, calls: 1}
	s.ended(1, nil, true)
	if !errors.Is(context.Cause(ctx), cli.ErrInterrupted) {
		t.Errorf("a watch goes on after its services are stopped: %v", context.Cause(ctx))
	}
	s.ended(1, errors.New("after the end"), true)
	if s.wait() != nil {
		t.Error("what fails after the end is an error")
	}
}
