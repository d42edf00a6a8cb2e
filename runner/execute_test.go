package runner

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/assembly"
	"github.com/orlop/orlop/runner/ports"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// site is an engine with an image, and a plan's steps carried out on it.
type site struct {
	*testing.T
	h *host
	r *Runner
	o *Order
}

func newSite(t *testing.T) *site {
	t.Helper()
	h := newHost(t)
	h.addImage(t, "web:1")
	s := &site{T: t, h: h, r: h.engine(t), o: &Order{Project: "shop", Images: map[string]string{"web": "web:1"}}}
	t.Cleanup(func() {
		for _, c := range s.r.Containers("") {
			_ = s.r.lookup(c.ID).remove(s.r.ctx, Grace{Set: true}, true)
		}
		s.r.Close()
	})
	return s
}

// wanted is a document of a service on the host's network.
func wanted(change func(*spec.Service)) *planner.Applied {
	s := &spec.Service{Image: "web:1", NetworkMode: "host", Restart: "always"}
	if change != nil {
		change(s)
	}
	return &planner.Applied{Service: s}
}

func (s *site) execute(ctx context.Context, step *planner.Step) error {
	step.Service, step.Number = "web", 1
	_, err := s.r.Execute(ctx, s.o, step, func(planner.Event) {})
	return err
}

// only is the one container that is there.
func (s *site) only() planner.Container {
	s.Helper()
	list := s.r.Containers("shop")
	if len(list) != 1 || len(s.r.allRecords()) != 1 {
		s.Fatalf("there are %+v", list)
	}
	return list[0]
}

// up makes the container, which runs.
func (s *site) up(want *planner.Applied) planner.Container {
	s.Helper()
	must(s.T, s.execute(s.r.ctx, &planner.Step{Action: planner.Create, Applied: want}))
	c := s.only()
	if c.State != planner.Running {
		s.Fatalf("it is %s", c.State)
	}
	return c
}

// left says what containerd and the directories have of containers.
func (s *site) left() int {
	list, err := s.h.containers.List(s.r.ctx)
	must(s.T, err)
	docs, _ := s.h.store.Load(record.Bucket)
	s.h.procs.mu.Lock()
	defer s.h.procs.mu.Unlock()
	return len(list) + len(docs) + len(s.h.procs.all)
}

func TestAContainerThatIsMadeIsOnRecord(t *testing.T) {
	s := newSite(t)
	c := s.up(wanted(func(k *spec.Service) { k.Labels = map[string]string{"a": "b"} }))
	if c.Applied.Image == "" || c.PID == 0 || !slices.Equal(c.Command, []string{"sleep", "600"}) || c.Name != "shop-web-1" {
		t.Errorf("it is %+v", c)
	}
	k, err := s.h.containers.Get(s.r.ctx, c.ID)
	must(t, err)
	rec, err := supervisor.ReadRecord(&k, s.h.store.docs[record.Bucket][c.ID])
	must(t, err)
	if rec.State != planner.Running || !rec.Wanted || rec.Applied.Image != c.Applied.Image || k.Labels["a"] != "b" || k.Labels[supervisor.LabelService] != "web" {
		t.Errorf("its record is %+v, its labels are %v", rec, k.Labels)
	}
	if use, err := s.r.Inventory().DiskUse(s.r.ctx, "shop"); use != 7 || err != nil {
		t.Errorf("it takes %d, %v", use, err)
	}
}

func TestAContainerThatCannotStartLeavesNothing(t *testing.T) {
	for name, refuse := range map[string]func(p *processes){
		"no task":    func(p *processes) { p.refusal = errors.New("no such program") },
		"no process": func(p *processes) { p.failure = errors.New("no such program") },
	} {
		s := newSite(t)
		refuse(s.h.procs)
		if err := s.execute(s.r.ctx, &planner.Step{Action: planner.Create, Applied: wanted(nil)}); err == nil || !strings.Contains(err.Error(), "no such program") {
			t.Errorf("%s: %v", name, err)
		}
		if n := s.left(); n > 0 || len(s.r.Containers("")) > 0 {
			t.Errorf("%s: %d things are left", name, n)
		}
	}
}

