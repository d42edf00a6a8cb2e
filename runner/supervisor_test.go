package runner

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

// removing stands for the state of a container that is being removed.
const removing planner.State = "removing"

func allStates() []planner.State {
	return []planner.State{unknown, planner.Created, planner.Running, planner.Stopping, planner.Restarting, planner.Exited, removing}
}

// stateOf is a container with the policy "always" and a health check in one of
// the states, at a time of the test's clock.
func stateOf(name planner.State, now time.Time) state {
	s := state{status: status{State: name}, terms: terms{restart: "always", checked: true}}
	switch name {
	case planner.Running:
		s.Wanted, s.Health, s.StartedAt = true, planner.Healthy, now.Add(-time.Minute)
	case planner.Stopping:
		s.Stopped, s.Health, s.StartedAt = true, planner.Healthy, now.Add(-time.Minute)
	case planner.Restarting:
		s.Wanted, s.StartedAt, s.ExitedAt = true, now.Add(-time.Minute), now.Add(-time.Second)
		s.ExitCode, s.delay, s.retryAt = 1, firstDelay, now
	case planner.Exited:
		s.Stopped, s.StartedAt, s.ExitedAt = true, now.Add(-time.Minute), now.Add(-time.Second)
	case removing:
		s.State, s.Stopped, s.removing = planner.Exited, true, true
	}
	return s
}

func nameOf(s state) planner.State {
	switch {
	case s.removing:
		return removing
	case s.State == unknown:
		return "unknown"
	}
	return s.State
}

func describe(effects []effect, now time.Time) string {
	var words []string
	for _, f := range effects {
		switch f := f.(type) {
		case resolveNames:
			words = append(words, map[resolveNames]string{true: "names", false: "no names"}[f])
		case parkPorts:
			words = append(words, map[bool]string{true: "park", false: "refuse"}[f.again])
		case awaitRetry:
			words = append(words, "retry in "+f.due.Sub(now).String())
		case warn:
			words = append(words, "warn")
		default:
			words = append(words, map[string]string{
				"routePorts": "route", "startProbes": "probe", "stopProbes": "no probes", "cancelRetry": "no retry", "tryStart": "try", "killProcess": "kill",
			}[reflect.TypeOf(f).Name()])
		}
	}
	return strings.Join(words, ", ")
}

