package supervisor

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// world is a container and its engine in small: what the store has on the
// disk and in memory, what containerd has, and what the user last asked for.
type world struct {
	rnd   *rand.Rand
	clock *manual
	trace []string

	state   State
	saved   []Status // since the last flush, oldest first; the first is on the disk
	process process
	frozen  bool
	code    int
	endedAt time.Time

	wants    string // run, stop, or either: a command that was not answered
	byItself bool   // the process has ended by itself since it was wanted to run
	crash    int    // the engine is lost at the next step but so many; negative: it is not
}

// lost is the end of the engine.
type lost struct{}

func newWorld(seed uint64, restart string) *world {
	w := &world{rnd: rand.New(rand.NewPCG(seed, 1)), clock: newManual(), wants: "stop", crash: -1}
	w.state = State{Status: Status{State: planner.Created}, Terms: Terms{restart: spec.RestartOf(restart), checked: seed%2 == 0}}
	w.saved = []Status{w.state.Status}
	return w
}

func (w *world) say(format string, args ...any) {
	w.trace = append(w.trace, fmt.Sprintf(format, args...))
}

// step is where the engine may be lost: between any two things that it does.
func (w *world) step() {
	w.clock.move(time.Millisecond)
	if w.crash == 0 {
		w.crash = -1
		panic(lost{})
	}
	w.crash--
}

func (w *world) apply(e Event) {
	s, effects := Next(w.state, e)
	w.state = s
	w.saved = append(w.saved, s.Status)
	w.say("%T: %s %s", e, s.State, describe(effects, w.clock.now()))
	w.step()
	for _, f := range effects {
		switch f.(type) {
		case TryStart:
			w.try()
		case KillProcess:
			w.end(137)
		}
	}
}

func (w *world) flush() { w.saved = w.saved[len(w.saved)-1:] }

// launch is what start does.
func (w *world) launch() {
	w.step()
	w.process, w.frozen = ProcessRunning, false
	w.step()
	w.apply(Started{At: w.clock.now()})
}

func (w *world) try() {
	if w.rnd.IntN(3) == 0 {
		w.apply(StartFailed{Reason: "so", Now: w.clock.now()})
		return
	}
	w.launch()
}

// end is the end of the process, and what await does then.
func (w *world) end(code int) {
	w.process, w.code, w.endedAt = ProcessEnded, code, w.clock.now()
	w.step()
	w.reap()
}

func (w *world) reap() {
	w.apply(Ended{Code: w.code, At: w.endedAt})
	at := w.endedAt
	w.process = ProcessAbsent
	w.step()
	w.apply(Exited{Code: w.code, At: at, Now: w.clock.now()})
}

func (w *world) start() {
	if w.state.HasProcess() {
		return
	}
	w.say("the user starts it")
	w.wants = "either"
	w.apply(StartAsked{})
	w.launch()
	w.flush()
	w.wants, w.byItself = "run", false
}

func (w *world) stop() {
	w.say("the user stops it")
	w.wants = "either"
	w.apply(StopAsked{ByUser: true})
	if w.process == ProcessRunning {
		w.end(143)
	}
	w.flush()
	w.wants = "stop"
}

// kill ends the process by its stop signal, as a kill by hand does.
func (w *world) kill() {
	if w.process != ProcessRunning || w.state.State != planner.Running || w.frozen {
		return
	}
	w.say("the user kills it")
	w.wants = "either"
	w.apply(EndAsked{})
	w.apply(Signalled{Signal: 15, At: w.clock.now()})
	w.end(143)
	w.flush()
	w.wants = "stop"
}

// pause freezes the process, or has it go on.
func (w *world) pause() {
	if w.process != ProcessRunning || w.state.State != planner.Running {
		return
	}
	w.frozen = !w.frozen
	w.step()
	w.apply(Frozen{Paused: w.frozen})
}

// adopt is the next engine. Of what was saved since the last flush, the disk
// has some; the shim may know of an exit that containerd has forgotten.
func (w *world) adopt() {
	n := w.rnd.IntN(len(w.saved))
	w.state = State{Status: w.saved[n], Terms: w.state.Terms}
	w.saved = w.saved[n : n+1]
	e := Adopted{Process: w.process, Paused: w.frozen && w.process == ProcessRunning, Now: w.clock.now()}
	if w.process == ProcessEnded || w.process == ProcessAbsent && w.rnd.IntN(2) == 0 && w.state.HasProcess() && w.endedAt.After(w.state.StartedAt) {
		e.Code, e.At = w.code, w.endedAt
	}
	w.say("the next engine finds %s, process %d", w.state.State, w.process)
	w.apply(e)
	if w.process == ProcessEnded {
		w.reap()
	}
}

