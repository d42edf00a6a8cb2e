package network

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"regexp"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/runner/network/kernel"
	"github.com/orlop/orlop/runner/network/nameserver"
	"github.com/orlop/orlop/runner/network/netns"
)

// Sandbox is a network namespace to be.
type Sandbox struct {
	// Names resolve to this sandbox on every network that it is on: the name
	// of its container and service. Its id, cut to twelve characters, does too.
	Names []string `json:"names,omitempty"`
	// Endpoints are its links: eth0, eth1 and so on. Without any there is only lo.
	Endpoints []Endpoint `json:"endpoints,omitempty"`
	// ExtraHosts are more names that resolve in this sandbox alone.
	ExtraHosts map[string][]netip.Addr `json:"extraHosts,omitempty"`
	// Links are more names that resolve in this sandbox alone, to whoever has one of
	// those that each stands for on a network that both are on: the first one that
	// anybody has.
	Links map[string][]string `json:"links,omitempty"`
	// DNS asks for a name server at NameServer.
	DNS bool `json:"dns,omitempty"`
	// Resolvers are asked for names of the outside, from the sandbox's own network
	// namespace, in place of the host's.
	Resolvers []netip.Addr `json:"resolvers,omitempty"`
	// OwnNetwork says that its programs may change its links, addresses and routes,
	// so that nobody else puts them right.
	OwnNetwork bool `json:"ownNetwork,omitempty"`
	// NoIPv6 are names of links that have none, whatever their networks have.
	NoIPv6 []string `json:"noIPv6,omitempty"`
	// Users has it belong to a user namespace of its own, which is pinned beside it.
	Users *netns.Users `json:"users,omitempty"`
}

// SandboxState is a sandbox as it is.
type SandboxState struct {
	ID string
	// NetnsPath is where its network namespace is mounted.
	NetnsPath string
	// Addresses are its addresses by network, with the network's prefix length;
	// Addresses6 are those of IPv6.
	Addresses, Addresses6 map[string]netip.Prefix
	// Outside are those networks on which the machine does not reach it.
	Outside map[string]bool
	// Active tells whether its names resolve; see SetNames.
	Active bool
}

// Of lists the addresses on a network, that of IPv4 first; there are none on one that
// it is not on.
func (st *SandboxState) Of(network string) (list []netip.Prefix) {
	for _, all := range []map[string]netip.Prefix{st.Addresses, st.Addresses6} {
		if p, ok := all[network]; ok {
			list = append(list, p)
		}
	}
	return list
}

// NameServer is where a sandbox's name server answers, on port 53.
const NameServer = "127.0.0.11"

// sandbox is the record of a sandbox, and its name server while we run.
type sandbox struct {
	ID        string     `json:"id"`
	Spec      Sandbox    `json:"spec"`
	Ready     bool       `json:"ready"` // everything that belongs to it is made
	Alive     bool       `json:"alive"` // its names resolve
	Endpoints []endpoint `json:"endpoints,omitempty"`
	// Guarded says that what is inside is put right; see LeaveAlone. Engines before that
	// kept no word of who may change it: theirs are left alone.
	Guarded bool `json:"guarded,omitempty"`

	dns  *nameserver.Server
	busy bool // being made, changed or removed
	told bool // what happens inside is told of; see number
	seen bool // nothing has happened inside since it was looked into, or it is not to be
}

// awaitGuard waits until the guard has let go of the sandbox that it has in hand.
// It is called by whoever has just made one busy, without the lock mu: from then on
// the guard leaves that alone, and takes nothing that is half-way for damage.
func (m *Manager) awaitGuard() {
	m.inspecting.Lock()
	defer m.inspecting.Unlock()
}

// atRest calls f while nobody makes, changes or removes the sandbox; where somebody
// does it is not called.
func (m *Manager) atRest(s *sandbox, f func()) {
	m.inspecting.RLock()
	defer m.inspecting.RUnlock()
	m.mu.Lock()
	rests := s.Ready && !s.busy && m.sandboxes[s.ID] == s
	m.mu.Unlock()
	if rests {
		f()
	}
}

// isLeftAlone says that what is inside is its programs' own: a VPN takes the default
// route away so that nothing goes past it.
func (m *Manager) isLeftAlone(s *sandbox) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return s.Spec.OwnNetwork || !s.Guarded
}

