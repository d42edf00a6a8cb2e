package planner

import (
	"errors"
	"fmt"
	"slices"
)

// refuseWithout refuses services that share what others have, where these are left out and
// have no container.
func (c *converger) refuseWithout(order []string) {
	if !c.opts.NoDeps {
		return
	}
	lacks := func(service string) bool {
		return service != "" && !slices.Contains(order, service) && c.project.Services[service] != nil && len(c.containers(service)) == 0
	}
	refuse := func(name, key, what, of string) {
		path := "services." + name + "." + key
		c.refused = append(c.refused, errors.New(placed(c.project.Places.Nearest(path),
			fmt.Sprintf("%s cannot share the %s of %s: that has no container; bring it up, or leave --no-deps out", name, what, of))))
	}
	for _, name := range order {
		s := c.project.Services[name]
		if s.Replicas() == 0 && name != c.opts.Prepare {
			continue // it has no container that could share anything
		}
		for _, share := range s.Shares() {
			if lacks(share.Service) {
				refuse(name, share.Key, share.What(), share.Service)
			}
		}
		for _, of := range s.SourceServices() {
			if lacks(of) {
				refuse(name, "volumes_from", "volumes", of)
			}
		}
	}
}
