package runner

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/spec"
)

// alone is a Runner without containerd: for what needs no container.
func alone(t *testing.T) *Runner {
	t.Helper()
	held := keeper.InProcess()
	r := &Runner{
		Config:     Config{Root: t.TempDir(), State: t.TempDir(), Now: time.Now, Ports: held, Keeping: held},
		nets:       &network.Manager{},
		store:      newMemory(),
		log:        slog.New(slog.DiscardHandler),
		containers: map[string]*container{}, watchers: map[*watcher]struct{}{},
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	t.Cleanup(r.Close)
	return r
}

func of(state planner.State, restart string) *record {
	return &record{ID: newID(), Project: "shop", Service: "web", Name: "shop-web-1", State: state, Wanted: true, Health: planner.Healthy,
		Applied: &planner.Applied{Service: &spec.Service{Restart: restart}}}
}

func TestNothingBeginsOnceTheRunnerIsClosed(t *testing.T) {
	r := alone(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 100 {
				r.wg.Go(func() {})
			}
		})
	}
	r.Close()
	all.Wait()
	began := make(chan struct{})
	r.wg.Go(func() { close(began) })
	select {
	case <-began:
		t.Error("something begins that nobody waits for")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestAStopThatWaitsForAnotherCommandCanBeCancelled(t *testing.T) {
	r := alone(t)
	rec := of(planner.Created, "")
	c := r.newContainer(rec, nil, false)
	must(t, c.op.Lock(t.Context())) // as a replacement does until the new container is ready
	defer c.op.Unlock()
	asked := errors.New("no, leave it")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := r.Carry(ctx, &Order{Project: "shop"}, &planner.Step{Action: planner.Stop, Container: rec.ID}, nil)
		done <- err
	}()
	cancel(asked)
	select {
	case err := <-done:
		if !errors.Is(err, asked) {
			t.Errorf("%v", err)
		}
	case <-time.After(2 * time.Second):
		t.Fatal("it waits on")
	}
}
