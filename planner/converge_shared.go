package planner

import (
	"slices"

	"github.com/orlop/orlop/spec"
)

// planSharers: who shares a namespace of a container follows its owner when that is
// made anew, also if only the owner was chosen; one that was left behind before
// follows now. A process can't change its namespaces, so it is restarted; its own
// container stays.
func (c *converger) planSharers(order []string) {
	if c.opts.NoStart {
		return
	}
	for i := range c.observed.Containers {
		k := &c.observed.Containers[i]
		if k.Applied == nil || k.OneOff || k.State != Running && k.State != Restarting || slices.Contains(c.going, k) {
			continue
		}
		isChosen := slices.Contains(order, k.Service)
		for _, share := range k.Applied.Service.Shares() {
			owner := c.ownerOf(share)
			switch {
			case owner == "":
				continue
			case c.renewed(owner):
				c.follow(k, share.Key, owner, isChosen, owner+" is replaced")
			case k.Adrift && isChosen:
				c.follow(k, share.Key, owner, isChosen, "the "+share.What()+" that it shares with "+owner+" is gone")
			default:
				continue
			}
			break
		}
	}
}

// ownerOf is the service that has a namespace which another shares, "" where there is
// none of this project.
func (c *converger) ownerOf(share spec.Share) string {
	if share.Service != "" {
		return share.Service
	}
	i := slices.IndexFunc(c.observed.Containers, func(o Container) bool { return o.Name == share.Container || o.ID == share.Container })
	if i >= 0 && !c.observed.Containers[i].OneOff {
		return c.observed.Containers[i].Service
	}
	return ""
}

// follow restarts a container after its owner, unless the plan has it stop anyway.
func (c *converger) follow(k *Container, key, owner string, isChosen bool, why string) {
	var needs, after []string
	if s := c.project.Services[k.Service]; s != nil && isChosen {
		needs, after = c.needs(k.Service, s)
	}
	for _, step := range c.ups[owner] {
		needs = append(needs, step.ID)
	}
	needs = append(needs, c.backOf(k.Service, k.ID)...)
	i := slices.IndexFunc(c.ups[k.Service], func(s *Step) bool { return s.Container == k.ID })
	switch {
	case i < 0 && isChosen && len(c.backOf(k.Service, k.ID)) == 0:
		c.plan.Leave--
	case i < 0:
	case c.ups[k.Service][i].Action == Update:
		needs = append(needs, c.ups[k.Service][i].ID)
	case !c.ups[k.Service][i].IfChanged:
		return
	default: // what is only perhaps replaced is restarted else
		needs = append(needs, c.ups[k.Service][i].ID)
	}
	path := "services." + k.Service + "." + key
	c.up(&Step{
		Action: Restart, Service: k.Service, Number: k.Number, Container: k.ID, Needs: needs, After: after,
		IfChanged: c.renewed(owner) && c.mayAllStay(owner),
		Reasons:   []Reason{{Path: path, Text: why, Place: c.project.Places.Nearest(path)}},
	})
}

// mayAllStay says that each replacement of a service may turn out not to be needed.
func (c *converger) mayAllStay(service string) bool {
	return !slices.ContainsFunc(c.ups[service], func(s *Step) bool {
		return (s.Action == Replace || s.Action == Create) && !s.IfChanged
	})
}
