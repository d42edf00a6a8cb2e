package runner

import (
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/planner"
)

// This file is the supervision of a container, as decisions: next says for
// each state and each event what the new state is and what is to be done.
// container.apply is the one place that asks it, saves the answer and performs
// the effects; nothing else changes a container's state.
//
//	unknown --adopted--> running, stopping, exited
//
//	created --started--> running --exited--> exited, or restarting by the policy
//	exited --started-->    |
//	                       +--stopAsked--> stopping --exited--> exited
//	restarting --backOffOver--> (tried) --started--> running
//	    |   ^                      |
//	    |   +-----startFailed------+
//	    +--stopAsked--> exited

// unknown is the state of a container whose status the store has lost, until
// it is adopted. The others are the planner's: Created, Running, Stopping,
// Restarting, Exited.
const unknown planner.State = ""

// state is what the supervision of a container decides by.
type state struct {
	status
	terms
	delay    time.Duration // of the last back-off; the next engine begins anew
	retryAt  time.Time     // when the back-off ends
	removing bool          // nothing but the removal follows from anything
}

// terms are what of its making the supervision of a container goes by.
type terms struct {
	restart string // policy (Compose Specification, restart)
	checked bool   // a health check is in force
}

// event is what happens to a container. The set is closed.
type event interface{ isEvent() }

type (
	// started: its process runs.
	started struct{ at time.Time }
	// ended: its process has ended; containerd still knows how. An engine that
	// is lost after this leaves the next one to find it so.
	ended struct {
		code int
		at   time.Time
		oom  bool
	}
	// exited: its process has ended and is reaped.
	exited struct {
		code int
		at   time.Time
		oom  bool
		lost bool // its parent was lost: how it ended is not known
		now  time.Time
	}
	// probed: the health of the process that was started then is another.
	probed struct {
		health  planner.Health
		started time.Time
	}
	// backOffOver: the back-off that was due then is over.
	backOffOver struct{ due time.Time }
	// startFailed: it could not be started after a back-off.
	startFailed struct {
		reason string
		now    time.Time
	}
	// startAsked: somebody starts it by hand.
	startAsked struct{}
	// stopAsked: its process is to end, and none is to follow. By the user, or
	// for the engine's own purposes.
	stopAsked struct{ byUser bool }
	// updated: it was changed in place.
	updated struct{ terms }
	// adopted: another engine made it; this is what is there of its process.
	adopted struct {
		process process
		code    int       // of one that has ended, where that is known
		at      time.Time // when it ended; zero where that is not known
		now     time.Time
	}
	// connected: it has these addresses.
	connected struct{ addresses []string }
	// published: these ports are bound for it.
	published struct{ bindings []planner.Binding }
	// removeBegun: it is being removed, its process has ended.
	removeBegun struct{}
	// removeFailed: it could not be removed.
	removeFailed struct{}
)

func (started) isEvent()      {}
func (ended) isEvent()        {}
func (exited) isEvent()       {}
func (probed) isEvent()       {}
func (backOffOver) isEvent()  {}
func (startFailed) isEvent()  {}
func (startAsked) isEvent()   {}
func (stopAsked) isEvent()    {}
func (updated) isEvent()      {}
func (adopted) isEvent()      {}
func (connected) isEvent()    {}
func (published) isEvent()    {}
func (removeBegun) isEvent()  {}
func (removeFailed) isEvent() {}

// process is what an engine finds of the process of a container that another
// engine made.
type process int

const (
	processAbsent  process = iota // containerd knows none
	processRunning                // exited comes when it ends
	processEnded                  // containerd knows how it ended: exited comes at once
)

// effect is what is to be done about a change of state. The set is closed.
type effect interface{ isEffect() }

type (
	resolveNames bool                    // its names resolve, or do not
	routePorts   struct{}                // its published ports lead to it, as its health allows
	parkPorts    struct{ again bool }    // they don't: connections wait for it to come back, or fail
	startProbes  struct{}                // its health is checked from now on, if it is to be
	stopProbes   struct{}                //
	awaitRetry   struct{ due time.Time } // backOffOver comes then,
	cancelRetry  struct{}                // or does not
	tryStart     struct{}                // it is started; startFailed comes if that fails
	killProcess  struct{}                // its process is killed
	warn         string                  // the engine's log says so
)

