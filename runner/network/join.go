package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// ErrNotConnected is the error of Leave for a sandbox that is not on the network.
var ErrNotConnected = errors.New("it is not on this network")

// Join gives a sandbox a place on one more network while its programs run.
func (m *Manager) Join(_ context.Context, id string, to Endpoint) error {
	s, err := m.enlarge(id, to)
	if err != nil {
		return fmt.Errorf("cannot connect %s to network %s: %w", m.labelOf(id), to.Network, err)
	}
	m.awaitGuard()
	defer m.vacate(s)
	// On record first, as detached: a link that a crash leaves is removed when adopted.
	if err = m.recordSandbox(s); err == nil {
		_, err = m.reattach(s, len(s.Endpoints)-1)
	}
	if err != nil {
		m.diminish(s, len(s.Endpoints)-1)
		return fmt.Errorf("cannot connect %s to network %s: %w", s.label(id), to.Network, errors.Join(err, m.recordSandbox(s)))
	}
	return nil
}

// Leave takes a sandbox off a network for good, while its programs run.
func (m *Manager) Leave(ctx context.Context, id, network string) error {
	if err := m.Detach(ctx, id, network); err != nil {
		return err
	}
	s, i, err := m.occupy(id, network)
	if err == nil && s == nil {
		err = ErrNotConnected
	}
	if err != nil {
		return fmt.Errorf("cannot disconnect %s from network %s: %w", m.labelOf(id), network, err)
	}
	m.awaitGuard()
	defer m.vacate(s)
	m.diminish(s, i)
	return m.recordSandbox(s)
}

func (m *Manager) labelOf(id string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.sandboxes[id]; s != nil {
		return s.label(id)
	}
	return id
}

// enlarge enters a place on a network in a sandbox's books, without a link yet, and marks
// the sandbox as being changed.
func (m *Manager) enlarge(id string, to Endpoint) (*sandbox, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, n := m.sandboxes[id], m.networks[to.Network]
	switch {
	case s == nil:
		return nil, errors.New("it has no network of its own")
	case n == nil:
		return nil, errors.New("there is no such network")
	case s.busy || !s.Ready:
		return nil, errors.New("it is just being connected or disconnected: try again")
	case slices.ContainsFunc(s.Endpoints, func(e endpoint) bool { return e.Network == to.Network }):
		return nil, errors.New("it is on this network already")
	}
	inside := to.Interface
	for number := 0; inside == ""; number++ {
		prefix := n.InterfacePrefix
		if prefix == "" {
			prefix = InterfacePrefix
		}
		if name := fmt.Sprintf("%s%d", prefix, number); !s.hasInside(name) {
			inside = name
		}
	}
	if to.Interface != "" && s.hasInside(inside) {
		return nil, fmt.Errorf("one of its links is called %s already", inside)
	}
	s.busy, s.seen = true, false
	// Others may be reading what was there.
	s.Spec.Endpoints = append(slices.Clone(s.Spec.Endpoints), to)
	s.Endpoints = append(slices.Clone(s.Endpoints), endpoint{Network: to.Network, Link: m.newLinkNameLocked("v"), Inside: inside, Detached: true})
	return s, nil
}

func (s *sandbox) hasInside(name string) bool {
	for i := range s.Endpoints {
		if s.inside(i) == name {
			return true
		}
	}
	return false
}

// diminish takes a place that has no link out of a sandbox's books.
func (m *Manager) diminish(s *sandbox, i int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := s.Endpoints[i]
	if n := m.networks[e.Network]; n != nil {
		n.give(e)
	}
	delete(m.linkNames, e.Link)
	for at := range s.Endpoints { // their names must not change with their numbers
		s.Endpoints[at].Inside = s.inside(at)
	}
	s.Spec.Endpoints = slices.Delete(slices.Clone(s.Spec.Endpoints), i, i+1)
	s.Endpoints = slices.Delete(slices.Clone(s.Endpoints), i, i+1)
}
