package merge

import (
	"context"
	"sync"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/logs"
)

// machine is a source whose containers print nothing.
type machine struct {
	mu         sync.Mutex
	containers map[string]planner.State
	busy       map[string]chan struct{} // closed when nobody is at work on one any more
	asked      chan string              // is told who is waited for
	news       chan planner.Container
	over       chan struct{} // closed when nobody follows any more
}

func (m *machine) Containers(string) (list []planner.Container) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for id, state := range m.containers {
		list = append(list, planner.Container{ID: id, Service: id, State: state})
	}
	return list
}

func (m *machine) Log(string) *logs.Log { return nil }

func (m *machine) Idle(ctx context.Context, id string) error {
	if free := m.busy[id]; free != nil {
		m.asked <- id
		select {
		case <-free:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (m *machine) Watch(ctx context.Context, _ string, changed func(planner.Container, bool), synced func()) {
	for _, c := range m.Containers("") {
		changed(c, false)
	}
	synced()
	for {
		select {
		case c := <-m.news:
			changed(c, false)
		case <-ctx.Done():
			return
		}
	}
}

// set gives a container another state.
func (m *machine) set(id string, state planner.State) {
	m.mu.Lock()
	m.containers[id] = state
	m.mu.Unlock()
}

// tell has a container come to another state.
func (m *machine) tell(id string, state planner.State) {
	m.set(id, state)
	select {
	case m.news <- planner.Container{ID: id, Service: id, State: state}:
	case <-m.over: // a look that was under way has seen it
	}
}

func newMachine(states map[string]planner.State) *machine {
	return &machine{containers: states, busy: map[string]chan struct{}{}, asked: make(chan string), news: make(chan planner.Container)}
}

// follow follows the services, and tells when it is over.
func (m *machine) follow(t *testing.T, opts Options) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	opts.Follow, m.over = true, make(chan struct{})
	go func() {
		defer close(m.over)
		done <- Read(t.Context(), m, "shop", opts, func(logs.Line) error { return nil }, nil)
	}()
	return done
}

func TestFollowingEndsWithTheLastContainer(t *testing.T) {
	for name, test := range map[string]struct {
		states   map[string]planner.State
		services []string
		then     []planner.Container
	}{
		"all have ended":                   {map[string]planner.State{"web": planner.Exited, "db": planner.Exited}, nil, nil},
		"those that are followed":          {map[string]planner.State{"web": planner.Running, "db": planner.Exited}, []string{"db"}, nil},
		"there are none":                   {map[string]planner.State{}, nil, nil},
		"the last one ends":                {map[string]planner.State{"web": planner.Running, "db": planner.Exited}, nil, []planner.Container{{ID: "web", State: planner.Exited}}},
		"one is restarted before it ends":  {map[string]planner.State{"web": planner.Running}, nil, []planner.Container{{ID: "web", State: planner.Restarting}, {ID: "web", State: planner.Running}, {ID: "web", State: planner.Exited}}},
		"one that was made is to be begun": {map[string]planner.State{"web": planner.Created}, nil, []planner.Container{{ID: "web", State: planner.Running}, {ID: "web", State: planner.Exited}}},
	} {
		m := newMachine(test.states)
		done := m.follow(t, Options{Services: test.services, UntilEnded: true})
		for _, c := range test.then {
			select {
			case err := <-done:
				t.Fatalf("%s: it ends too early, %v", name, err)
			default:
			}
			m.tell(c.ID, c.State)
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestARestartIsNoEnd: who restarts a container is at work on it while it has ended.
func TestARestartIsNoEnd(t *testing.T) {
	m := newMachine(map[string]planner.State{"web": planner.Exited})
	free := make(chan struct{})
	m.busy["web"] = free
	done := m.follow(t, Options{UntilEnded: true})
	<-m.asked
	m.set("web", planner.Running)
	close(free)
	m.news <- planner.Container{ID: "web", State: planner.Running}
	select {
	case err := <-done:
		t.Fatalf("it ends, though the container runs again: %v", err)
	default:
	}
	m.busy["web"] = nil
	m.tell("web", planner.Exited)
	if err := <-done; err != nil {
		t.Error(err)
	}
}
