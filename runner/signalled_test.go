package runner

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/orlop/orlop/planner"
)

// deaf is a process whose shim may not answer.
type deaf struct {
	containerd.Task
	err  error
	sent func()
}

func (*deaf) Pid() uint32 { return 0 }

func (d *deaf) Kill(context.Context, syscall.Signal, ...containerd.KillOpts) error {
	if d.sent != nil {
		d.sent()
	}
	return d.err
}

func TestASignalThatCouldNotBeSentIsNotTold(t *testing.T) {
	for _, name := range []string{"HUP", "KILL"} {
		r := alone(t)
		c := r.newContainer(of(planner.Running, ""), nil, false)
		c.task, c.ending = &deaf{err: errors.New("ttrpc: closed")}, newEnding()
		if err := c.kill(t.Context(), name); err == nil || !strings.Contains(err.Error(), "cannot signal shop-web-1") {
			t.Errorf("%s: the error is %v", name, err)
		}
		if told := c.observe(); !told.SignalledAt.IsZero() {
			t.Errorf("%s: it is told of a signal at %s", name, told.SignalledAt)
		}
	}
}

// What ends a week after a stop signal that could not be sent has ended by itself; after one that could, by hand.
func TestAStopSignalThatCouldNotBeSentIsNotHeeded(t *testing.T) {
	for name, before := range map[string]bool{"the first": false, "another": true} {
		r := alone(t)
		c := r.newContainer(of(planner.Running, "always"), nil, false)
		task := &deaf{}
		c.task, c.ending = task, newEnding()
		if before {
			must(t, c.kill(t.Context(), "TERM"))
		}
		task.err = errors.New("ttrpc: closed")
		if err := c.kill(t.Context(), "TERM"); err == nil {
			t.Errorf("%s: it is told as sent", name)
		}
		if is := c.snapshot().EndAsked; is != before {
			t.Errorf("%s: its end is asked for: %t", name, is)
		}
	}
}

func TestASignalIsToldAsOfBeforeItWasSent(t *testing.T) {
	for name, number := range map[string]int{"HUP": 1, "KILL": 9} {
		r := alone(t)
		c := r.newContainer(of(planner.Running, ""), nil, false)
		var sent time.Time
		end := newEnding()
		c.task, c.ending = &deaf{sent: func() { sent = time.Now(); close(end.exited); close(end.reaped) }}, end
		must(t, c.kill(t.Context(), name))
		if told := c.observe(); told.Signal != number || told.SignalledAt.IsZero() || told.SignalledAt.After(sent) {
			t.Errorf("%s: it is told of signal %d at %s, sent at %s", name, told.Signal, told.SignalledAt, sent)
		}
	}
}

func TestAKillOfWhatIsRestartingIsTold(t *testing.T) {
	r := alone(t)
	c := r.newContainer(of(planner.Restarting, "always"), nil, false)
	if err := c.kill(t.Context(), "NOSUCH"); err == nil || c.observe().State != planner.Restarting {
		t.Errorf("by a signal that is none: %v, and it is %s", err, c.observe().State)
	}
	must(t, c.kill(t.Context(), "KILL"))
	if told := c.observe(); told.State != planner.Exited || told.Signal != 9 || told.SignalledAt.IsZero() {
		t.Errorf("it is %s, and told of signal %d at %s", told.State, told.Signal, told.SignalledAt)
	}
}
