package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// InitContainer is what the container number i of a service's pre_start is made
// from: what the stack file says of it, completed by what the service has, and the
// service's mounts. It has neither the addresses nor the names that its service is
// known by.
func (p *Project) InitContainer(service string, i int) *Service {
	s := p.Services[service]
	own := *s.PreStart[i]
	own.Name, own.Restart, own.Security = service, "no", s.Security
	own.Deploy = s.Deploy.OfOne() // its limits are those of the service
	own.Image = cmp.Or(own.Image, p.ImageName(service))
	own.Inherited = nil
	for _, m := range s.Mounts() {
		if !slices.ContainsFunc(own.Volumes, func(o Mount) bool { return o.Target == m.Target }) {
			own.Inherited = append(own.Inherited, m)
		}
	}
	own.MacAddress = ""
	own.Networks = maps.Clone(own.Networks)
	for key, n := range own.Networks {
		if n == nil {
			continue
		}
		plain := *n
		plain.Aliases, plain.IPv4Address, plain.IPv6Address, plain.MacAddress = nil, "", "", ""
		own.Networks[key] = &plain
	}
	if own.Environment == nil {
		own.Environment = map[string]*string{}
	}
	return &own
}

// InitName is the name of the container for a service's pre_start number i; of one
// that runs for each replica, for that.
func (p *Project) InitName(service string, i, replica int) string {
	name := fmt.Sprintf("%s-%s-pre_start-%d", p.Name, service, i)
	if p.Services[service].PreStart[i].PerReplica {
		name += fmt.Sprintf("-%d", replica)
	}
	return name
}
