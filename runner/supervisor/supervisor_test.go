package supervisor

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// removing stands for the state of a container that is being removed.
const removing planner.State = "removing"

func allStates() []planner.State {
	return []planner.State{Unknown, planner.Created, planner.Running, planner.Stopping, planner.Restarting, planner.Exited, removing}
}

// stateOf is a container with the policy "always" and a health check in one of
// the states, at a time of the test's clock.
func stateOf(name planner.State, now time.Time) State {
	s := State{Status: Status{State: name}, Terms: Terms{restart: spec.RestartOf("always"), checked: true}}
	switch name {
	case planner.Running:
		s.Wanted, s.Health, s.StartedAt = true, planner.Healthy, now.Add(-time.Minute)
	case planner.Stopping:
		s.Stopped, s.Health, s.StartedAt = true, planner.Healthy, now.Add(-time.Minute)
	case planner.Restarting:
		s.Wanted, s.StartedAt, s.ExitedAt = true, now.Add(-time.Minute), now.Add(-time.Second)
		s.ExitCode, s.delay, s.RetryAt = 1, firstDelay, now
	case planner.Exited:
		s.Stopped, s.StartedAt, s.ExitedAt = true, now.Add(-time.Minute), now.Add(-time.Second)
	case removing:
		s.State, s.Stopped, s.Removing = planner.Exited, true, true
	}
	return s
}

func nameOf(s State) planner.State {
	switch {
	case s.Removing:
		return removing
	case s.State == Unknown:
		return "unknown"
	}
	return s.State
}