func (resolveNames) isEffect() {}
func (routePorts) isEffect()   {}
func (parkPorts) isEffect()    {}
func (startProbes) isEffect()  {}
func (stopProbes) isEffect()   {}
func (awaitRetry) isEffect()   {}
func (cancelRetry) isEffect()  {}
func (tryStart) isEffect()     {}
func (killProcess) isEffect()  {}
func (warn) isEffect()         {}

// next is the state that an event leads to, and what is to be done. What can't
// happen in a state changes nothing.
func next(s state, e event) (state, []effect) {
	if s.removing {
		if _, ok := e.(removeFailed); ok {
			s.removing = false
		}
		return s, nil
	}
	switch e := e.(type) {
	case started:
		return s.onStarted(e)
	case ended:
		if s.hasProcess() {
			s.ExitCode, s.ExitedAt, s.OOMKilled = e.code, e.at, e.oom
		}
	case exited:
		return s.onExited(e)
	case probed:
		if s.hasProcess() && s.checked && e.started.Equal(s.StartedAt) {
			s.Health = e.health
			return s, []effect{routePorts{}}
		}
	case backOffOver:
		if s.State == planner.Restarting && e.due.Equal(s.retryAt) {
			s.Restarts, s.retryAt = s.Restarts+1, time.Time{}
			return s, []effect{tryStart{}}
		}
	case startFailed:
		if s.State == planner.Restarting {
			s.Error = e.reason
			return s.backOff(e.now)
		}
	case startAsked:
		s.Restarts, s.delay = 0, 0
	case stopAsked:
		return s.onStopAsked(e)
	case updated:
		return s.onUpdated(e)
	case adopted:
		return s.onAdopted(e)
	case connected:
		s.Addresses = e.addresses
	case published:
		s.Published = e.bindings
	case removeBegun:
		s.removing = true
	case removeFailed:
	default:
		panic("internal error: an event that nothing follows from")
	}
	return s, nil
}

// hasProcess says that a process of it is there, be it about to end.
func (s state) hasProcess() bool {
	return s.State == planner.Running || s.State == planner.Stopping
}

func (s state) onStarted(e started) (state, []effect) {
	if s.hasProcess() || s.State == unknown {
		return s, nil
	}
	s.State, s.Wanted, s.Stopped = planner.Running, true, false
	s.StartedAt, s.ExitCode, s.OOMKilled, s.Error = e.at, 0, false, ""
	s.retryAt = time.Time{}
	s.Health = planner.NoHealth
	s.setHealth()
	return s, []effect{cancelRetry{}, resolveNames(true), routePorts{}, startProbes{}}
}

// setHealth makes the health fit the health check in force.
func (s *state) setHealth() {
	switch {
	case !s.checked:
		s.Health = planner.NoHealth
	case s.Health == planner.NoHealth:
		s.Health = planner.Starting
	}
}

func (s state) onExited(e exited) (state, []effect) {
	if !s.hasProcess() {
		return s, nil
	}
	if e.at.Sub(s.StartedAt) >= steadyAfter {
		s.delay = 0
	}
	s.ExitCode, s.ExitedAt, s.OOMKilled, s.Health = e.code, e.at, e.oom, planner.NoHealth
	if e.lost {
		s.Error = "its shim was lost"
	}
	again := s.Wanted && isRestarted(s.restart, e.code, s.Restarts)
	effects := []effect{stopProbes{}, resolveNames(false), parkPorts{again: again}}
	if !again {
		s.State = planner.Exited
		return s, effects
	}
	s, retry := s.backOff(e.now)
	return s, append(effects, retry...)
}

// isRestarted applies a restart policy to a container that has ended by itself.
func isRestarted(restart string, code, restarts int) bool {
	policy, limit, _ := strings.Cut(restart, ":")
	switch policy {
	case "always", "unless-stopped":
		return true
	case "on-failure":
		most, _ := strconv.Atoi(limit)
		return code != 0 && (limit == "" || restarts < most)
	}
	return false
}