// LeaveAlone leaves what is inside of a sandbox, by the path of its namespace, to its
// programs from now on: one that may change it joins them. What the guard has in hand
// by then is put right before this returns, and nothing after it.
func (m *Manager) LeaveAlone(path string) {
	m.inspecting.Lock()
	m.mu.Lock()
	var left *sandbox
	for _, s := range m.sandboxes {
		if m.netnsPath(s.ID) == path && s.Guarded {
			s.Guarded, left = false, s
		}
	}
	m.mu.Unlock()
	m.inspecting.Unlock()
	if left == nil {
		return
	}
	m.tellChanged()
	if err := m.recordSandbox(left); err != nil {
		m.cfg.Log.Warn("cannot note that a sandbox is its programs' own", "sandbox", left.ID, "error", err)
	}
}

func (s *sandbox) label(id string) string {
	if len(s.Spec.Names) > 0 {
		return s.Spec.Names[0]
	}
	return id
}

// equal compares what is recorded, so that a spec that was read back from its
// record equals the one that was written.
func (s Sandbox) equal(other Sandbox) bool {
	if len(s.NoIPv6) == 0 { // as engines before that made them, which keep what they have
		other.NoIPv6 = nil
	}
	a, errA := json.Marshal(s)
	b, errB := json.Marshal(other)
	return errA == nil && errB == nil && bytes.Equal(a, b)
}

