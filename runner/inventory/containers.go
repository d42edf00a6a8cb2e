package inventory

import (
	"cmp"
	"slices"
	"strings"

	"github.com/orlop/orlop/runner/supervisor"
)

// Records are those of all containers, by project and name.
func (i *Inventory) Records() []supervisor.Record {
	return slices.SortedFunc(slices.Values(i.containers()), func(x, y supervisor.Record) int {
		return cmp.Or(strings.Compare(x.Project, y.Project), strings.Compare(x.Name, y.Name))
	})
}

// Endpoint is a container's place on a network: addresses with the length of their prefix, "" where it has none.
type Endpoint struct{ Network, Address, Address6, Gateway, Gateway6 string }

// Endpoints are those of a container, by network.
func (i *Inventory) Endpoints(rec *supervisor.Record) (list []Endpoint) {
	if rec.Applied == nil {
		return nil
	}
	sandbox, _ := i.nets.Sandbox(rec.ID)
	for _, name := range rec.NetworkNames() {
		e := Endpoint{Network: name}
		n, isHere := i.nets.Network(name)
		if addr, ok := sandbox.Addresses[name]; ok && isHere {
			e.Address, e.Gateway = addr.String(), n.Gateway.String()
		}
		if addr, ok := sandbox.Addresses6[name]; ok && isHere {
			e.Address6, e.Gateway6 = addr.String(), n.Gateway6.String()
		}
		list = append(list, e)
	}
	slices.SortFunc(list, func(x, y Endpoint) int { return strings.Compare(x.Network, y.Network) })
	return list
}

// VolumePaths are where the volumes of a container are, by name.
func (i *Inventory) VolumePaths(rec *supervisor.Record) map[string]string {
	paths := map[string]string{}
	for _, v := range i.volumes.List() {
		if slices.Contains(rec.UsedVolumes(), v.Name) {
			paths[v.Name] = v.Path
		}
	}
	return paths
}
