package wiring_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/runner/wiring"
	"github.com/orlop/orlop/spec"
)

// machine is a host with containers and networks, none of which is real.
type machine struct {
	t          *testing.T
	containers map[string]*supervisor.Record
	nets       map[string]topology.Record
	places     map[string]map[string]bool // container -> network -> attached, or detached
	order      []string                   // what was done
	fails      string                     // the call that fails
}

func newMachine(t *testing.T, networks ...string) *machine {
	m := &machine{t: t, containers: map[string]*supervisor.Record{}, nets: map[string]topology.Record{}, places: map[string]map[string]bool{}}
	for _, name := range networks {
		m.nets[name] = topology.Record{Project: "shop", Key: name, Applied: &spec.Network{}}
	}
	return m
}

// run adds a container of the stack that runs on networks.
func (m *machine) run(id string, networks ...string) {
	rec := &supervisor.Record{Metadata: supervisor.Metadata{ID: id, Name: id, Project: "shop", Service: id, Applied: &planner.Applied{Service: &spec.Service{}, Networks: map[string]string{}}}}
	m.containers[id], m.places[id] = rec, map[string]bool{}
	for _, name := range networks {
		rec.Applied.Networks[name], m.places[id][name] = name, true
	}
}

func (m *machine) wiring() *wiring.Wiring {
	return &wiring.Wiring{Host: m, Nets: m, Topology: m, Log: slog.New(slog.DiscardHandler)}
}

func (m *machine) does(what string) error {
	m.order = append(m.order, what)
	if what == m.fails {
		return errors.New(what + " fails")
	}
	return nil
}

func (m *machine) Containers(string) (list []planner.Container) {
	for id, rec := range m.containers {
		list = append(list, planner.Container{ID: id, Project: rec.Project, Service: rec.Service, Applied: rec.Applied, Networks: rec.NetworkNames()})
	}
	return list
}

func (m *machine) Hold(_ context.Context, id string, f func(supervisor.Record) error) error {
	if rec := m.containers[id]; rec != nil {
		return f(*rec)
	}
	return nil
}

func (m *machine) Readdress(id string) error { return m.does("readdress " + id) }

func (m *machine) Rewire(_ context.Context, id string, made supervisor.Metadata) error {
	if err := m.does("rewire " + id); err != nil {
		return err
	}
	m.containers[id].Metadata = made
	return nil
}

func (m *machine) Network(name string) (network.Network, bool) {
	_, ok := m.nets[name]
	return network.Network{Name: name}, ok
}

func (m *machine) Sandbox(id string) (network.SandboxState, bool) {
	_, ok := m.places[id]
	return network.SandboxState{ID: id}, ok
}

func (m *machine) Has(id, name string) bool { _, ok := m.places[id][name]; return ok }

func (m *machine) Join(_ context.Context, id string, to network.Endpoint) error {
	if m.Has(id, to.Network) {
		return errors.New("it is on this network already")
	}
	if err := m.does("join " + id + " " + to.Network); err != nil {
		return err
	}
	m.places[id][to.Network] = true
	return nil
}

func (m *machine) Leave(_ context.Context, id, name string) error {
	if err := m.does("leave " + id + " " + name); err != nil {
		return err
	}
	delete(m.places[id], name)
	return nil
}

func (m *machine) Detach(_ context.Context, id, name string) error {
	if m.Has(id, name) {
		m.places[id][name] = false
	}
	return nil
}

func (m *machine) Attach(_ context.Context, id, name string) (bool, error) {
	if m.Has(id, name) {
		m.places[id][name] = true
	}
	return false, nil
}

