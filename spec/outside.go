package spec

import (
	"fmt"
	"maps"
	"slices"
)

// OutsideError are published ports of a service whose networks are all outside of the
// machine, as is known of external ones by looking alone.
type OutsideError struct {
	Service string
	Network string
	Driver  string
	Place   Place
}

func (e *OutsideError) Error() string {
	text := fmt.Sprintf("services.%s.ports: external network %s is of driver %s, and no network of the service is one on which this machine reaches it: none of its ports is published; "+
		"remove ports, or give it a network with driver: bridge too", e.Service, e.Network, e.Driver)
	if e.Place.File == "" {
		return text
	}
	return e.Place.String() + ": " + text
}

// PortsOutside are the published ports of services to which nothing could lead; known
// says what an external network is, nil where nobody knows.
func (p *Project) PortsOutside(services []string, known func(name string) *Network) []error {
	var refused []error
	for _, name := range services {
		s := p.Services[name]
		if s == nil || len(s.Ports) == 0 {
			continue
		}
		if key, driver := p.outside(s, known); driver != "" {
			refused = append(refused, &OutsideError{Service: name, Network: key, Driver: driver, Place: p.Places.Nearest("services." + name + ".ports")})
		}
	}
	return refused
}

// outside is a network of a service, and its driver, if all are outside of the machine.
func (p *Project) outside(s *Service, known func(name string) *Network) (key, driver string) {
	for _, at := range slices.Sorted(maps.Keys(s.Networks)) {
		n := p.Networks[at]
		if n != nil && n.External {
			n = known(n.Name)
		}
		if n == nil || n.Outside() == "" {
			return "", ""
		}
		key, driver = at, n.Outside()
	}
	return key, driver
}
