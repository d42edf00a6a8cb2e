package ways

import (
	"time"

	"github.com/orlop/orlop/runner/network/ruleset"
)

// notWatched is why nothing goes by the kernel before it is known what its rules are.
const notWatched = "the host's firewall was not looked at yet"

// watch hears of changes of the host's rules.
func (w *Ways) watch() {
	for w.ctx.Err() == nil {
		err := w.Host.Watch(w.ctx, w.Stir)
		if err == nil {
			continue
		}
		w.Log.Warn("published ports are not sent to containers by the kernel", "error", err)
		w.decide(inBoth(err.Error()))
		select {
		case <-w.ctx.Done():
		case <-time.After(tryAgain):
		}
	}
}

// Stir has the host's rules looked at again.
func (w *Ways) Stir() {
	select {
	case w.stir <- struct{}{}:
	default: // they will be anyway
	}
}

// settle is how long changes of rules are waited for that let no port through as it is: a
// reload of a firewall is many. Those that may stop some are looked at at once.
const settle = 500 * time.Millisecond

// look looks at the host's rules whenever they may have changed.
func (w *Ways) look() {
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-w.stir:
		}
		w.decide(w.read())
		if !w.isClear() {
			select {
			case <-w.ctx.Done():
				return
			case <-time.After(settle):
			}
		}
	}
}

func (w *Ways) read() ruleset.Obstacles {
	if w.Off {
		return inBoth("the engine's settings say so (published_ports: userspace)")
	}
	o, err := w.Host.Read()
	if err != nil {
		w.mu.Lock()
		w.askAgain()
		w.mu.Unlock()
		return inBoth(err.Error())
	}
	return o
}

// inBoth is one obstacle in the way of both families.
func inBoth(why string) ruleset.Obstacles { return ruleset.Obstacles{IPv4: why, IPv6: why} }

func (w *Ways) isClear() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.obstacles == ruleset.Obstacles{}
}

// decide has each port go the way that it may go with some obstacles.
func (w *Ways) decide(o ruleset.Obstacles) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.obstacles = o
	if o.IPv4 != "" && o.IPv6 != "" { // all of them at once: one after the other takes its time
		w.takeAll()
	}
	for _, p := range w.ports {
		w.choose(p)
	}
}

// takeAll takes all rules away. The caller holds mu.
func (w *Ways) takeAll() {
	led := false
	for _, p := range w.ports {
		for _, l := range p.legs {
			led = led || l.rule != nil
		}
	}
	if !led {
		return
	}
	if err := w.Rules.Close(); err != nil {
		w.lost(err)
		return
	}
	for _, p := range w.ports {
		for _, l := range p.legs {
			if l.rule != nil {
				w.depart(p, l)
			}
		}
	}
}

// The kernel is asked once more after it has refused, ever later.
const tryAgain, mostTries = 10 * time.Second, 10 * time.Minute

// askAgain has the host's rules looked at again, and all ports be given their rules. The
// caller holds mu.
func (w *Ways) askAgain() {
	w.pause = min(max(2*w.pause, tryAgain), mostTries)
	time.AfterFunc(w.pause, w.Stir)
}

// lost notes that all rules are gone. The caller holds mu.
func (w *Ways) lost(err error) {
	why := "the kernel refused: " + err.Error()
	if why != w.refusal {
		w.Log.Warn("published ports are not sent to containers by the kernel", "error", err)
	}
	w.refusal, w.obstacles = why, inBoth(why)
	w.askAgain()
	for _, p := range w.ports {
		for _, l := range p.legs {
			if l.rule != nil {
				w.depart(p, l)
			}
			if l.why == "" {
				l.why = why
			}
		}
	}
}