// guard runs f; if the engine is lost meanwhile, another takes over, which may
// be lost in turn.
func (w *world) guard(f func()) {
	for f != nil {
		func() {
			defer func() {
				if p := recover(); p != nil {
					if _, ok := p.(lost); !ok {
						panic(p)
					}
					w.say("the engine is lost")
					if w.rnd.IntN(8) == 0 && w.process != ProcessAbsent {
						w.say("and the machine with it")
						w.process, w.byItself = ProcessAbsent, true
					}
					f = w.adopt
				}
			}()
			f()
			f = nil
		}()
	}
}

func (w *world) random() {
	switch w.rnd.IntN(10) {
	case 0, 1:
		w.start()
	case 2:
		w.stop()
	case 3:
		if w.process == ProcessRunning {
			w.say("its process ends")
			w.byItself = true
			w.end(w.rnd.IntN(2))
		}
	case 4, 5:
		w.back()
	case 6:
		w.apply(Probed{Health: planner.Unhealthy, Started: w.state.StartedAt})
	case 7:
		w.clock.move(steadyAfter)
	case 8:
		w.pause()
	case 9:
		w.kill()
	}
}

// back lets the back-off end, if there is one.
func (w *world) back() {
	if due := w.state.RetryAt; w.state.State == planner.Restarting && !due.IsZero() {
		w.clock.move(due.Sub(w.clock.now()))
		w.apply(BackOffOver{Due: due})
	}
}

// check says what is not as it must be once nothing happens any more.
func (w *world) check(restart string) string {
	up := w.state.State == planner.Running
	switch {
	case up != (w.process == ProcessRunning) || w.process == ProcessEnded:
		return fmt.Sprintf("it counts as %s, and its process is %d", w.state.State, w.process)
	case !up && w.state.State != planner.Exited && w.state.State != planner.Created:
		return fmt.Sprintf("it is left %s", w.state.State)
	case w.state.Paused != (up && w.frozen):
		return fmt.Sprintf("its processes are frozen: %t, and it counts as paused: %t", w.frozen, w.state.Paused)
	case up && (!w.state.Wanted || w.state.Stopped):
		return "it runs, and an end would not be followed by a start"
	case w.wants == "stop" && up:
		return "it was stopped, and runs"
	case w.wants == "stop" && w.state.State == planner.Exited && !w.state.Stopped:
		return "it was stopped, and nothing says so"
	case w.wants == "run" && w.state.Stopped:
		return "it was started, and counts as stopped"
	case w.wants == "run" && restart == "always" && !up:
		return "it is to run always, and does not"
	case w.wants == "run" && restart == "no" && up == w.byItself:
		return fmt.Sprintf("its process has ended by itself: %t, and it runs: %t", w.byItself, up)
	}
	return ""
}

// TestAnySequenceOfEventsEndsInWhatWasWanted plays events at random, and loses
// the engine, and now and then the machine, between any two steps.
func TestAnySequenceOfEventsEndsInWhatWasWanted(t *testing.T) {
	ends := map[string]int{}
	for _, restart := range []string{"always", "no", "on-failure", "on-failure:2"} {
		for seed := range uint64(5000) {
			w := newWorld(seed, restart)
			for range 5 + w.rnd.IntN(25) {
				if w.rnd.IntN(3) == 0 {
					w.crash = w.rnd.IntN(6)
				}
				w.guard(w.random)
			}
			w.crash = -1
			for range 100 {
				w.back()
			}
			ends[restart+" "+w.wants+" "+string(w.state.State)]++
			if wrong := w.check(restart); wrong != "" {
				t.Fatalf("%s, seed %d: %s\n%s", restart, seed, wrong, strings.Join(w.trace, "\n"))
			}
		}
	}
	for _, want := range []string{"always run running", "always stop exited", "no run exited", "no run running", "on-failure run exited"} {
		if ends[want] < 100 {
			t.Errorf("%q came about %d times: the test says little", want, ends[want])
		}
	}
}