// TestWhatFollowsFromEachEventInEachState holds every pair of a state and an
// event. A pair that a row does not name must change nothing and do nothing.
func TestWhatFollowsFromEachEventInEachState(t *testing.T) {
	now := newManual().now()
	const runs = "running: no retry, names, route, probe"
	const ends = "exited: no probes, no names, refuse"
	const again = "restarting: no probes, no names, park, retry in 100ms"
	const here = "names, route, probe"
	for _, row := range []struct {
		event event
		want  map[planner.State]string
	}{
		{started{at: now}, map[planner.State]string{planner.Created: runs, planner.Restarting: runs, planner.Exited: runs}},
		{ended{code: 3, at: now}, map[planner.State]string{planner.Running: "running", planner.Stopping: "stopping"}},
		{exited{code: 3, at: now, now: now}, map[planner.State]string{planner.Running: again, planner.Stopping: ends}},
		{probed{health: planner.Unhealthy, started: now.Add(-time.Minute)}, map[planner.State]string{planner.Running: "running: route", planner.Stopping: "stopping: route"}},
		{probed{health: planner.Unhealthy, started: now.Add(-time.Hour)}, nil}, // of another process
		{backOffOver{due: now}, map[planner.State]string{planner.Restarting: "restarting: try"}},
		{backOffOver{due: now.Add(-1)}, nil}, // of another back-off
		{startFailed{reason: "no", now: now}, map[planner.State]string{planner.Restarting: "restarting: retry in 200ms"}},
		{startAsked{}, map[planner.State]string{planner.Restarting: "restarting"}},
		{stopAsked{byUser: true}, map[planner.State]string{
			planner.Created: "created", planner.Running: "stopping", planner.Restarting: "exited: no retry, refuse", unknown: "unknown",
		}},
		{stopAsked{}, map[planner.State]string{planner.Running: "stopping", planner.Restarting: "exited: no retry, refuse"}},
		{updated{terms{restart: "no"}}, map[planner.State]string{
			unknown: "unknown", planner.Created: "created", planner.Running: "running: probe", planner.Stopping: "stopping: probe",
			planner.Restarting: "restarting", planner.Exited: "exited",
		}},
		{adopted{process: processRunning, now: now}, map[planner.State]string{
			unknown: "running: " + here + ", warn", planner.Created: "running: " + here, planner.Running: "running: " + here,
			planner.Stopping: "stopping: " + here + ", kill", planner.Restarting: "running: " + here, planner.Exited: "running: " + here,
		}},
		{adopted{process: processEnded, at: now, now: now}, map[planner.State]string{ // and exited follows
			unknown: "stopping: warn", planner.Created: "running", planner.Restarting: "running", planner.Exited: "running",
		}},
		{adopted{process: processEnded, at: now.Add(-time.Second), now: now}, map[planner.State]string{ // its exit was dealt with by then
			unknown: "stopping: warn", planner.Created: "running", planner.Restarting: "restarting: retry in 200ms",
		}},
		{adopted{process: processAbsent, now: now}, map[planner.State]string{
			unknown: "exited: warn", planner.Running: again, planner.Stopping: ends, planner.Restarting: "restarting: retry in 200ms",
		}},
		{connected{addresses: []string{"10.0.0.2"}}, inEach()},
		{published{bindings: []planner.Binding{{HostPort: 80}}}, inEach()},
		{removeBegun{}, map[planner.State]string{
			unknown: "removing", planner.Created: "removing", planner.Running: "removing", planner.Stopping: "removing",
			planner.Restarting: "removing", planner.Exited: "removing",
		}},
		{removeFailed{}, map[planner.State]string{removing: "exited"}},
	} {
		for _, name := range allStates() {
			before := stateOf(name, now)
			after, effects := next(before, row.event)
			got := string(nameOf(after))
			if words := describe(effects, now); words != "" {
				got += ": " + words
			}
			want, listed := row.want[name]
			switch {
			case !listed && (!reflect.DeepEqual(after, before) || len(effects) > 0):
				t.Errorf("%s, %T %+v: %s, and nothing should follow", nameOf(before), row.event, row.event, got)
			case listed && got != want:
				t.Errorf("%s, %T %+v: %s, want %s", nameOf(before), row.event, row.event, got, want)
			case listed && reflect.DeepEqual(after, before) && len(effects) == 0:
				t.Errorf("%s, %T %+v: nothing follows, the row says %s", nameOf(before), row.event, row.event, want)
			}
		}
	}
}

// inEach is a row of what changes no state but what is known in each.
func inEach() map[planner.State]string {
	row := map[planner.State]string{}
	for _, name := range allStates() {
		if name != removing {
			row[name] = string(nameOf(state{status: status{State: name}}))
		}
	}
	return row
}