func TestAChangeInPlaceLeavesTheProcessAlone(t *testing.T) {
	s := newSite(t)
	before := s.up(wanted(nil))
	want := wanted(func(k *spec.Service) {
		k.Labels, k.Restart, k.StopSignal = map[string]string{"colour": "blue"}, "no", "SIGINT"
		k.HealthCheck = &spec.HealthCheck{Test: []string{"CMD", "true"}}
	})
	must(t, s.execute(s.r.ctx, &planner.Step{Action: planner.Update, Container: before.ID, Applied: want}))
	after := s.only()
	if after.ID != before.ID || after.PID != before.PID || after.Applied.Image != before.Applied.Image || after.Health != planner.Starting {
		t.Errorf("it is %+v, was %+v", after, before)
	}
	// The next engine goes by it, too.
	s.r.Close()
	s.r = s.h.engine(t)
	must(t, s.r.adopt(s.r.ctx))
	rec := s.r.allRecords()[0]
	if rec.Applied.Service.Labels["colour"] != "blue" || rec.StopSignal != "SIGINT" || rec.Probe == nil || rec.State != planner.Running {
		t.Errorf("the next engine has %+v", rec)
	}
	s.h.procs.end(t, before.ID)
	s.r.awaitState(t, before.ID, "exited, without a policy to restart it", in(planner.Exited))
}

// What can't be changed does not count as applied.
func TestAChangeInPlaceThatFailsIsUndone(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer taken.Close()
	_, port, _ := net.SplitHostPort(taken.Addr().String())
	s := newSite(t)
	before := s.up(wanted(nil))
	want := wanted(func(k *spec.Service) {
		k.Restart, k.NetworkMode = "no", "" // on the host's network nothing is published
		k.Ports = []spec.Port{{Target: 80, HostIP: "127.0.0.1", Published: port, Protocol: "tcp"}}
	})
	if err := s.execute(s.r.ctx, &planner.Step{Action: planner.Update, Container: before.ID, Applied: want}); err == nil {
		t.Fatal("a port that another has was published")
	}
	if after := s.only(); after.Applied.Service.Restart != "always" || len(after.Published) > 0 || after.PID != before.PID {
		t.Errorf("it is %+v", after)
	}
	k, err := s.h.containers.Get(s.r.ctx, before.ID)
	must(t, err)
	if rec, err := supervisor.ReadRecord(&k, nil); err != nil || rec.Applied.Service.Restart != "always" {
		t.Errorf("kept is %+v, %v", rec.Applied, err)
	}
}

func TestOneContainerInThePlaceOfAnother(t *testing.T) {
	for name, test := range map[string]struct {
		overlap bool
		fail    func(p *processes)
		err     string
	}{
		"stop first":                             {false, nil, ""},
		"start first":                            {true, nil, ""},
		"stop first, no task":                    {false, func(p *processes) { p.refusal = errors.New("no such program") }, "the old container stays"},
		"start first, no task":                   {true, func(p *processes) { p.refusal = errors.New("no such program") }, "no such program"},
		"stop first, and then it does not start": {false, func(p *processes) { p.failure = errors.New("no such program") }, "no such program"},
	} {
		s := newSite(t)
		before := s.up(wanted(nil))
		if test.fail != nil {
			test.fail(s.h.procs)
		}
		step := &planner.Step{Action: planner.Replace, Container: before.ID, Overlap: test.overlap, Applied: wanted(func(k *spec.Service) { k.Labels = map[string]string{"v": "2"} })}
		err := s.execute(s.r.ctx, step)
		after := s.only()
		switch {
		case after.State != planner.Running:
			t.Errorf("%s: it is %s", name, after.State)
		case test.err == "" && (err != nil || after.ID == before.ID || after.Applied.Service.Labels["v"] != "2"):
			t.Errorf("%s: %v, %+v", name, err, after)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err) || after.ID != before.ID):
			t.Errorf("%s: %v, %+v", name, err, after)
		}
		if n := s.left(); n != 3 { // container, record, process
			t.Errorf("%s: %d things are left", name, n)
		}
	}
}

// A replacement that waits for the new one to be ready gives up with its
// caller, and the old one has never noticed. Whoever waits behind it can give
// up, too.
func TestAStartFirstReplacementThatWaits(t *testing.T) {
	s := newSite(t)
	before := s.up(wanted(nil))
	ctx, cancel := context.WithCancelCause(s.r.ctx)
	sick := wanted(func(k *spec.Service) {
		k.HealthCheck = &spec.HealthCheck{Test: []string{"CMD", "false"}}
	})
	replaced := make(chan error, 1)
	go func() {
		replaced <- s.execute(ctx, &planner.Step{Action: planner.Replace, Container: before.ID, Overlap: true, Applied: sick})
	}()
	s.awaitOther(before.ID)
	gaveUp := errors.New("no, leave it")
	behind, leave := context.WithCancelCause(s.r.ctx)
	leave(gaveUp)
	if err := s.execute(behind, &planner.Step{Action: planner.Stop, Container: before.ID}); !errors.Is(err, gaveUp) {
		t.Errorf("a stop that was given up: %v", err)
	}
	stopped := errors.New("stopped")
	cancel(stopped)
	if err := <-replaced; !errors.Is(err, stopped) {
		t.Errorf("the replacement: %v", err)
	}
	if after := s.only(); after.ID != before.ID || after.PID != before.PID || after.State != planner.Running {
		t.Errorf("the old one is %+v", after)
	}
}

