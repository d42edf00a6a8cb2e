package network

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// nameTable knows which names mean which addresses on which network.
type nameTable struct {
	records map[nameKey][]nameRecord
	hosts   map[netip.Addr]hostRecord
}

type nameKey struct{ network, name string }

type nameRecord struct {
	id     string
	addr   netip.Addr
	active bool
}

type hostRecord struct {
	id, network, name string
	active            bool
}

func newNameTable() *nameTable {
	return &nameTable{map[nameKey][]nameRecord{}, map[netip.Addr]hostRecord{}}
}

// shortID is the part of an id that resolves.
func shortID(id string) string { return id[:min(len(id), 12)] }

func (t *nameTable) add(s *sandbox) {
	for i, e := range s.Endpoints {
		if e.Detached {
			continue
		}
		names := slices.Concat(s.Spec.Names, s.Spec.Endpoints[i].Aliases, []string{shortID(s.ID)})
		for j, name := range names {
			names[j] = strings.ToLower(strings.TrimSuffix(name, "."))
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			key := nameKey{e.Network, name}
			t.records[key] = append(t.records[key], nameRecord{s.ID, e.Address, s.Alive})
			slices.SortFunc(t.records[key], func(a, b nameRecord) int { return cmp.Compare(a.id, b.id) })
		}
		t.hosts[e.Address] = hostRecord{s.ID, e.Network, s.label(shortID(s.ID)), s.Alive}
	}
}

func (t *nameTable) remove(id string) {
	for key, records := range t.records {
		records = slices.DeleteFunc(records, func(r nameRecord) bool { return r.id == id })
		if len(records) == 0 {
			delete(t.records, key)
		} else {
			t.records[key] = records
		}
	}
	for addr, h := range t.hosts {
		if h.id == id {
			delete(t.hosts, addr)
		}
	}
}

func (t *nameTable) setActive(id string, active bool) {
	for _, records := range t.records {
		for i := range records {
			if records[i].id == id {
				records[i].active = active
			}
		}
	}
	for addr, h := range t.hosts {
		if h.id == id {
			h.active = active
			t.hosts[addr] = h
		}
	}
}

// lookup returns the live addresses of a name on any of the networks, and
// whether the name belongs to anyone there, live or not.
func (t *nameTable) lookup(networks []string, name string) (addrs []netip.Addr, known bool) {
	for _, network := range networks {
		for _, r := range t.records[nameKey{network, name}] {
			known = true
			if r.active && !slices.Contains(addrs, r.addr) {
				addrs = append(addrs, r.addr)
			}
		}
	}
	return addrs, known
}

// reverse returns the name of an address on any of the networks.
func (t *nameTable) reverse(networks []string, addr netip.Addr) (name string, ok bool) {
	h, ok := t.hosts[addr]
	if !ok || !h.active || !slices.Contains(networks, h.network) {
		return "", false
	}
	return h.name + "." + h.network, true
}
