package runner

import (
	"encoding/json"
	"net/netip"

	"github.com/orlop/orlop/spec"
)

// bucketFixed keeps the addresses that projects fix: project -> network -> addresses.
const bucketFixed = "fixed-addresses"

// Reserve keeps the addresses that a project's file fixes from being given to
// others of their networks, whatever is started first. It holds until the
// project says otherwise, or is taken down.
func (r *Runner) Reserve(p *spec.Project) {
	fixed := fixedAddresses(p)
	r.nets.Reserve(p.Name, fixed)
	if b, err := json.Marshal(fixed); err == nil && len(fixed) > 0 {
		r.store.Save(bucketFixed, p.Name, b)
	} else {
		r.store.Delete(bucketFixed, p.Name)
	}
}

// Unreserve forgets the addresses that a project fixes.
func (r *Runner) Unreserve(project string) { r.Reserve(&spec.Project{Name: project}) }

// fixedAddresses are those that the services of a project ask for, by the full
// names of their networks.
func fixedAddresses(p *spec.Project) map[string][]netip.Addr {
	fixed := map[string][]netip.Addr{}
	for _, s := range p.Services {
		for key, n := range s.Networks {
			if n == nil || p.Networks[key] == nil {
				continue
			}
			if addr, err := netip.ParseAddr(n.IPv4Address); err == nil {
				name := p.Networks[key].Name
				fixed[name] = append(fixed[name], addr.Unmap())
			}
		}
	}
	return fixed
}

// restoreFixed reserves what an earlier engine had on record.
func (r *Runner) restoreFixed() error {
	docs, err := r.store.Load(bucketFixed)
	if err != nil {
		return err
	}
	for project, doc := range docs {
		var fixed map[string][]netip.Addr
		if json.Unmarshal(doc, &fixed) == nil {
			r.nets.Reserve(project, fixed)
		}
	}
	return nil
}