var validSandboxID = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$`)

// CreateSandbox makes a network namespace with everything in it: lo up, links,
// addresses, routes, and a name server. Its names do not resolve for others
// until SetNames. Creating what exists already, with the same spec, returns it.
func (m *Manager) CreateSandbox(ctx context.Context, id string, spec Sandbox) (SandboxState, error) {
	if !validSandboxID.MatchString(id) {
		return SandboxState{}, fmt.Errorf("internal error: sandbox id %q", id)
	}
	s, nets, existed, err := m.reserve(id, spec)
	if err != nil {
		return SandboxState{}, fmt.Errorf("cannot connect %s: %w", (&sandbox{Spec: spec}).label(id), err)
	}
	m.awaitGuard()
	if existed {
		err = m.mend(s)
	} else {
		err = m.makeSandbox(ctx, s, nets)
	}
	if err != nil {
		err = fmt.Errorf("cannot connect %s: %w", s.label(id), err)
		if !existed {
			err = errors.Join(err, m.clear(context.WithoutCancel(ctx), s))
		}
	}
	m.vacate(s)
	if err != nil {
		return SandboxState{}, err
	}
	return m.stateOf(s), nil
}

// reserve takes addresses and names of links for a sandbox and enters it in the
// books, busy.
func (m *Manager) reserve(id string, spec Sandbox) (s *sandbox, nets []Network, existed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.sandboxes[id]; ok {
		switch {
		case old.busy:
			return nil, nil, false, errors.New("it is just being connected or disconnected")
		case !old.Ready || !old.Spec.equal(spec):
			return nil, nil, false, errors.New("it is connected already, in another way: disconnect it first")
		}
		old.busy, old.seen = true, false
		return old, nil, true, nil
	}
	for i, e := range spec.Endpoints {
		for _, earlier := range spec.Endpoints[:i] {
			if e.Network == earlier.Network {
				return nil, nil, false, fmt.Errorf("it is to be on network %s twice", e.Network)
			}
		}
	}
	s = &sandbox{ID: id, Spec: spec, Guarded: true, busy: true}
	for _, e := range spec.Endpoints {
		n, ok := m.networks[e.Network]
		if !ok {
			m.release(s)
			return nil, nil, false, fmt.Errorf("there is no network %s", e.Network)
		}
		s.Endpoints = append(s.Endpoints, endpoint{Network: e.Network, Link: m.newLinkNameLocked("v")})
		nets = append(nets, n.Network)
	}
	if err := s.nameLinks(nets); err != nil {
		m.release(s)
		return nil, nil, false, err
	}
	for i, e := range s.Endpoints { // what they are called decides on IPv6
		if err := m.take(m.networks[e.Network], &e, s.wants(i)); err != nil {
			m.release(s)
			return nil, nil, false, fmt.Errorf("network %s: %w", e.Network, err)
		}
		s.Endpoints[i] = e
	}
	m.sandboxes[id] = s
	return s, nets, false, nil
}

// release gives back what reserve took. The caller holds m.mu.
func (m *Manager) release(s *sandbox) {
	for _, e := range s.Endpoints {
		if n, ok := m.networks[e.Network]; ok {
			n.give(e)
		}
		delete(m.linkNames, e.Link)
	}
}

func (m *Manager) newLinkName(kind string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.newLinkNameLocked(kind)
}

// newLinkNameLocked draws a name that no link of ours has: prefix, kind, six
// hexadecimal digits; fifteen characters at most, as the kernel wants.
func (m *Manager) newLinkNameLocked(kind string) string {
	for {
		var b [3]byte
		rand.Read(b[:])
		name := m.linkPrefix() + kind + hex.EncodeToString(b[:])
		if !m.linkNames[name] {
			m.linkNames[name] = true
			return name
		}
	}
}

func (m *Manager) makeSandbox(ctx context.Context, s *sandbox, nets []Network) error {
	if err := m.recordSandbox(s); err != nil {
		return err
	}
	failpoint.Hit("network/sandbox-recorded")
	var socks nameserver.Sockets
	path := m.netnsPath(s.ID)
	err := netns.MakeFor(path, s.Spec.Users, func() error {
		if err := m.furnish(path, s, nets); err != nil {
			return err
		}
		if !s.Spec.DNS {
			return nil
		}
		var err error
		socks, err = openNameServer(false)
		return err
	})
	if err != nil {
		return err
	}
	if s.Spec.DNS {
		if err := m.serveNames(ctx, s, socks, true); err != nil {
			return err
		}
	}
	failpoint.Hit("network/sandbox-made")
	m.number(s, true)
	m.mu.Lock()
	m.resolver.Add(s.host())
	s.Ready = true
	m.mu.Unlock()
	return m.recordSandbox(s)
}

// recordSandbox writes a sandbox's record as it is now, unless it is gone.
func (m *Manager) recordSandbox(s *sandbox) error {
	m.recordMu.Lock()
	defer m.recordMu.Unlock()
	m.mu.Lock()
	now, known := *s, m.sandboxes[s.ID] == s
	now.Endpoints = slices.Clone(s.Endpoints) // others write to them while this is written
	m.mu.Unlock()
	if !known {
		return nil
	}
	return m.writeRecord(sandboxesDir, s.ID, &now)
}

// mend puts back what a sandbox has lost since it was made.
func (m *Manager) mend(s *sandbox) error {
	if !netns.IsPinned(m.netnsPath(s.ID)) {
		return errors.New("its network namespace is gone: disconnect it first")
	}
	links, err := m.ourLinks()
	if err != nil {
		return err
	}
	for i, e := range s.Endpoints {
		if err := m.adoptEndpoint(s, i, e, links); err != nil {
			return err
		}
		if err := m.returnEndpoint(s, i, links); err != nil {
			return err
		}
	}
	return nil
}

// furnish puts links, addresses and routes into a new namespace; it runs in it.
func (m *Manager) furnish(path string, s *sandbox, nets []Network) error {
	inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("cannot open a netlink socket for links: %w", err)
	}
	defer inside.Close()
	const lo = 1 // always, in a new namespace
	if err := inside.LinkSetUp(linkIndex(lo)); err != nil {
		return fmt.Errorf("cannot bring lo up: %w", err)
	}
	if len(s.Endpoints) == 0 {
		return nil
	}
	if err := setIPv6("default", false); err != nil {
		return err
	}
	ns, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot open a network namespace: %w", err)
	}
	defer ns.Close()
	ways := s.ways(m.Network)
	for i, n := range nets {
		if err := m.attach(inside, int(ns.Fd()), s, i, n, ways); err != nil {
			return err
		}
	}
	return nil
}

func linkIndex(i int) netlink.Link {
	attrs := netlink.NewLinkAttrs()
	attrs.Index = i
	return &netlink.GenericLink{LinkAttrs: attrs}
}

// RemoveSandbox removes a sandbox and all that belongs to it. One that is not
// there is no error. Processes still in the namespace keep it, without links.
func (m *Manager) RemoveSandbox(ctx context.Context, id string) error {
	m.mu.Lock()
	s, ok := m.sandboxes[id]
	if !ok {
		m.mu.Unlock()
		return nil
	}
	if s.busy {
		m.mu.Unlock()
		return fmt.Errorf("cannot disconnect %s: it is just being connected or disconnected", s.label(id))
	}
	s.busy, s.seen = true, false
	m.mu.Unlock()
	m.awaitGuard()
	if err := m.clear(ctx, s); err != nil {
		m.vacate(s)
		return fmt.Errorf("cannot disconnect %s: %w", s.label(id), err)
	}
	return nil
}

// clear removes whatever there is of a sandbox, its record last.
func (m *Manager) clear(ctx context.Context, s *sandbox) error {
	m.resolver.Remove(s.ID)
	m.mu.Lock()
	server := s.dns
	s.dns = nil
	m.mu.Unlock()
	if server != nil {
		server.Close()
	}
	var errs []error
	if s.Spec.DNS && m.cfg.Sockets != nil {
		errs = append(errs, m.cfg.Sockets.Drop(ctx, dnsKey(s.ID)))
	}
	for i, e := range s.Endpoints {
		errs = append(errs, m.unlink(s, e, s.inside(i)))
	}
	errs = append(errs, netns.Unpin(m.netnsPath(s.ID)))
	if err := errors.Join(errs...); err != nil {
		return err
	}
	m.tellReleased(s.Endpoints...)
	failpoint.Hit("network/sandbox-removed")
	m.recordMu.Lock()
	defer m.recordMu.Unlock()
	if err := m.removeRecord(sandboxesDir, s.ID); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.release(s)
	delete(m.sandboxes, s.ID)
	maps.DeleteFunc(m.inside, func(_ kernel.Namespace, is *sandbox) bool { return is == s })
	return nil
}

// Sandbox returns a sandbox that is fully there.
func (m *Manager) Sandbox(id string) (SandboxState, bool) {
	m.mu.Lock()
	s, ok := m.sandboxes[id]
	ok = ok && s.Ready && !s.busy
	m.mu.Unlock()
	if !ok {
		return SandboxState{}, false
	}
	return m.stateOf(s), true
}

// Sandboxes lists the ids of the sandboxes that are fully there, in no order.
func (m *Manager) Sandboxes() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ids []string
	for id, s := range m.sandboxes {
		if s.Ready && !s.busy {
			ids = append(ids, id)
		}
	}
	return ids
}

func (m *Manager) stateOf(s *sandbox) SandboxState {
	m.mu.Lock()
	defer m.mu.Unlock()
	st := SandboxState{
		ID: s.ID, NetnsPath: m.netnsPath(s.ID), Active: s.Alive,
		Addresses: map[string]netip.Prefix{}, Addresses6: map[string]netip.Prefix{}, Outside: map[string]bool{},
	}
	for _, e := range s.Endpoints {
		n, ok := m.networks[e.Network]
		if !ok || e.Detached {
			continue
		}
		st.Outside[e.Network] = n.isOutside()
		if e.Address.IsValid() {
			st.Addresses[e.Network] = netip.PrefixFrom(e.Address, n.Subnet.Bits())
		}
		if e.Address6.IsValid() {
			st.Addresses6[e.Network] = netip.PrefixFrom(e.Address6, n.Subnet6.Bits())
		}
	}
	return st
}

// ErrNoSandbox is the error of SetNames for a sandbox that is not there.
var ErrNoSandbox = errors.New("there is no sandbox")

// SetNames makes a sandbox's names resolve, or stop resolving: they should
// while its container runs. It survives a restart of the engine.
func (m *Manager) SetNames(id string, active bool) error {
	m.mu.Lock()
	s, ok := m.sandboxes[id]
	if !ok {
		m.mu.Unlock()
		return fmt.Errorf("%w %s", ErrNoSandbox, id)
	}
	changed := s.Alive != active
	s.Alive = active
	m.resolver.SetActive(id, active)
	m.mu.Unlock()
	if !changed {
		return nil
	}
	return m.recordSandbox(s)
}
