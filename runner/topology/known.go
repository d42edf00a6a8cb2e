package topology

import (
	"maps"

	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/spec"
)

// AsKnown is a project with what only the engine knows of its external networks: that
// they are outside of the machine.
func AsKnown(p *spec.Project, lookup func(name string) (network.Network, bool)) *spec.Project {
	known := *p
	known.Networks = maps.Clone(p.Networks)
	for key, n := range p.Networks {
		if n == nil || !n.External {
			continue
		}
		if have, ok := lookup(n.Name); ok && have.Driver != "" {
			is := *n
			is.Driver, is.DriverOpts = have.Driver, map[string]string{spec.OptParent: have.Parent}
			known.Networks[key] = &is
		}
	}
	return &known
}
