package supervisor

import (
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// What ends well by a signal has completed nothing, whether the end or the signal is told first; what ends long after it, with an error, or
// was begun since, has ended by itself.
func TestWhatEndsByASignalIsNotCompleted(t *testing.T) {
	begun := time.Unix(1000, 0)
	sent := begun.Add(time.Hour)
	for name, c := range map[string]struct {
		events []Event
		want   bool
	}{
		"told in order":     {[]Event{Signalled{Signal: 15, At: sent}, Exited{At: sent.Add(time.Second), Now: sent}}, true},
		"the end first":     {[]Event{Exited{At: sent.Add(time.Millisecond), Now: sent}, Signalled{Signal: 15, At: sent}}, true},
		"by the signal":     {[]Event{Signalled{Signal: 15, At: sent}, Exited{Code: 143, At: sent.Add(time.Second), Now: sent}}, true},
		"with an error":     {[]Event{Signalled{Signal: 1, At: sent}, Exited{Code: 3, At: sent.Add(time.Second), Now: sent}}, false},
		"long after it":     {[]Event{Signalled{Signal: 1, At: sent}, Exited{At: sent.Add(time.Minute), Now: sent}}, false},
		"of the run before": {[]Event{Signalled{Signal: 1, At: begun.Add(-time.Second)}, Exited{At: begun.Add(time.Second), Now: sent}}, false},
		"without any":       {[]Event{Exited{At: sent, Now: sent}}, false},
	} {
		s := State{Status: Status{State: planner.Running, Wanted: true, StartedAt: begun}, Terms: Terms{restart: spec.RestartOf("no")}}
		for _, e := range c.events {
			s, _ = Next(s, e)
		}
		if s.State != planner.Exited || s.Stopped != c.want {
			t.Errorf("%s: %s, stopped: %t", name, s.State, s.Stopped)
		}
	}
}

// A policy does not bring back what ended by a signal that somebody sent by hand: after the stop signal whenever it ends, after another one
// where it ends by that. What fails otherwise, or is started again, is under its policy as before.
func TestAKillIsNoMatterOfTheRestartPolicy(t *testing.T) {
	begun := time.Unix(1000, 0)
	sent := begun.Add(time.Hour)
	end := func(code int, after time.Duration) Event {
		return Exited{Code: code, At: sent.Add(after), Now: sent.Add(after)}
	}
	term, hup, stop := Signalled{Signal: 15, At: sent}, Signalled{Signal: 1, At: sent}, EndAsked{}
	unsent := EndAsked{Undone: true}
	for name, c := range map[string]struct {
		events []Event
		want   planner.State
	}{
		"no signal":                            {[]Event{end(143, 0)}, planner.Restarting},
		"the stop signal":                      {[]Event{stop, term, end(143, time.Second)}, planner.Exited},
		"the stop signal, told last":           {[]Event{stop, end(143, time.Second), term}, planner.Exited},
		"the stop signal, heeded late":         {[]Event{stop, term, end(1, time.Hour)}, planner.Exited},
		"the stop signal, and another":         {[]Event{stop, term, hup, end(1, time.Hour)}, planner.Exited},
		"the stop signal, not sent":            {[]Event{stop, unsent, end(1, time.Hour)}, planner.Restarting},
		"SIGTERM that is not the stop signal":  {[]Event{term, end(7, time.Second)}, planner.Exited},
		"and one that is not heeded":           {[]Event{term, end(7, time.Hour)}, planner.Restarting},
		"SIGHUP that ends it":                  {[]Event{hup, end(129, time.Second)}, planner.Exited},
		"SIGHUP that ends it, told last":       {[]Event{end(129, time.Second), Signalled{Signal: 1, At: sent.Add(time.Second)}}, planner.Exited},
		"SIGHUP that has it read its settings": {[]Event{hup, end(1, time.Hour)}, planner.Restarting},
		"which are wrong":                      {[]Event{hup, end(1, time.Second)}, planner.Restarting},
		"one that was started again":           {[]Event{stop, term, end(143, 0), Started{At: sent.Add(time.Second)}, end(143, time.Minute)}, planner.Restarting},
		"the machine was lost":                 {[]Event{stop, term, Adopted{Process: ProcessAbsent, Now: sent.Add(time.Hour)}}, planner.Restarting},
		"an engine between":                    {[]Event{stop, term, Adopted{Process: ProcessRunning, Now: sent.Add(time.Second)}, end(143, time.Minute)}, planner.Exited},
		"no engine to see it":                  {[]Event{stop, term, Adopted{Process: ProcessAbsent, Code: 143, At: sent.Add(time.Second), Now: sent.Add(time.Minute)}}, planner.Exited},
	} {
		for _, policy := range []string{"always", "unless-stopped", "on-failure"} {
			s := State{Status: Status{State: planner.Running, Wanted: true, StartedAt: begun}, Terms: Terms{restart: spec.RestartOf(policy)}}
			for _, e := range c.events {
				s, _ = Next(s, e)
			}
			if s.State != c.want || s.Stopped != (c.want == planner.Exited) {
				t.Errorf("%s, %s: %s, stopped: %t", name, policy, s.State, s.Stopped)
			}
		}
	}
}
