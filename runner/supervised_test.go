package runner

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"testing"
	"time"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// alone is a Runner without containerd: for what needs no container.
func alone(t *testing.T) *Runner {
	t.Helper()
	held := keeper.InProcess()
	r := newRunner(context.Background(), Config{
		Networks: &network.Manager{}, Store: newMemory(), Ports: held, Keeping: held,
		Root: t.TempDir(), State: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(r.Close)
	return r
}

// stored is the record of a container in the store.
func stored(t *testing.T, r *Runner, id string) supervisor.Record {
	t.Helper()
	docs, err := r.Store.Load(record.Bucket)
	must(t, err)
	var rec supervisor.Record
	must(t, json.Unmarshal(docs[id], &rec))
	return rec
}

func of(state planner.State, restart string) *supervisor.Record {
	return &supervisor.Record{
		Metadata: supervisor.Metadata{ID: supervisor.NewID(), Project: "shop", Service: "web", Name: "shop-web-1", Applied: &planner.Applied{Service: &spec.Service{Restart: restart}}},
		Status:   supervisor.Status{State: state, Wanted: true, Health: planner.Healthy},
	}
}

func TestWhatIsKilledIsSavedAsStopped(t *testing.T) {
	r := alone(t)
	rec := of(planner.Restarting, "always")
	r.newContainer(rec, nil, false)
	r.KillAll(t.Context(), "shop")
	if got := stored(t, r, rec.ID); got.Wanted || !got.Stopped {
		t.Errorf("saved is %+v", got)
	}
}

func TestARestartIsSavedBeforeItIsTried(t *testing.T) {
	r := alone(t)
	rec := of(planner.Restarting, "always")
	c := r.newContainer(rec, nil, false)
	task := &deadTask{seen: make(chan int, 1), look: func() int { return stored(t, r, rec.ID).Restarts }, end: r.ctx.Done()}
	c.task = task
	c.apply(supervisor.BackOffOver{})
	if got := <-task.seen; got != 1 {
		t.Errorf("while it was tried, %d restarts were saved", got)
	}
}

// deadTask is a process that can't be started before the engine ends: there is no
// other to be tried after it.
type deadTask struct {
	containerd.Task
	look func() int
	seen chan int
	end  <-chan struct{}
}

func (d *deadTask) Wait(context.Context) (<-chan containerd.ExitStatus, error) {
	d.seen <- d.look()
	<-d.end
	return nil, context.Canceled
}

func (d *deadTask) Delete(context.Context, ...containerd.ProcessDeleteOpts) (*containerd.ExitStatus, error) {
	return nil, nil
}

func TestAHealthCheckThatIsTakenAwayIsSaved(t *testing.T) {
	r := alone(t)
	rec := of(planner.Running, "")
	c := r.newContainer(rec, nil, false)
	c.apply(supervisor.Updated{})
	if got := stored(t, r, rec.ID); got.Health != planner.NoHealth {
		t.Errorf("saved is %q", got.Health)
	}
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
		_, err := r.Execute(ctx, &Order{Project: "shop"}, &planner.Step{Action: planner.Stop, Container: rec.ID}, nil)
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

// Its caller's patience bounds the wait for another command, and not the work.
func TestAStopThatHasBegunIsFinished(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	c := h.add(t, r, of(planner.Created, "always"))
	c.made.StopSignal = "SIGWINCH" // it goes on until it is killed
	must(t, c.start(r.ctx))
	ctx, cancel := context.WithCancel(r.ctx)
	done := make(chan error, 1)
	go func() {
		_, err := r.Execute(ctx, &Order{Project: "shop", Grace: Grace{Set: true, Time: time.Minute}}, &planner.Step{Action: planner.Stop, Container: c.id}, nil)
		done <- err
	}()
	r.awaitState(t, c.id, "stopping", in(planner.Stopping))
	cancel()
	h.procs.end(t, c.id)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWhatIsSavedLastIsTheState(t *testing.T) {
	r := alone(t)
	c := r.newContainer(of(planner.Created, "no"), nil, false) // containerd has nothing to start again
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 50 {
				at := time.Unix(int64(i*50+n), 0).UTC()
				for _, e := range []supervisor.Event{
					supervisor.Started{At: at}, supervisor.StopAsked{ByUser: n%2 == 0}, supervisor.Exited{Code: n, At: at, Now: at},
					supervisor.Connected{Addresses: []string{at.String()}},
				} {
					c.apply(e)
					c.observe()
				}
			}
		})
	}
	all.Wait()
	c.apply(supervisor.StopAsked{ByUser: true})
	if got, want := stored(t, r, c.id).Status, c.snapshot().Status; !reflect.DeepEqual(got, want) {
		t.Errorf("saved is %+v, the state is %+v", got, want)
	}
}

// stuck is a keeper that does not answer before it is let go.
type stuck struct {
	ports.Listeners
	asked chan struct{}
	gone  chan struct{}
}

func (s *stuck) Route(context.Context, string, keeper.Route) error {
	s.asked <- struct{}{}
	<-s.gone
	return errors.New("the keeper is gone")
}

// An event that the keeper holds up keeps nobody alive, neither its own container
// nor those after it.
func TestWhatIsKilledDoesNotWaitForTheKeeper(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	held := &stuck{Listeners: h.ports, asked: make(chan struct{}, 100), gone: make(chan struct{})}
	r.ports = ports.New(held, r.Instances)
	var list []*task
	var ids []string
	for _, service := range []string{"api", "web"} {
		rec := of(planner.Created, "always")
		rec.Service, rec.Name = service, "shop-"+service+"-1"
		rec.Applied.Service.Ports = []spec.Port{{Target: 80}} // wherever one is free: both are bound
		rec.Published = []planner.Binding{{HostPort: 80}}
		c := h.add(t, r, rec)
		ids = append(ids, c.id)
		r.wg.Go(func() { _ = c.start(r.ctx) })
		<-held.asked // its start is being told
		k, err := h.procs.of(c.id)
		must(t, err)
		list = append(list, k)
	}
	killed := make(chan struct{})
	go func() { r.KillAll(r.ctx, "shop"); close(killed) }()
	for _, k := range list {
		select {
		case <-k.ended:
		case <-time.After(3 * time.Second):
			t.Error("a process goes on while the keeper does not answer")
		}
	}
	close(held.gone)
	<-killed
	for _, id := range ids {
		if got := r.awaitState(t, id, "exited", in(planner.Exited)); !got.Stopped {
			t.Errorf("it is %+v", got)
		}
	}
}
