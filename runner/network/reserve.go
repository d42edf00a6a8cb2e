package network

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Reserve says which addresses somebody fixes on which networks, in place of
// what that owner said before: they are given only to sandboxes that ask for
// them. Networks that are not there yet count, too.
func (m *Manager) Reserve(owner string, fixed map[string][]netip.Addr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.reserved, owner)
	if len(fixed) > 0 {
		m.reserved[owner] = fixed
	}
}

// isReserved says whether an address of a network is for those only who ask
// for it. The caller holds m.mu.
func (m *Manager) isReserved(network string, addr netip.Addr) bool {
	for _, fixed := range m.reserved {
		if slices.Contains(fixed[network], addr) {
			return true
		}
	}
	return false
}

// SetRange bounds the addresses that a network hands out to those who ask for
// none in particular, of IPv4 and of IPv6; the zero Prefix is all of its subnet.
func (m *Manager) SetRange(name string, within, within6 netip.Prefix) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.networks[name]
	if n == nil {
		return fmt.Errorf("there is no network %s", name)
	}
	if err := errors.Join(checkRange(n.Subnet, within), checkRange(n.Subnet6, within6)); err != nil {
		return fmt.Errorf("network %s: %w", name, err)
	}
	n.bound(within, within6)
	return nil
}

func checkRange(subnet, within netip.Prefix) error {
	switch {
	case !within.IsValid():
		return nil
	case !subnet.IsValid():
		return fmt.Errorf("ip_range %s needs a subnet", within)
	case !subnet.Contains(within.Addr()) || within.Bits() < subnet.Bits():
		return fmt.Errorf("ip_range %s is not inside subnet %s", within, subnet)
	}
	return nil
}

// holder names who has an address of a network. The caller holds m.mu.
func (m *Manager) holder(network string, addr netip.Addr) string {
	for id, s := range m.sandboxes {
		for _, e := range s.Endpoints {
			if e.Network == network && addr.IsValid() && (e.Address == addr || e.Address6 == addr) {
				return s.label(shortID(id))
			}
		}
	}
	return ""
}