func describe(effects []Effect, now time.Time) string {
	var words []string
	for _, f := range effects {
		switch f := f.(type) {
		case ResolveNames:
			words = append(words, map[ResolveNames]string{true: "names", false: "no names"}[f])
		case ParkPorts:
			words = append(words, map[bool]string{true: "park", false: "refuse"}[f.Again])
		case AwaitRetry:
			words = append(words, "retry in "+f.Due.Sub(now).String())
		case Warn:
			words = append(words, "warn")
		default:
			words = append(words, map[string]string{
				"RoutePorts": "route", "StartProbes": "probe", "StopProbes": "no probes", "CancelRetry": "no retry", "TryStart": "try", "KillProcess": "kill",
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
	const here, frozen = "names, route, probe", "names, route, no probes"
	for _, row := range []struct {
		event Event
		want  map[planner.State]string
	}{
		{Started{At: now}, map[planner.State]string{planner.Created: runs, planner.Restarting: runs, planner.Exited: runs}},
		{Ended{Code: 3, At: now}, map[planner.State]string{planner.Running: "running", planner.Stopping: "stopping"}},
		{Exited{Code: 3, At: now, Now: now}, map[planner.State]string{planner.Running: again, planner.Stopping: ends}},
		{Probed{Health: planner.Unhealthy, Started: now.Add(-time.Minute)}, map[planner.State]string{planner.Running: "running: route", planner.Stopping: "stopping: route"}},
		{Probed{Health: planner.Unhealthy, Started: now.Add(-time.Hour)}, nil}, // of another process
		{BackOffOver{Due: now}, map[planner.State]string{planner.Restarting: "restarting: try"}},
		{BackOffOver{Due: now.Add(-1)}, nil}, // of another back-off
		{StartFailed{Reason: "no", Now: now}, map[planner.State]string{planner.Restarting: "restarting: retry in 200ms"}},
		{StartAsked{}, map[planner.State]string{planner.Restarting: "restarting"}},
		{StopAsked{ByUser: true}, map[planner.State]string{
			planner.Created: "created", planner.Running: "stopping", planner.Restarting: "exited: no retry, refuse", Unknown: "unknown",
		}},
		{StopAsked{}, map[planner.State]string{planner.Running: "stopping", planner.Restarting: "exited: no retry, refuse"}},
		{Updated{Terms: Terms{restart: spec.RestartOf("no")}}, map[planner.State]string{
			Unknown: "unknown", planner.Created: "created", planner.Running: "running: probe", planner.Stopping: "stopping: probe",
			planner.Restarting: "restarting", planner.Exited: "exited",
		}},
		{Adopted{Process: ProcessRunning, Now: now}, map[planner.State]string{
			Unknown: "running: " + here + ", warn", planner.Created: "running: " + here, planner.Running: "running: " + here,
			planner.Stopping: "stopping: " + here + ", kill", planner.Restarting: "running: " + here, planner.Exited: "running: " + here,
		}},
		{Frozen{Paused: true}, map[planner.State]string{planner.Running: "running: no probes", planner.Stopping: "stopping: no probes"}},
		{Frozen{}, nil}, // it runs
		{Adopted{Process: ProcessRunning, Paused: true, Now: now}, map[planner.State]string{
			Unknown: "running: " + frozen + ", warn", planner.Created: "running: " + frozen, planner.Running: "running: " + frozen,
			planner.Stopping: "stopping: " + frozen + ", kill", planner.Restarting: "running: " + frozen, planner.Exited: "running: " + frozen,
		}},
		{Adopted{Process: ProcessEnded, At: now, Now: now}, map[planner.State]string{ // and exited follows
			Unknown: "stopping: warn", planner.Created: "running", planner.Restarting: "running", planner.Exited: "running",
		}},
		{Adopted{Process: ProcessEnded, At: now.Add(-time.Second), Now: now}, map[planner.State]string{ // its exit was dealt with by then
			Unknown: "stopping: warn", planner.Created: "running", planner.Restarting: "restarting: retry in 200ms",
		}},
		{Adopted{Process: ProcessAbsent, Now: now}, map[planner.State]string{
			Unknown: "exited: warn", planner.Running: "restarting: no probes, no names, park, try", planner.Stopping: ends, planner.Restarting: "restarting: retry in 200ms",
		}},
		{Waits{For: "db"}, map[planner.State]string{planner.Restarting: "restarting"}},
		{Connected{Addresses: []string{"10.0.0.2"}}, inEach()},
		{Published{Bindings: []planner.Binding{{HostPort: 80}}}, inEach()},
		{RemoveBegun{}, map[planner.State]string{
			Unknown: "removing", planner.Created: "removing", planner.Running: "removing", planner.Stopping: "removing",
			planner.Restarting: "removing", planner.Exited: "removing",
		}},
		{RemoveFailed{}, map[planner.State]string{removing: "exited"}},
	} {
		for _, name := range allStates() {
			before := stateOf(name, now)
			after, effects := Next(before, row.event)
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
			row[name] = string(nameOf(State{Status: Status{State: name}}))
		}
	}
	return row
}

func TestWhatIsKnownAfterAnEvent(t *testing.T) {
	now := newManual().now()
	long := now.Add(-time.Minute)
	for name, test := range map[string]struct {
		from planner.State
		with func(s *State)
		e    Event
		want func(s *State)
	}{
		"a start clears what was of the last run": {
			planner.Exited, func(s *State) { s.ExitCode, s.OOMKilled, s.Error = 137, true, "so" }, Started{At: now},
			func(s *State) {
				s.State, s.Wanted, s.Stopped, s.StartedAt, s.Health = planner.Running, true, false, now, planner.Starting
				s.ExitCode, s.OOMKilled, s.Error = 0, false, ""
			},
		},
		"without a health check there is no health": {
			planner.Created, func(s *State) { s.checked = false }, Started{At: now},
			func(s *State) { s.State, s.Wanted, s.StartedAt = planner.Running, true, now },
		},
		"an exit says how": {
			planner.Stopping, nil, Exited{Code: 137, At: now, OOM: true, Now: now},
			func(s *State) {
				s.State, s.ExitCode, s.ExitedAt, s.OOMKilled, s.Health = planner.Exited, 137, now, true, planner.NoHealth
			},
		},
		"a lost parent is the reason": {
			planner.Stopping, nil, Exited{Code: ShimLost, At: now, Lost: true, Now: now},
			func(s *State) {
				s.State, s.ExitCode, s.ExitedAt, s.Error, s.Health = planner.Exited, ShimLost, now, "its shim was lost", planner.NoHealth
			},
		},
		"who ran steadily begins with the first delay": {
			planner.Running, func(s *State) { s.delay = lastDelay }, Exited{At: now, Now: now},
			func(s *State) {
				s.State, s.ExitedAt, s.delay, s.RetryAt, s.Health = planner.Restarting, now, firstDelay, now.Add(firstDelay), planner.NoHealth
			},
		},
		"who did not waits twice as long": {
			planner.Running, func(s *State) { s.delay, s.StartedAt = time.Second, now.Add(-time.Second) }, Exited{At: now, Now: now},
			func(s *State) {
				s.State, s.ExitedAt, s.delay, s.RetryAt, s.Health = planner.Restarting, now, 2*time.Second, now.Add(2*time.Second), planner.NoHealth
			},
		},
		"a stop for the engine's purposes is not the user's": {
			planner.Running, nil, StopAsked{}, func(s *State) { s.State, s.Wanted = planner.Stopping, false },
		},
		"nor does it undo the user's": {
			planner.Stopping, nil, StopAsked{}, func(*State) {},
		},
		"a start by hand counts restarts anew": {
			planner.Exited, func(s *State) { s.Restarts, s.delay = 5, time.Second }, StartAsked{}, func(s *State) { s.Restarts, s.delay = 0, 0 },
		},
		"a restart by hand is one once it runs": {
			planner.Exited, func(s *State) { s.ToRestart = true }, Started{At: now},
			func(s *State) {
				s.State, s.Wanted, s.Stopped, s.Health = planner.Running, true, false, planner.Starting
				s.StartedAt, s.RestartedAt, s.ToRestart = now, now, false
			},
		},
		"a start by hand is none": {
			planner.Exited, func(s *State) { s.ToRestart = true }, StartAsked{}, func(s *State) { s.ToRestart = false },
		},
		"a change in place is dated": {
			planner.Exited, nil, Updated{At: now}, func(s *State) { s.Terms, s.UpdatedAt = Terms{}, now },
		},
		"a try is counted": {
			planner.Restarting, nil, BackOffOver{Due: now}, func(s *State) { s.Restarts, s.RetryAt = 1, time.Time{} },
		},
		"a new health check starts": {
			planner.Running, func(s *State) { s.checked, s.Health = false, planner.NoHealth }, Updated{Terms: Terms{checked: true}},
			func(s *State) { s.Terms, s.Health = Terms{checked: true}, planner.Starting },
		},
		"another health check knows nothing of a verdict against it": {
			planner.Running, func(s *State) { s.checked, s.Health = true, planner.Unhealthy }, Updated{Terms: Terms{checked: true}, Recheck: true},
			func(s *State) { s.Terms, s.Health = Terms{checked: true}, planner.Starting },
		},
		"another health check leaves serving what served": {
			planner.Running, func(s *State) { s.checked, s.Health = true, planner.Healthy }, Updated{Terms: Terms{checked: true}, Recheck: true},
			func(s *State) { s.Terms = Terms{checked: true} },
		},
		"another policy leaves what is unhealthy so": {
			planner.Running, func(s *State) { s.checked, s.Health = true, planner.Unhealthy }, Updated{Terms: Terms{checked: true}},
			func(s *State) { s.Terms = Terms{checked: true} },
		},
		"a health check that is taken away leaves no health": {
			planner.Running, nil, Updated{}, func(s *State) { s.Terms, s.Health = Terms{}, planner.NoHealth },
		},
		"a probe of no health check in force counts for nothing": {
			planner.Running, func(s *State) { s.checked = false }, Probed{Health: planner.Unhealthy, Started: long}, func(s *State) {},
		},
		"a missed exit that the shim knew of": {
			planner.Running, func(s *State) { s.restart = spec.RestartOf("no") }, Adopted{Code: 3, At: now, Now: now},
			func(s *State) {
				s.State, s.ExitCode, s.ExitedAt, s.Health = planner.Exited, 3, now, planner.NoHealth
			},
		},
		"a missed exit that the engine before had noted": {
			planner.Running, func(s *State) { s.restart, s.ExitCode, s.ExitedAt, s.OOMKilled = spec.RestartOf("no"), 4, now, true }, Adopted{Now: now.Add(time.Hour)},
			func(s *State) { s.State, s.Health = planner.Exited, planner.NoHealth },
		},
		"a missed exit that nobody knows of": {
			planner.Running, func(s *State) { s.restart = spec.RestartOf("no") }, Adopted{Now: now},
			func(s *State) {
				s.State, s.ExitCode, s.ExitedAt, s.Health, s.Error = planner.Exited, ShimLost, now, planner.NoHealth, "its shim was lost"
			},
		},
		"who is found without its wants and runs is wanted to": {
			Unknown, nil, Adopted{Process: ProcessRunning, Now: now},
			func(s *State) {
				s.State, s.Wanted, s.StartedAt, s.Health = planner.Running, true, now, planner.Starting
			},
		},
		"who is found without its wants and does not run is treated as stopped": {
			Unknown, nil, Adopted{Code: 3, At: long, Now: now},
			func(s *State) { s.State, s.Stopped, s.ExitCode, s.ExitedAt = planner.Exited, true, 3, long },
		},
		"who is found without its wants, and nobody knows how it ended": {
			Unknown, nil, Adopted{Now: now},
			func(s *State) {
				s.State, s.Stopped, s.ExitCode, s.ExitedAt, s.Error = planner.Exited, true, ShimLost, now, "how it ended is not known"
			},
		},
		"a start that the engine before could not tell of": {
			planner.Exited, nil, Adopted{Process: ProcessRunning, Now: now},
			func(s *State) {
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
		if u, ok := test.e.(Updated); ok {
			want.Terms = u.Terms
		}
		if got, _ := Next(before, test.e); !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %s\nwant %s", name, show(got), show(want))
		}
	}
}

func show(s State) string { return fmt.Sprintf("%+v", s) }
