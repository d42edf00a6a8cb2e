package network

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// Join gives a sandbox a place on one more network while its programs run.
func (m *Manager) Join(_ context.Context, id string, to Endpoint) error {
	s, err := m.admit(id, to)
	if err != nil {
		return fmt.Errorf("cannot connect %s to network %s: %w", m.labelOf(id), to.Network, err)
	}
	m.awaitGuard()
	defer m.vacate(s)
	m.enlarge(s, to)
	// On record first, as detached: a link that a crash leaves is removed when adopted.
	if err = m.recordSandbox(s); err == nil {
		_, err = m.reattach(s, len(s.Endpoints)-1)
	}
	if err != nil {
		m.diminish(s, len(s.Endpoints)-1)
		return fmt.Errorf("cannot connect %s to network %s: %w", s.label(id), to.Network, errors.Join(err, m.recordSandbox(s)))
	}
	m.show(s)
	return nil
}

// show has a sandbox know the names of the networks that it is on by now.
func (m *Manager) show(s *sandbox) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.dns.Show(m.view(s))
}

// Leave takes a sandbox off a network for good, while its programs run.
func (m *Manager) Leave(ctx context.Context, id, network string) error {
	if err := m.Detach(ctx, id, network); err != nil {
		return err
	}
	s, i, err := m.occupy(id, network)
	if err == nil && s == nil {
		err = errors.New("it is not on this network")
	}
	if err != nil {
		return fmt.Errorf("cannot disconnect %s from network %s: %w", m.labelOf(id), network, err)
	}
	m.awaitGuard()
	defer m.vacate(s)
	m.diminish(s, i)
	m.show(s)
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

// admit marks a sandbox as being changed that may get a place on a network.
func (m *Manager) admit(id string, to Endpoint) (*sandbox, error) {
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
	case s.place(to.Network) >= 0:
		return nil, errors.New("it is on this network already")
	}
	if to.Interface != "" && s.hasLink(to.Interface) {
		return nil, fmt.Errorf("one of its links is called %s already", to.Interface)
	}
	s.busy, s.seen = true, false
	return s, nil
}

// enlarge enters a place on a network in a sandbox's books, without a link yet. The guard
// has let go of it.
func (m *Manager) enlarge(s *sandbox, to Endpoint) {
	m.mu.Lock()
	defer m.mu.Unlock()
	inside, prefix := to.Interface, InterfacePrefix
	if n := m.networks[to.Network]; n != nil && n.InterfacePrefix != "" {
		prefix = n.InterfacePrefix
	}
	for number := 0; inside == ""; number++ {
		if name := fmt.Sprintf("%s%d", prefix, number); !s.hasLink(name) {
			inside = name
		}
	}
	s.Spec.Endpoints = append(slices.Clone(s.Spec.Endpoints), to)
	s.Endpoints = append(slices.Clone(s.Endpoints), endpoint{Network: to.Network, Link: m.newLinkNameLocked("v"), Inside: inside, Detached: true})
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
	left := slices.Clone(s.Endpoints)
	for at := range left { // their names must not change with their numbers
		left[at].Inside = s.inside(at)
	}
	s.Spec.Endpoints = slices.Delete(slices.Clone(s.Spec.Endpoints), i, i+1)
	s.Endpoints = slices.Delete(left, i, i+1)
}
