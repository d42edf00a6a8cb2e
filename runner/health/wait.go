package health

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
)

// Containers are those of a project, as somebody knows them.
type Containers struct {
	List func() []planner.Container
	// Watch calls changed with the state of each one and each new one, and synced after
	// the first, until ctx ends.
	Watch func(ctx context.Context, changed func(c planner.Container, removed bool), synced func())
	Now   func() time.Time
}

// Await waits until the containers of a step's service meet its condition, and says how
// they do. It watches their changes; it asks nobody. refused is the error of a condition
// that can't be met any more, for one; note gets what is waited for.
func (all Containers) Await(ctx context.Context, s *planner.Step, refused func(error) error, note func(text string)) (met string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var timer *time.Timer
	done, begun := errors.New("met"), time.Time{} // it begins with the first look
	var check func()
	check = func() {
		mu.Lock()
		defer mu.Unlock()
		text, wait, err := Awaited(all.List(), s, &begun, all.Now())
		switch {
		case err != nil:
			cancel(refused(err))
		case wait == 0:
			met = text
			cancel(done)
		case wait > 0 && timer == nil:
			timer = time.AfterFunc(wait, func() { mu.Lock(); timer = nil; mu.Unlock(); check() })
		default:
			note(text)
		}
	}
	all.Watch(ctx, func(c planner.Container, _ bool) {
		if c.Service == s.Service {
			check()
		}
	}, check)
	mu.Lock()
	defer mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	if err := context.Cause(ctx); !errors.Is(err, done) {
		return "", err
	}
	return met, nil
}

// Steady waits until each container that has no health check has run for a while, or
// does not run any more.
func (all Containers) Steady(ctx context.Context) {
	for {
		var left time.Duration
		for _, c := range all.List() {
			if !c.OneOff && c.State == planner.Running && c.Health == planner.NoHealth {
				left = max(left, SteadyRun-all.Now().Sub(c.StartedAt))
			}
		}
		if left <= 0 {
			return
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