func TestStartStopRestartRemove(t *testing.T) {
	s := newSite(t)
	must(t, s.execute(s.r.ctx, &planner.Step{Action: planner.Create, Applied: wanted(nil), NoStart: true}))
	c := s.only()
	if c.State != planner.Created || c.PID != 0 {
		t.Fatalf("it is %+v", c)
	}
	do := func(action planner.Action, state planner.State) planner.Container {
		t.Helper()
		must(t, s.execute(s.r.ctx, &planner.Step{Action: action, Container: c.ID}))
		got := s.only()
		if got.State != state {
			t.Errorf("after a %s it is %s", action, got.State)
		}
		return got
	}
	do(planner.Start, planner.Running)
	if got := do(planner.Stop, planner.Exited); !got.Stopped || got.ExitCode != 143 {
		t.Errorf("stopped is %+v", got)
	}
	first := do(planner.Start, planner.Running)
	s.h.procs.end(t, c.ID)
	s.r.awaitState(t, c.ID, "running again", func(k planner.Container) bool { return k.State == planner.Running && k.Restarts == 1 })
	if got := do(planner.Restart, planner.Running); got.PID == first.PID || got.Restarts != 0 || got.Stopped {
		t.Errorf("restarted is %+v", got)
	}
	if got := do(planner.Kill, planner.Exited); !got.Stopped {
		t.Errorf("killed is %+v", got)
	}
	must(t, s.execute(s.r.ctx, &planner.Step{Action: planner.Remove, Container: c.ID}))
	if n := s.left(); n > 0 {
		t.Errorf("%d things are left", n)
	}
	for _, action := range []planner.Action{planner.Start, planner.Stop, planner.Remove} {
		if err := s.execute(s.r.ctx, &planner.Step{Action: action, Container: c.ID}); err != nil {
			t.Errorf("%s of what is gone: %v", action, err)
		}
	}
	if err := s.execute(s.r.ctx, &planner.Step{Action: planner.Update, Container: c.ID, Applied: wanted(nil)}); err == nil {
		t.Error("a change of what is gone succeeds")
	}
}

func TestAwaitEndsWithTheCondition(t *testing.T) {
	s := newSite(t)
	await := func(condition string) chan error {
		done := make(chan error, 1)
		go func() { done <- s.execute(s.r.ctx, &planner.Step{Action: planner.Await, Condition: condition}) }()
		return done
	}
	begun := await(spec.ServiceStarted)
	c := s.up(wanted(func(k *spec.Service) { k.Restart = "no" }))
	must(t, <-begun)
	must(t, <-await(planner.Ready))
	completed := await(spec.ServiceCompleted)
	s.h.procs.end(t, c.ID)
	if err := <-completed; err == nil || !strings.Contains(err.Error(), "exited with code 137") {
		t.Errorf("what was to complete, and was killed: %v", err)
	}
	failed := s.r.Verify("shop", []*planner.Step{{ID: "up", Service: "web", Number: 1, Action: planner.Create}, {ID: "other", Service: "db", Number: 1, Action: planner.Create}})
	if len(failed) != 1 || failed["up"] == nil {
		t.Errorf("failed are %v", failed)
	}
	s.r.Steady(s.r.ctx, "shop")
}

func TestOneOffs(t *testing.T) {
	s := newSite(t)
	req := assembly.Request{Project: "shop", Service: "web", Image: "web:1", OneOff: true, AutoRemove: true, Applied: wanted(func(k *spec.Service) { k.Restart = "" })}
	waits, err := s.r.CreateOneOff(s.r.ctx, req, spec.Places{}, false)
	must(t, err)
	runs, err := s.r.CreateOneOff(s.r.ctx, req, spec.Places{}, true)
	must(t, err)
	if waits.Name == runs.Name || !strings.HasPrefix(runs.Name, "shop-web-run-") {
		t.Errorf("their names are %s, %s", waits.Name, runs.Name)
	}
	s.r.Abandon(s.r.ctx, runs.ID) // it runs: it is not removed before its end
	if got := s.one(runs.ID); got.State != planner.Running {
		t.Errorf("one that runs is %s", got.State)
	}
	s.r.Abandon(s.r.ctx, waits.ID)
	if s.r.lookup(waits.ID) != nil {
		t.Error("one that nobody is to start any more is left")
	}
	over := s.r.lookup(runs.ID).over
	s.h.procs.end(t, runs.ID)
	<-over
	if n := s.left(); n > 0 {
		t.Errorf("%d things are left", n)
	}
	// One that ended while no engine was there goes when the next one starts.
	runs, err = s.r.CreateOneOff(s.r.ctx, req, spec.Places{}, true)
	must(t, err)
	s.r.cancel()
	s.h.procs.end(t, runs.ID)
	s.r.Close()
	s.r = s.h.engine(t)
	must(t, s.r.adopt(s.r.ctx))
	s.r.autoRemoveAll(s.r.ctx)
	s.awaitGone(runs.ID)
	if n := s.left(); n > 0 {
		t.Errorf("%d things are left by the next engine", n)
	}
}

