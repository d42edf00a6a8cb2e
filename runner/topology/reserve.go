package topology

import (
	"encoding/json"
	"net/netip"

	"github.com/orlop/orlop/spec"
)

// Reserve keeps the addresses that a project's file fixes from being given to
// others of their networks, whatever is started first. It holds until the
// project says otherwise, or is taken down.
func (t *Store) Reserve(p *spec.Project) {
	fixed := fixedAddresses(p)
	t.nets.Reserve(p.Name, fixed)
	if b, err := json.Marshal(fixed); err == nil && len(fixed) > 0 {
		t.docs.Save(bucketFixed, p.Name, b)
	} else {
		t.docs.Delete(bucketFixed, p.Name)
	}
}

// Unreserve forgets the addresses that a project fixes.
func (t *Store) Unreserve(project string) { t.Reserve(&spec.Project{Name: project}) }

// fixedAddresses are those that the services of a project ask for, by the full
// names of their networks.
func fixedAddresses(p *spec.Project) map[string][]netip.Addr {
	fixed := map[string][]netip.Addr{}
	for _, s := range p.Services {
		for key, n := range s.Networks {
			if n == nil || p.Networks[key] == nil {
				continue
			}
			name := p.Networks[key].Name
			for _, text := range []string{n.IPv4Address, n.IPv6Address} {
				if addr, err := netip.ParseAddr(text); err == nil {
					fixed[name] = append(fixed[name], addr.Unmap())
				}
			}
		}
	}
	return fixed
}

// restoreFixed reserves what an earlier engine had on record.
func (t *Store) restoreFixed() error {
	docs, err := t.docs.Load(bucketFixed)
	if err != nil {
		return err
	}
	for project, doc := range docs {
		var fixed map[string][]netip.Addr
		if json.Unmarshal(doc, &fixed) == nil {
			t.nets.Reserve(project, fixed)
		}
	}
	return nil
}
