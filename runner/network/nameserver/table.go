package nameserver

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// Host is who can be found by name.
type Host struct {
	ID string
	// Name is what its addresses are called, as NAME.NETWORK.
	Name string
	// IsActive says that its names resolve.
	IsActive bool
	Places   []Place
}

// Place is a host on one network.
type Place struct {
	Network string
	Address netip.Addr
	// Names resolve on this network, in any case.
	Names []string
}

// table knows which names mean which addresses on which network.
type table struct {
	records map[key][]record
	hosts   map[netip.Addr]hostRecord
}

type key struct{ network, name string }

type record struct {
	id     string
	addr   netip.Addr
	active bool
}

type hostRecord struct {
	id, network, name string
	active            bool
}

func newTable() *table {
	return &table{map[key][]record{}, map[netip.Addr]hostRecord{}}
}

func (t *table) add(h Host) {
	for _, p := range h.Places {
		names := make([]string, len(p.Names))
		for i, name := range p.Names {
			names[i] = strings.ToLower(strings.TrimSuffix(name, "."))
		}
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			k := key{p.Network, name}
			t.records[k] = append(t.records[k], record{h.ID, p.Address, h.IsActive})
			slices.SortFunc(t.records[k], func(a, b record) int { return cmp.Compare(a.id, b.id) })
		}
		t.hosts[p.Address] = hostRecord{h.ID, p.Network, h.Name, h.IsActive}
	}
}

func (t *table) remove(id string) {
	for k, records := range t.records {
		records = slices.DeleteFunc(records, func(r record) bool { return r.id == id })
		if len(records) == 0 {
			delete(t.records, k)
		} else {
			t.records[k] = records
		}
	}
	for addr, h := range t.hosts {
		if h.id == id {
			delete(t.hosts, addr)
		}
	}
}

func (t *table) setActive(id string, active bool) {
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
func (t *table) lookup(networks []string, name string) (addrs []netip.Addr, known bool) {
	for _, network := range networks {
		for _, r := range t.records[key{network, name}] {
			known = true
			if r.active && !slices.Contains(addrs, r.addr) {
				addrs = append(addrs, r.addr)
			}
		}
	}
	return addrs, known
}

// reverse returns the name of an address on any of the networks.
func (t *table) reverse(networks []string, addr netip.Addr) (name string, ok bool) {
	h, ok := t.hosts[addr]
	if !ok || !h.active || !slices.Contains(networks, h.network) {
		return "", false
	}
	return h.name + "." + h.network, true
}