func TestWhatIsKnownAfterAnEvent(t *testing.T) {
	now := newManual().now()
	long := now.Add(-time.Minute)
	for name, test := range map[string]struct {
		from planner.State
		with func(s *state)
		e    event
		want func(s *state)
	}{
		"a start clears what was of the last run": {
			planner.Exited, func(s *state) { s.ExitCode, s.OOMKilled, s.Error = 137, true, "so" }, started{at: now},
			func(s *state) {
				s.State, s.Wanted, s.Stopped, s.StartedAt, s.Health = planner.Running, true, false, now, planner.Starting
				s.ExitCode, s.OOMKilled, s.Error = 0, false, ""
			},
		},
		"without a health check there is no health": {
			planner.Created, func(s *state) { s.checked = false }, started{at: now},
			func(s *state) { s.State, s.Wanted, s.StartedAt = planner.Running, true, now },
		},
		"an exit says how": {
			planner.Stopping, nil, exited{code: 137, at: now, oom: true, now: now},
			func(s *state) {
				s.State, s.ExitCode, s.ExitedAt, s.OOMKilled, s.Health = planner.Exited, 137, now, true, planner.NoHealth
			},
		},
		"a lost parent is the reason": {
			planner.Stopping, nil, exited{code: shimLost, at: now, lost: true, now: now},
			func(s *state) {
				s.State, s.ExitCode, s.ExitedAt, s.Error, s.Health = planner.Exited, shimLost, now, "its shim was lost", planner.NoHealth
			},
		},
		"who ran steadily begins with the first delay": {
			planner.Running, func(s *state) { s.delay = lastDelay }, exited{at: now, now: now},
			func(s *state) {
				s.State, s.ExitedAt, s.delay, s.retryAt, s.Health = planner.Restarting, now, firstDelay, now.Add(firstDelay), planner.NoHealth
			},
		},
		"who did not waits twice as long": {
			planner.Running, func(s *state) { s.delay, s.StartedAt = time.Second, now.Add(-time.Second) }, exited{at: now, now: now},
			func(s *state) {
				s.State, s.ExitedAt, s.delay, s.retryAt, s.Health = planner.Restarting, now, 2*time.Second, now.Add(2*time.Second), planner.NoHealth
			},
		},
		"a stop for the engine's purposes is not the user's": {
			planner.Running, nil, stopAsked{}, func(s *state) { s.State, s.Wanted = planner.Stopping, false },
		},
		"nor does it undo the user's": {
			planner.Stopping, nil, stopAsked{}, func(*state) {},
		},
		"a start by hand counts restarts anew": {
			planner.Exited, func(s *state) { s.Restarts, s.delay = 5, time.Second }, startAsked{}, func(s *state) { s.Restarts, s.delay = 0, 0 },
		},
		"a try is counted": {
			planner.Restarting, nil, backOffOver{due: now}, func(s *state) { s.Restarts, s.retryAt = 1, time.Time{} },
		},
		"a new health check starts": {
			planner.Running, func(s *state) { s.checked, s.Health = false, planner.NoHealth }, updated{terms{checked: true}},
			func(s *state) { s.terms, s.Health = terms{checked: true}, planner.Starting },
		},
		"a health check that is taken away leaves no health": {
			planner.Running, nil, updated{}, func(s *state) { s.terms, s.Health = terms{}, planner.NoHealth },
		},
		"a probe of no health check in force counts for nothing": {
			planner.Running, func(s *state) { s.checked = false }, probed{health: planner.Unhealthy, started: long}, func(s *state) {},
		},
		"a missed exit that the shim knew of": {
			planner.Running, func(s *state) { s.restart = "no" }, adopted{code: 3, at: now, now: now},
			func(s *state) {
				s.State, s.ExitCode, s.ExitedAt, s.Health = planner.Exited, 3, now, planner.NoHealth
			},
		},
		"a missed exit that the engine before had noted": {
			planner.Running, func(s *state) { s.restart, s.ExitCode, s.ExitedAt, s.OOMKilled = "no", 4, now, true }, adopted{now: now.Add(time.Hour)},
			func(s *state) { s.State, s.Health = planner.Exited, planner.NoHealth },
		},
		"a missed exit that nobody knows of": {
			planner.Running, func(s *state) { s.restart = "no" }, adopted{now: now},
			func(s *state) {
				s.State, s.ExitCode, s.ExitedAt, s.Health, s.Error = planner.Exited, shimLost, now, planner.NoHealth, "its shim was lost"
			},
		},
		"who is found without its wants and runs is wanted to": {
			unknown, nil, adopted{process: processRunning, now: now},
			func(s *state) {
				s.State, s.Wanted, s.StartedAt, s.Health = planner.Running, true, now, planner.Starting
			},
		},
		"who is found without its wants and does not run is taken as stopped": {
			unknown, nil, adopted{code: 3, at: long, now: now},
			func(s *state) { s.State, s.Stopped, s.ExitCode, s.ExitedAt = planner.Exited, true, 3, long },
		},
		"who is found without its wants, and nobody knows how it ended": {
			unknown, nil, adopted{now: now},
			func(s *state) {
				s.State, s.Stopped, s.ExitCode, s.ExitedAt, s.Error = planner.Exited, true, shimLost, now, "how it ended is not known"
			},
		},
		"a start that the engine before could not tell of": {
			planner.Exited, nil, adopted{process: processRunning, now: now},
			func(s *state) {
				s.State, s.Wanted, s.Stopped, s.StartedAt, s.Health = planner.Running, true, false, now, planner.Starting
			},
		},
	} {
		before := stateOf(test.from, now)
		if test.with != nil {
			test.with(&before)
		}
		want := before
		test.want(&want)
		if test.from == planner.Running || test.from == planner.Stopping {
			want.restart = before.restart
		}
		if u, ok := test.e.(updated); ok {
			want.terms = u.terms
		}
		if got, _ := next(before, test.e); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, show(got), show(want))
		}
	}
}

func show(s state) string { return fmt.Sprintf("%+v", s) }