// awaitOther waits until there is another container than the one.
func (s *site) awaitOther(id string) {
	ctx, cancel := context.WithCancel(s.r.ctx)
	s.r.Watch(ctx, "shop", func(c planner.Container, _ bool) {
		if c.ID != id {
			cancel()
		}
	}, func() {
		if len(s.r.allRecords()) > 1 {
			cancel()
		}
	})
}

// awaitGone waits until a container is removed.
func (s *site) awaitGone(id string) {
	ctx, cancel := context.WithCancel(s.r.ctx)
	s.r.Watch(ctx, "shop", func(c planner.Container, removed bool) {
		if removed && c.ID == id {
			cancel()
		}
	}, func() {
		if s.r.lookup(id) == nil {
			cancel()
		}
	})
}

// one is a container by its ID.
func (s *site) one(id string) planner.Container {
	s.Helper()
	for _, c := range s.r.Containers("shop") {
		if c.ID == id {
			return c
		}
	}
	s.Fatalf("%s is gone", id)
	return planner.Container{}
}

func TestWhatExistsOfAProjectIsObserved(t *testing.T) {
	s := newSite(t)
	c := s.up(wanted(nil))
	o, err := s.r.Observe(s.r.ctx, "shop", &spec.Project{Name: "shop"}, func(string) *planner.Inputs { return nil })
	must(t, err)
	if len(o.Containers) != 1 || o.Containers[0].ID != c.ID {
		t.Errorf("observed are %+v", o.Containers)
	}
	infos := s.r.Projects()
	if len(infos) != 1 || infos[0].Name != "shop" || infos[0].Running != 1 || infos[0].Exited != 0 {
		t.Errorf("the projects are %+v", infos)
	}
}

// TestSourcesAreLookedAtForWhoIsMade: a look at one takes for ever where its file server is
// gone, so nobody else has one: not ps, stop, kill or down, and no other service.
func TestSourcesAreLookedAtForWhoIsMade(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir() + "/dir"
	must(t, os.Mkdir(dir, 0o700))
	mounts := []spec.Mount{{Type: spec.MountBind, Source: dir, Target: "/x"}}
	s.up(wanted(func(s *spec.Service) { s.Volumes = mounts }))
	must(t, os.Remove(dir))
	p := &spec.Project{Name: "shop", Services: map[string]*spec.Service{
		"web": {Image: "web:1", Volumes: mounts}, "other": {Image: "web:1", Volumes: []spec.Mount{{Type: spec.MountBind, Source: "/no/such"}, {Type: spec.MountBind, Source: "/"}}},
	}}
	o, err := s.r.Observe(s.r.ctx, "shop", p, func(string) *planner.Inputs { return nil })
	must(t, err)
	for _, test := range []struct{ services, absent, turned []string }{
		{nil, nil, nil}, // before any look
		{[]string{"other"}, []string{"/no/such"}, nil},
		{[]string{"other", "web"}, []string{"/no/such", dir}, []string{"/x"}},
	} {
		if len(test.services) > 0 {
			s.r.ObserveSources(o, p, test.services)
		}
		turned := slices.Sorted(maps.Keys(o.Containers[0].Turned))
		if len(o.Containers) != 1 || !slices.Equal(o.Absent, test.absent) || !slices.Equal(turned, test.turned) {
			t.Errorf("for %v: absent are %v, turned %v, want %v, %v", test.services, o.Absent, turned, test.absent, test.turned)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// deafListeners can't say which ports are open.
type deafListeners struct{ ports.Listeners }

func (deafListeners) Ports(context.Context) ([]keeper.PortState, error) {
	return nil, errors.New("too many open files")
}

func TestWhatCanNotBeLookedAtKeepsNobodyFromStopping(t *testing.T) {
	s := newSite(t)
	s.up(wanted(nil))
	s.r.ports = ports.New(deafListeners{s.r.Ports}, s.r.Instances)
	o, err := s.r.Observe(s.r.ctx, "shop", nil, func(string) *planner.Inputs { return nil })
	must(t, err)
	unknown := s.r.ObserveLosses(s.r.ctx, o)
	if len(unknown) != 1 || !strings.Contains(unknown[0], "published ports is lost: too many open files") || len(o.Containers[0].Lost) != 0 {
		t.Errorf("not known is %q, lost %q", unknown, o.Containers[0].Lost)
	}
}