// Bounds of the back-off between restarts.
const (
	firstDelay  = 100 * time.Millisecond
	lastDelay   = time.Minute
	steadyAfter = 10 * time.Second // a container that ran that long begins with the first again
)

// backOff starts the container again after a while, twice the last one.
func (s state) backOff(now time.Time) (state, []effect) {
	s.State = planner.Restarting
	s.delay = min(max(2*s.delay, firstDelay), lastDelay)
	s.retryAt = now.Add(s.delay)
	return s, []effect{awaitRetry{due: s.retryAt}}
}

func (s state) onStopAsked(e stopAsked) (state, []effect) {
	s.Wanted, s.Stopped = false, s.Stopped || e.byUser
	switch s.State {
	case planner.Running:
		s.State = planner.Stopping
	case planner.Restarting:
		s.State, s.retryAt = planner.Exited, time.Time{}
		return s, []effect{cancelRetry{}, parkPorts{}}
	}
	return s, nil
}

func (s state) onUpdated(e updated) (state, []effect) {
	s.terms = e.terms
	if !s.hasProcess() {
		return s, nil
	}
	s.setHealth()
	return s, []effect{startProbes{}}
}

// onAdopted decides by what the engine before has saved and by what is there.
func (s state) onAdopted(e adopted) (state, []effect) {
	if s.State == unknown {
		return s.onFound(e)
	}
	wasRunning := s.hasProcess()
	switch {
	case e.process == processRunning:
		return s.takeOver(e, wasRunning)
	case e.process == processEnded && (wasRunning || e.at.After(s.ExitedAt)):
		if !wasRunning { // it was started, and the engine was lost before it could say so
			s.State, s.Wanted, s.Stopped, s.StartedAt = planner.Running, true, false, e.now
		}
		return s, nil
	case wasRunning:
		return s.onExited(s.missedExit(e))
	case s.State == planner.Restarting:
		return s.backOff(e.now)
	}
	return s, nil
}

// takeOver is adoption of a process that runs. One that was being stopped when
// the engine was lost is not left to go on.
func (s state) takeOver(e adopted, wasRunning bool) (state, []effect) {
	if !wasRunning || s.StartedAt.IsZero() {
		s.StartedAt = e.now
	}
	if !wasRunning {
		s.Health, s.ExitCode, s.OOMKilled, s.Error = planner.NoHealth, 0, false, ""
	}
	s.setHealth()
	effects := []effect{resolveNames(true), routePorts{}, startProbes{}}
	if s.State == planner.Stopping {
		return s, append(effects, killProcess{})
	}
	s.State, s.Wanted, s.Stopped = planner.Running, true, false
	return s, effects
}

// missedExit is how a process ended while no engine was there to see it.
func (s state) missedExit(e adopted) exited {
	switch {
	case !e.at.IsZero():
		return exited{code: e.code, at: e.at, oom: s.OOMKilled, now: e.now}
	case s.ExitedAt.After(s.StartedAt): // the engine before had got as far as that
		return exited{code: s.ExitCode, at: s.ExitedAt, oom: s.OOMKilled, now: e.now}
	}
	return exited{code: shimLost, at: e.now, lost: s.State == planner.Running, now: e.now}
}

// onFound is adoption of a container of which nobody knows what was wanted:
// one that runs goes on, one that does not stays so.
func (s state) onFound(e adopted) (state, []effect) {
	if e.process == processRunning {
		s, effects := s.takeOver(e, false)
		return s, append(effects, warn("what was wanted of a container is not known: it runs on"))
	}
	s.Wanted, s.Stopped = false, true
	s.State, s.ExitCode, s.ExitedAt = planner.Exited, e.code, e.at
	if e.at.IsZero() {
		s.ExitCode, s.ExitedAt, s.Error = shimLost, e.now, "how it ended is not known"
	}
	if e.process == processEnded {
		s.State = planner.Stopping // to be reaped
	}
	return s, []effect{warn("what was wanted of a container is not known: it does not run, and is taken as stopped")}
}