func (m *machine) Detached(name string) (ids []string) {
	for id, on := range m.places {
		if isAttached, ok := on[name]; ok && !isAttached {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (m *machine) Record(name string) (topology.Record, error) { return m.nets[name], nil }

func (m *machine) Check(string, topology.Record) error { return nil }

func (m *machine) Ensure(_ context.Context, name string, rec topology.Record) (network.Network, error) {
	if err := m.does("ensure " + name); err != nil {
		m.fails = "" // the next one, which brings back what was, does not
		return network.Network{}, err
	}
	m.nets[name] = rec
	return network.Network{Name: name}, nil
}

func (m *machine) Remove(_ context.Context, name string) error {
	for id, on := range m.places {
		if on[name] {
			m.t.Errorf("network %s is removed while %s is on it", name, id)
		}
	}
	delete(m.nets, name)
	return nil
}

// renew makes a network anew that is internal by now.
func (m *machine) renew(plan ...*planner.Step) error {
	s := &planner.Step{Action: planner.CreateNetwork, Resource: "back", Name: "back", Renewed: &spec.Network{}, Network: &spec.Network{Internal: true}}
	_, err := m.wiring().Create(m.t.Context(), &wiring.Order{Project: "shop", Plan: &planner.Plan{Steps: append(plan, s)}}, s)
	return err
}

// TestWhoIsOnANetworkComesBackToIt when that is made anew: who was brought there by hand, and
// who is, or may be, replaced by the plan. Who has a step for it waits for that.
func TestWhoIsOnANetworkComesBackToIt(t *testing.T) {
	for _, fails := range []string{"", "ensure back"} {
		m := newMachine(t, "front", "back")
		m.fails = fails
		m.run("db", "back")
		m.run("replaced", "back")
		m.run("visitor", "front")
		m.run("apart", "front")
		w := m.wiring()
		if err := w.Connect(t.Context(), "visitor", "back", nil); err != nil {
			t.Fatal(err)
		}
		if err := m.renew(&planner.Step{Action: planner.AttachNetwork, Name: "back", Container: "db"}); (err != nil) != (fails != "") {
			t.Fatal(err)
		}
		want := []string{"db"}
		if fails != "" { // the network is as it was, and the plan ends
			want = nil
		}
		if got := m.Detached("back"); !slices.Equal(got, want) {
			t.Errorf("where %q fails, off the network are %v, want %v", fails, got, want)
		}
		if m.Has("apart", "back") || m.nets["back"].Applied.Internal != (fails == "") {
			t.Errorf("where %q fails: %v, %+v", fails, m.places, m.nets["back"].Applied)
		}
		if err := w.Attach(t.Context(), "back", "db"); err != nil || len(m.Detached("back")) != 0 || m.order[len(m.order)-1] != "readdress db" {
			t.Errorf("it does not come back: %v, %v", err, m.order)
		}
	}
}

// TestAContainerIsOffAndOnANetworkInTurns, in whatever way, and an up has something to do only
// while it is off.
func TestAContainerIsOffAndOnANetworkInTurns(t *testing.T) {
	for what, asked := range map[string]*spec.ServiceNetwork{"as declared": nil, "in another way": {Aliases: []string{"other"}}} {
		m := newMachine(t, "back")
		m.run("db", "back")
		w, rec := m.wiring(), m.containers["db"]
		for range 2 {
			if err := w.Disconnect(t.Context(), "db", "back"); err != nil {
				t.Fatal(err)
			}
			if m.Has("db", "back") || !slices.Equal(rec.Left, []string{"back"}) || len(rec.NetworkNames()) != 0 {
				t.Errorf("%s: taken off, it is on %v, and has left %v", what, m.places, rec.Left)
			}
			if err := w.Connect(t.Context(), "db", "back", asked); err != nil {
				t.Fatal(err)
			}
			if err := w.Return(t.Context(), *rec); err != nil || len(rec.Left) != 0 || !slices.Equal(rec.NetworkNames(), []string{"back"}) {
				t.Errorf("%s: connected, it is on %v, and has left %v: %v", what, rec.NetworkNames(), rec.Left, err)
			}
		}
	}
}

// TestWhatReturnedIsNotedAtOnce: a failure at the next network takes nothing back.
func TestWhatReturnedIsNotedAtOnce(t *testing.T) {
	m := newMachine(t, "a", "b")
	m.run("db", "a", "b")
	w, rec := m.wiring(), m.containers["db"]
	for _, name := range []string{"a", "b"} {
		if err := w.Disconnect(t.Context(), "db", name); err != nil {
			t.Fatal(err)
		}
	}
	m.fails = "join db b"
	if err := w.Return(t.Context(), *rec); err == nil || !slices.Equal(rec.Left, []string{"b"}) {
		t.Errorf("it has left %v: %v", rec.Left, err)
	}
	m.fails = ""
	if err := w.Return(t.Context(), *rec); err != nil || len(rec.Left) != 0 || !m.places["db"]["b"] {
		t.Errorf("it has left %v: %v", rec.Left, err)
	}
}

// TestWhatIsCutOffCanBeDoneAgain: the machine and the record tell different things after it.
func TestWhatIsCutOffCanBeDoneAgain(t *testing.T) {
	for what, again := range map[string]func(*wiring.Wiring, *supervisor.Record) error{
		"connected": func(w *wiring.Wiring, _ *supervisor.Record) error {
			return w.Connect(t.Context(), "db", "back", nil)
		},
		"returned": func(w *wiring.Wiring, rec *supervisor.Record) error { return w.Return(t.Context(), *rec) },
	} {
		m := newMachine(t, "back")
		m.run("db", "back")
		w, rec := m.wiring(), m.containers["db"]
		if err := w.Disconnect(t.Context(), "db", "back"); err != nil {
			t.Fatal(err)
		}
		m.fails = "rewire db"
		if again(w, rec) == nil {
			t.Fatalf("%s: what could not be noted is no error", what)
		}
		m.fails = ""
		if err := again(w, rec); err != nil || len(rec.Left) != 0 || !m.places["db"]["back"] {
			t.Errorf("%s again, it has left %v and is on %v: %v", what, rec.Left, m.places, err)
		}
	}
	m := newMachine(t, "back")
	m.run("db", "back")
	w, rec := m.wiring(), m.containers["db"]
	m.fails = "leave db back"
	if w.Disconnect(t.Context(), "db", "back") == nil || len(rec.Left) != 0 {
		t.Errorf("who could not be taken off has left %v", rec.Left)
	}
}
