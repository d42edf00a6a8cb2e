package engine

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func up(pid int) *claim   { return &claim{verb: "up", project: "shop", pid: pid, starts: true} }
func down(pid int) *claim { return &claim{verb: "down", project: "shop", pid: pid, ends: true} }
func restart(pid int) *claim {
	return &claim{verb: "restart", project: "shop", pid: pid, starts: true, ends: true}
}

func TestWhatEndsThingsCancelsWhatStartsThem(t *testing.T) {
	for name, c := range map[string]struct {
		first, second *claim
		want          bool
	}{
		"down, up":                      {up(1), down(2), true},
		"restart, up":                   {up(1), restart(2), true},
		"down, restart":                 {restart(1), down(2), true},
		"restart, restart":              {restart(1), restart(2), true},
		"up, up":                        {up(1), up(2), false},
		"up, down":                      {down(1), up(2), false},
		"down, down":                    {down(1), down(2), false},
		"down of the same process":      {up(1), down(1), true},
		"restart of the same process":   {up(1), restart(1), false},
		"restart of a process not told": {up(0), restart(0), true},
	} {
		if got := c.first.isEndedBy(c.second); got != c.want {
			t.Errorf("%s: ended %t", name, got)
		}
	}
}

// lockDesk is a set of locks whose clock stands 12 s after each claim's coming.
type lockDesk struct {
	*projectLocks
	notices chan string
}

func newLockDesk() *lockDesk {
	at := time.Unix(0, 0)
	now := func() time.Time { at = at.Add(12 * time.Second); return at }
	return &lockDesk{newProjectLocks(now), make(chan string, 8)}
}

func (d *lockDesk) takes(t *testing.T, c *claim) (context.Context, func()) {
	t.Helper()
	ctx, release, err := d.take(t.Context(), "shop", c, func(n string) { d.notices <- n })
	if err != nil {
		t.Fatal(err)
	}
	return ctx, release
}

func TestWaitingSaysForWhom(t *testing.T) {
	d := newLockDesk()
	_, release := d.takes(t, up(4711))
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, release := d.takes(t, up(2))
		release()
	}()
	if got, want := <-d.notices, "waiting for: up of shop, since 24 s (process 4711)"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	release()
	<-done
	if len(d.lines) != 0 {
		t.Errorf("%d lines are left", len(d.lines))
	}
}

func TestAnEndingCommandEndsHolderAndWaiters(t *testing.T) {
	d := newLockDesk()
	held, release := d.takes(t, up(4711))
	plan := &planner.Plan{Steps: []*planner.Step{
		{ID: "create db/1", Action: planner.Create},
		{ID: "await db healthy", Action: planner.Await, Service: "db", Condition: spec.ServiceHealthy},
	}}
	holder, _ := d.first("shop")
	for _, s := range plan.Steps {
		d.note(holder, plan, planner.Event{Step: s.ID, Kind: planner.Started})
	}
	waited := make(chan error)
	go func() {
		_, _, err := d.take(t.Context(), "shop", up(2), func(n string) { d.notices <- n })
		waited <- err
	}()
	<-d.notices
	ended := make(chan func())
	go func() { _, release := d.takes(t, down(3)); ended <- release }()
	if got, want := <-d.notices, "ending: up of shop (process 4711), which waited for db to be healthy"; got != want {
		t.Errorf("it says %q, want %q", got, want)
	}
	<-held.Done()
	err := <-waited
	for _, err := range []error{context.Cause(held), err} {
		if err == nil || err.Error() != "ended by down of shop (process 3)" || errors.Is(err, context.Canceled) {
			t.Errorf("the cause is %v", err)
		}
	}
	select {
	case <-ended:
		t.Error("it does not wait until the holder has finished what it began")
	default:
	}
	release()
	(<-ended)()
}

func TestWhoGoesAwayLeavesTheLine(t *testing.T) {
	d := newLockDesk()
	_, release := d.takes(t, down(1))
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, _, err := d.take(ctx, "shop", up(2), func(n string) { d.notices <- n })
		gone <- err
	}()
	<-d.notices
	cancel()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	release()
	_, release = d.takes(t, up(3))
	release()
}

func TestWhatAWalkWaitsFor(t *testing.T) {
	d := newLockDesk()
	c := up(1)
	plan := &planner.Plan{Steps: []*planner.Step{
		{ID: "b", Action: planner.Build, Resource: "api"},
		{ID: "p", Action: planner.Pull, Resource: "redis:7"},
		{ID: "c", Action: planner.Await, Service: "job", Condition: spec.ServiceCompleted},
		{ID: "r", Action: planner.Await, Service: "web", Condition: planner.Ready},
		{ID: "u", Action: planner.Create, Resource: "web/1"},
	}}
	for _, s := range plan.Steps {
		d.note(c, plan, planner.Event{Step: s.ID, Kind: planner.Started})
	}
	d.note(c, plan, planner.Event{Step: "p", Kind: planner.Done})
	var texts []string
	for _, w := range c.waits {
		texts = append(texts, w.text)
	}
	want := []string{"built api", "waited for job to complete", "waited for web to be ready"}
	if !slices.Equal(texts, want) {
		t.Errorf("it waits for %s", strings.Join(texts, "; "))
	}
}
