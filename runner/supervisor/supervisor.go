// Package supervisor decides what becomes of containers: Next says for each state
// and each event what the new state is and what is to be done. It also knows the
// record of a container, which is what its supervision must remember: what it was
// made from, kept with containerd's container, and its status, kept in the engine's
// store. It decides, encodes and decodes; it does nothing.
package supervisor

import (
	"syscall"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// The runner has one place that asks Next, saves the answer and performs the
// effects; nothing else changes a container's state.
//
//	unknown --Adopted--> running, stopping, exited
//
//	created --Started--> running --Exited--> exited, or restarting by the policy
//	exited --Started-->    | (Frozen: its processes stand still, and run on)
//	                       +--StopAsked--> stopping --Exited--> exited
//	restarting --BackOffOver--> (tried) --Started--> running
//	    |   ^                      |
//	    |   +-----StartFailed------+
//	    +--StopAsked--> exited

// Unknown is the state of a container whose status the store has lost, until
// it is adopted. The others are the planner's: Created, Running, Stopping,
// Restarting, Exited.
const Unknown planner.State = ""

// State is what the supervision of a container decides by.
type State struct {
	Status
	Terms
	delay    time.Duration // of the last back-off; the next engine begins anew
	RetryAt  time.Time     // when the back-off ends
	Removing bool          // nothing but the removal follows from anything
}

// Terms are what of its making the supervision of a container goes by.
type Terms struct {
	restart spec.RestartTerms
	checked bool // a health check is in force
}

// Event is what happens to a container. The set is closed.
type Event interface{ isEvent() }

type (
	// Started: its process runs.
	Started struct{ At time.Time }
	// Ended: its process has ended; containerd still knows how. An engine that
	// is lost after this leaves the next one to find it so.
	Ended struct {
		Code int
		At   time.Time
		OOM  bool
	}
	// Exited: its process has ended and is reaped.
	Exited struct {
		Code int
		At   time.Time
		OOM  bool
		Lost bool // its parent was lost: how it ended is not known
		Now  time.Time
	}
	// Probed: the health of the process that was started then is another.
	Probed struct {
		Health  planner.Health
		Started time.Time
	}
	// BackOffOver: the back-off that was due then is over.
	BackOffOver struct{ Due time.Time }
	// Waits: it comes back by itself, but for what it waits for; "" is nothing
	// any more.
	Waits struct{ For string }
	// StartFailed: it could not be started after a back-off.
	StartFailed struct {
		Reason string
		Now    time.Time
	}
	// StartAsked: somebody starts it by hand, or restarts it by a restart and no other way.
	StartAsked struct{ Restart bool }
	// StopAsked: its process is to end, and none is to follow. By the user, or
	// for the engine's own purposes.
	StopAsked struct{ ByUser bool }
	// Frozen: all its processes stand still, or run again.
	Frozen struct {
		Paused bool
		At     time.Time
	}
	// EndAsked: somebody sends its process by hand the signal that is to end it; or it could not be sent, the first one.
	EndAsked struct{ Undone bool }
	// Signalled: somebody has sent its process a signal by hand.
	Signalled struct {
		Signal int
		At     time.Time
	}
	// Updated: it was changed in place.
	Updated struct {
		Terms
		Recheck bool // its health check is another one
		At      time.Time
	}
	// Adopted: another engine made it; this is what is there of its process.
	Adopted struct {
		Process process
		Paused  bool      // one that runs is frozen
		Code    int       // of one that has ended, where that is known
		At      time.Time // when it ended; zero where that is not known
		Now     time.Time
	}
	// Connected: it has these addresses.
	Connected struct{ Addresses []string }
	// Published: these ports are bound for it.
	Published struct{ Bindings []planner.Binding }
	// Hooks: its post_start is to be run, or has been run to its end.
	Hooks struct{ Done bool }
	// RemoveBegun: it is being removed, its process has ended.
	RemoveBegun struct{}
	// RemoveFailed: it could not be removed.
	RemoveFailed struct{}
)

func (Hooks) isEvent()        {}
func (Started) isEvent()      {}
func (Ended) isEvent()        {}
func (Exited) isEvent()       {}
func (Probed) isEvent()       {}
func (BackOffOver) isEvent()  {}
func (Waits) isEvent()        {}
func (StartFailed) isEvent()  {}
func (StartAsked) isEvent()   {}
func (StopAsked) isEvent()    {}
func (EndAsked) isEvent()     {}
func (Frozen) isEvent()       {}
func (Signalled) isEvent()    {}
func (Updated) isEvent()      {}
func (Adopted) isEvent()      {}
func (Connected) isEvent()    {}
func (Published) isEvent()    {}
func (RemoveBegun) isEvent()  {}
func (RemoveFailed) isEvent() {}

// process is what an engine finds of the process of a container that another
// engine made.
type process int

const (
	ProcessAbsent  process = iota // containerd knows none
	ProcessRunning                // Exited comes when it ends
	ProcessEnded                  // containerd knows how it ended: Exited comes at once
)

// Effect is what is to be done about a change of state. The set is closed.
type Effect interface{ isEffect() }

type (
	ResolveNames bool                    // its names resolve, or do not
	RoutePorts   struct{}                // its published ports lead to it, as its health allows
	ParkPorts    struct{ Again bool }    // they don't: connections wait for it to come back, or fail
	StartProbes  struct{}                // its health is checked from now on, if it is to be
	StopProbes   struct{}                //
	AwaitRetry   struct{ Due time.Time } // BackOffOver comes then,
	CancelRetry  struct{}                // or does not
	TryStart     struct{}                // it is started; StartFailed comes if that fails
	KillProcess  struct{}                // its process is killed
	Warn         string                  // the engine's log says so
)

func (ResolveNames) isEffect() {}
func (RoutePorts) isEffect()   {}
func (ParkPorts) isEffect()    {}
func (StartProbes) isEffect()  {}
func (StopProbes) isEffect()   {}
func (AwaitRetry) isEffect()   {}
func (CancelRetry) isEffect()  {}
func (TryStart) isEffect()     {}
func (KillProcess) isEffect()  {}
func (Warn) isEffect()         {}

// Next is the state that an event leads to, and what is to be done. What can't
// happen in a state changes nothing.
func Next(s State, e Event) (State, []Effect) {
	if s.Removing {
		if _, ok := e.(RemoveFailed); ok {
			s.Removing = false
		}
		return s, nil
	}
	switch e := e.(type) {
	case Started:
		return s.onStarted(e)
	case Ended:
		if s.HasProcess() {
			s.ExitCode, s.ExitedAt, s.OOMKilled = e.Code, e.At, e.OOM
		}
	case Exited:
		return s.onExited(e)
	case Probed:
		if s.HasProcess() && s.checked && e.Started.Equal(s.StartedAt) {
			s.Health = e.Health
			return s, []Effect{RoutePorts{}}
		}
	case BackOffOver:
		if s.State == planner.Restarting && e.Due.Equal(s.RetryAt) {
			s.Restarts, s.RetryAt = s.Restarts+1, time.Time{}
			return s, []Effect{TryStart{}}
		}
	case Waits:
		if s.State == planner.Restarting {
			s.Error = e.For
		}
	case StartFailed:
		return s.onStartFailed(e)
	case StartAsked:
		s.Restarts, s.FailedTries, s.delay, s.ToRestart = 0, 0, 0, e.Restart
	case StopAsked:
		return s.onStopAsked(e)
	case Frozen:
		return s.onFrozen(e)
	case EndAsked:
		s.EndAsked = !e.Undone && (s.EndAsked || s.HasProcess())
	case Signalled:
		return s.onSignalled(e)
	case Updated:
		return s.onUpdated(e)
	case Adopted:
		return s.onAdopted(e)
	case Connected:
		s.Addresses = e.Addresses
	case Published:
		s.Published = e.Bindings
	case Hooks:
		s.Unready = !e.Done
	case RemoveBegun:
		s.Removing = true
	case RemoveFailed:
	default:
		panic("internal error: an event that nothing follows from")
	}
	return s, nil
}

// HasProcess says that a process of it is there, be it about to end.
func (s State) HasProcess() bool {
	return s.State == planner.Running || s.State == planner.Stopping
}

func (s State) onStarted(e Started) (State, []Effect) {
	if s.HasProcess() || s.State == Unknown {
		return s, nil
	}
	s.State, s.Paused, s.Wanted, s.Stopped, s.EndAsked = planner.Running, false, true, false, false
	s.StartedAt, s.ExitCode, s.OOMKilled, s.Error = e.At, 0, false, ""
	s.RetryAt = time.Time{}
	if s.ToRestart {
		s.ToRestart, s.RestartedAt = false, e.At
	}
	s.Health = planner.NoHealth
	s.setHealth()
	return s, []Effect{CancelRetry{}, ResolveNames(true), RoutePorts{}, StartProbes{}}
}

// setHealth makes the health fit the health check in force.
func (s *State) setHealth() {
	switch {
	case !s.checked:
		s.Health = planner.NoHealth
	case s.Health == planner.NoHealth:
		s.Health = planner.Starting
	}
}

func (s State) onExited(e Exited) (State, []Effect) {
	if !s.HasProcess() {
		return s, nil
	}
	if e.At.Sub(s.StartedAt) >= steadyAfter {
		s.delay = 0
	}
	if s.Restarts > 0 && (s.restart.Window == 0 || e.At.Sub(s.StartedAt) < s.restart.Window) {
		s.FailedTries++
	}
	s.ExitCode, s.ExitedAt, s.OOMKilled, s.Health, s.Paused = e.Code, e.At, e.OOM, planner.NoHealth, false
	byHand := !e.Lost && s.isEndByHand() // what goes with its shim or the machine has not heeded it
	again := s.Wanted && !byHand && isRestarted(s.restart, e.Code, s.FailedTries)
	effects := []Effect{StopProbes{}, ResolveNames(false), ParkPorts{Again: again}}
	if !again {
		s.State, s.Stopped, s.EndAsked = planner.Exited, s.Stopped || byHand, false
		if e.Lost {
			s.Error = "its shim was lost"
		}
		return s, effects
	}
	s, retry := s.backOff(e.Now)
	return s, append(effects, retry...)
}

// onSignalled: the end that the signal has brought may be told first.
func (s State) onSignalled(e Signalled) (State, []Effect) {
	s.Signal, s.SignalledAt = e.Signal, e.At
	switch {
	case !s.isEndByHand():
	case s.State == planner.Exited:
		s.Stopped = true
	case s.State == planner.Restarting:
		s.State, s.Stopped, s.RetryAt, s.EndAsked = planner.Exited, true, time.Time{}, false
		return s, []Effect{CancelRetry{}, ParkPorts{}}
	}
	return s, nil
}

// heeded is how long a program may take to end by a signal that need not end it.
const heeded = 10 * time.Second

// isEndByHand says that a process ended on the user's word: at any time after its stop signal or SIGKILL, or soon after another
// signal and by what that does. It has completed nothing, and its policy does not bring it back.
func (s State) isEndByHand() bool {
	if s.EndAsked {
		return true
	}
	after := s.ExitedAt.Sub(s.SignalledAt)
	if s.SignalledAt.IsZero() || s.SignalledAt.Before(s.StartedAt) || after < 0 || after >= heeded {
		return false
	}
	return s.ExitCode == 0 || s.ExitCode == 128+s.Signal || AsksToEnd(s.Signal)
}

// AsksToEnd says that a signal is sent to end a program, and not to have it do something.
func AsksToEnd(signal int) bool {
	switch syscall.Signal(signal) {
	case syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM:
		return true
	}
	return false
}

// isRestarted applies the terms of restarting to a container that has ended by
// itself, of whose tries so many have failed.
func isRestarted(terms spec.RestartTerms, code, failed int) bool {
	switch {
	case terms.Condition == spec.RestartNone, terms.Condition == spec.RestartOnFailure && code == 0:
		return false
	}
	return !terms.Bounded || failed < terms.Most
}

// onStartFailed is a try that came to nothing.
func (s State) onStartFailed(e StartFailed) (State, []Effect) {
	if s.State != planner.Restarting {
		return s, nil
	}
	s.Error = e.Reason
	s.FailedTries++
	if s.restart.Bounded && s.FailedTries >= s.restart.Most {
		s.State, s.RetryAt = planner.Exited, time.Time{}
		return s, []Effect{ParkPorts{}}
	}
	return s.backOff(e.Now)
}

// Bounds of the back-off between restarts.
const (
	firstDelay  = 100 * time.Millisecond
	lastDelay   = time.Minute
	steadyAfter = 10 * time.Second // a container that ran that long begins with the first again
)

// backOff starts the container again after a while: what its terms say, else twice
// the last one.
func (s State) backOff(now time.Time) (State, []Effect) {
	s.State = planner.Restarting
	s.delay = min(max(2*s.delay, firstDelay), lastDelay)
	if s.restart.Delay > 0 {
		s.delay = s.restart.Delay
	}
	s.RetryAt = now.Add(s.delay)
	return s, []Effect{AwaitRetry{Due: s.RetryAt}}
}

func (s State) onStopAsked(e StopAsked) (State, []Effect) {
	s.Wanted, s.Stopped = false, s.Stopped || e.ByUser
	switch s.State {
	case planner.Running:
		s.State = planner.Stopping
	case planner.Restarting:
		s.State, s.RetryAt = planner.Exited, time.Time{}
		return s, []Effect{CancelRetry{}, ParkPorts{}}
	}
	return s, nil
}

func (s State) onUpdated(e Updated) (State, []Effect) {
	s.Terms, s.UpdatedAt = e.Terms, e.At
	if !s.HasProcess() {
		return s, nil
	}
	s.setHealth()
	if e.Recheck && s.Health == planner.Unhealthy { // by a check that is no more; one that was healthy serves on
		s.Health = planner.Starting
	}
	return s, s.probes()
}

// onFrozen: a probe would freeze with what it probes, and count as failed. The health
// stays what it was.
func (s State) onFrozen(e Frozen) (State, []Effect) {
	if !s.HasProcess() || s.Paused == e.Paused {
		return s, nil
	}
	s.Paused, s.FrozenAt = e.Paused, e.At
	return s, s.probes()
}

// probes begins to probe the process that is there, or ceases to.
func (s State) probes() []Effect {
	if s.Paused {
		return []Effect{StopProbes{}}
	}
	return []Effect{StartProbes{}}
}

// onAdopted decides by what the engine before has saved and by what is there.
func (s State) onAdopted(e Adopted) (State, []Effect) {
	if s.State == Unknown {
		return s.onFound(e)
	}
	wasRunning := s.HasProcess()
	switch {
	case e.Process == ProcessRunning:
		return s.takeOver(e, wasRunning)
	case e.Process == ProcessEnded && (wasRunning || e.At.After(s.ExitedAt)):
		if !wasRunning { // it was started, and the engine was lost before it could say so
			s.State, s.Wanted, s.Stopped, s.EndAsked, s.StartedAt = planner.Running, true, false, false, e.Now
		}
		return s, nil
	case e.Process == ProcessAbsent && !wasRunning && e.At.After(s.ExitedAt): // the same, and it has ended since
		s.State, s.Wanted, s.Stopped, s.EndAsked, s.StartedAt = planner.Running, true, false, false, e.At
		return s.comeBack(s.missedExit(e))
	case wasRunning:
		return s.comeBack(s.missedExit(e))
	case s.State == planner.Restarting:
		return s.backOff(e.Now)
	}
	return s, nil
}

// takeOver is adoption of a process that runs. One that was being stopped when
// the engine was lost is not left to go on.
func (s State) takeOver(e Adopted, wasRunning bool) (State, []Effect) {
	if !wasRunning || s.StartedAt.IsZero() {
		s.StartedAt = e.Now
	}
	if !wasRunning {
		s.Health, s.ExitCode, s.OOMKilled, s.Error, s.EndAsked = planner.NoHealth, 0, false, "", false
	}
	s.setHealth()
	if s.Paused != e.Paused { // the engine before could not say so
		s.Paused, s.FrozenAt = e.Paused, e.Now
	}
	effects := append([]Effect{ResolveNames(true), RoutePorts{}}, s.probes()...)
	if s.State == planner.Stopping {
		return s, append(effects, KillProcess{})
	}
	s.State, s.Wanted, s.Stopped = planner.Running, true, false
	return s, effects
}

// comeBack is the end of a process that nobody saw. One that went with a reboot
// or with its shim has done nothing to be held back for: it begins anew, at once.
func (s State) comeBack(e Exited) (State, []Effect) {
	if e.Lost {
		s.Restarts, s.FailedTries = 0, 0
	}
	s, effects := s.onExited(e)
	if !e.Lost || s.State != planner.Restarting {
		return s, effects
	}
	s.delay, s.RetryAt = 0, time.Time{}
	effects[len(effects)-1] = TryStart{} // in place of the back-off
	return s, effects
}

// missedExit is how a process ended while no engine was there to see it.
func (s State) missedExit(e Adopted) Exited {
	switch {
	case !e.At.IsZero():
		return Exited{Code: e.Code, At: e.At, OOM: s.OOMKilled, Now: e.Now}
	case s.ExitedAt.After(s.StartedAt): // the engine before had got as far as that
		return Exited{Code: s.ExitCode, At: s.ExitedAt, OOM: s.OOMKilled, Now: e.Now}
	}
	return Exited{Code: ShimLost, At: e.Now, Lost: s.State == planner.Running, Now: e.Now}
}

// onFound is adoption of a container of which nobody knows what was wanted:
// one that runs goes on, one that does not stays so.
func (s State) onFound(e Adopted) (State, []Effect) {
	if e.Process == ProcessRunning {
		s, effects := s.takeOver(e, false)
		return s, append(effects, Warn("a container's state was lost with the engine's store: it runs on"))
	}
	s.Wanted, s.Stopped = false, true
	s.State, s.ExitCode, s.ExitedAt = planner.Exited, e.Code, e.At
	if e.At.IsZero() {
		s.ExitCode, s.ExitedAt, s.Error = ShimLost, e.Now, "how it ended is not known"
	}
	if e.Process == ProcessEnded {
		s.State = planner.Stopping // to be reaped
	}
	return s, []Effect{Warn("a container's state was lost with the engine's store: it does not run, and is treated as stopped (run \"orlop up\")")}
}

// ShimLost is the exit code of a container of which nobody knows how it ended: its
// parent process vanished, or the store did.
const ShimLost = 255
