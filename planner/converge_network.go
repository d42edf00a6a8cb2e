package planner

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// planNetworks adds the networks that the chosen services use and that are
// not there, or are there with other settings.
func (c *converger) planNetworks(order []string) {
	for _, key := range c.used(order, networksOf, maps.Keys(c.project.Networks)) {
		want := c.project.Networks[key]
		if want == nil {
			continue
		}
		have, present := c.observed.Networks[want.Name]
		path := "networks." + key
		step := &Step{Action: CreateNetwork, Resource: key, Name: want.Name, Network: want, Containers: c.members(key)}
		at := c.project.Places.Nearest(path)
		switch {
		case want.External && !present:
			c.missing("network", want.Name, path)
			continue
		case want.External:
			continue
		case !present:
			step.Reasons = []Reason{{Path: path, Text: "it does not exist yet", Place: at}}
		default:
			step.Reasons = append(compareNetworks(path, have.Applied, want, c.project.Places), c.tooSmall(&have, want, step, path)...)
			if len(step.Reasons) == 0 && have.Applied != nil && have.Project == c.project.Name {
				c.relabel(UpdateNetwork, step, append(lost(have.Lost), compareLabels(path, have.Applied.Labels, want.Labels, c.project.Places)...))
			}
			if len(step.Reasons) == 0 || c.opts.isFire() { // what the clock runs changes nothing under others
				continue
			}
			if len(have.Guests) > 0 && !c.opts.Disturb {
				c.refused = append(c.refused, &GuestsError{Network: key, Guests: have.Guests, Why: step.Reasons[0]})
				continue
			}
			step.Renewed, step.Guests = have.Applied, have.Guests
		}
		c.network[key] = c.plan.add(step)
		for _, g := range have.Guests {
			c.plan.add(attachment(g.String(), g.Container, key, step))
		}
	}
}

// attachment brings a container back to a network that is made anew.
func attachment(resource, id, key string, made *Step) *Step {
	return &Step{
		Action: AttachNetwork, Resource: resource, Name: made.Name, Container: id, Needs: []string{made.ID},
		Reasons: []Reason{{Text: fmt.Sprintf("network %s is made anew", key)}},
	}
}

// members is how many containers of the project are to be on a network.
func (c *converger) members(key string) (n int) {
	for _, s := range c.project.Services {
		if _, on := s.Networks[key]; on {
			n += s.Replicas()
		}
	}
	return n
}

// tooSmall is the reason to make a network anew whose range has no room for all
// that are to be on it. A range that the stack file fixes is the file's.
func (c *converger) tooSmall(have *Network, want *spec.Network, step *Step, path string) []Reason {
	if want.Pool().Subnet != "" || have.Project != c.project.Name || HasRoom(have.Subnet, step.Containers) {
		return nil
	}
	text := fmt.Sprintf("%s has no room for %d containers", have.Subnet, step.Containers)
	return []Reason{{Path: path, Text: text, Place: c.project.Places.Nearest(path)}}
}

// HasRoom says whether a subnet has an address for each of so many containers,
// beside its own, that of its gateway and that for all. One that is not known has.
func HasRoom(subnet string, containers int) bool {
	p, err := netip.ParsePrefix(subnet)
	if err != nil || p.Bits() > 32 || !p.Addr().Is4() {
		return true
	}
	return containers <= 1<<(32-p.Bits())-3
}

// reattach has a container brought back to those of its networks that are made anew.
func (c *converger) reattach(k *Container) {
	for _, key := range slices.Sorted(maps.Keys(c.network)) {
		step := c.network[key]
		if _, existed := c.observed.Networks[step.Name]; existed && slices.Contains(k.Networks, step.Name) {
			c.back[k.Service] = append(c.back[k.Service], c.plan.add(attachment(containerResource(k), k.ID, key, step)))
		}
	}
}

// backOf are the steps that bring the containers of a service back to their networks, or
// one of them.
func (c *converger) backOf(service, id string) (ids []string) {
	for _, step := range c.back[service] {
		if id == "" || step.Container == id {
			ids = append(ids, step.ID)
		}
	}
	return ids
}

// reattachOthers does so for what runs and the plan has nothing else for: runs, orphans,
// and containers of services that were not chosen.
func (c *converger) reattachOthers() {
	for i := range c.observed.Containers {
		k := &c.observed.Containers[i]
		isPlanned := slices.ContainsFunc(c.ups[k.Service], func(s *Step) bool { return s.Container == k.ID })
		if k.IsUp() && !isPlanned && !slices.Contains(c.going, k) && len(c.backOf(k.Service, k.ID)) == 0 {
			c.reattach(k)
		}
	}
}

// relabel adds a step for labels that changed; it needs nothing anew.
func (c *converger) relabel(action Action, step *Step, why []Reason) {
	if len(why) > 0 {
		relabelled := *step
		relabelled.Action, relabelled.Reasons = action, why
		c.plan.add(&relabelled)
	}
}

func compareLabels(path string, old, want map[string]string, places spec.Places) []Reason {
	return difference.Trees(path+".labels", difference.Texts(old), difference.Texts(want), places)
}

// SameNetwork says that two networks differ in nothing that needs one anew.
func SameNetwork(a, b *spec.Network) bool {
	return a != nil && b != nil && len(compareNetworks("", a, b, spec.Places{})) == 0
}

// compareNetworks reports the settings that need a network anew; labels don't.
func compareNetworks(path string, old, want *spec.Network, places spec.Places) []Reason {
	if old == nil {
		return nil
	}
	a, b := difference.Tree(plainRanges(old)), difference.Tree(plainRanges(want))
	for _, key := range []string{"labels", "driver_opts"} {
		delete(a, key)
		delete(b, key)
	}
	a["enable_ipv4"], a["enable_ipv6"] = old.HasIPv4(), old.HasIPv6()
	b["enable_ipv4"], b["enable_ipv6"] = want.HasIPv4(), want.HasIPv6()
	options := difference.Trees(path+".driver_opts", difference.Texts(old.Effective()), difference.Texts(want.Effective()), places)
	return append(difference.Trees(path, any(a), any(b), places), options...)
}

// plainRanges is a network whose ranges and addresses are spelled in the one way that all
// spellings of one have: 10.7.0.1/24 is 10.7.0.0/24.
func plainRanges(n *spec.Network) *spec.Network {
	if n.IPAM == nil {
		return n
	}
	out, ipam := *n, *n.IPAM
	if ipam.Driver == "default" {
		ipam.Driver = ""
	}
	ipam.Config = slices.Clone(ipam.Config)
	for i := range ipam.Config {
		c := &ipam.Config[i]
		c.Subnet, c.IPRange, c.Gateway = plainRange(c.Subnet), plainRange(c.IPRange), plainAddress(c.Gateway)
		c.AuxAddresses = maps.Clone(c.AuxAddresses)
		for of, a := range c.AuxAddresses {
			c.AuxAddresses[of] = plainAddress(a)
		}
	}
	if out.IPAM = &ipam; ipam.Driver == "" && len(ipam.Config) == 0 {
		out.IPAM = nil
	}
	return &out
}

func plainRange(text string) string {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p.Masked().String()
	}
	return text
}

func plainAddress(text string) string {
	if a, err := netip.ParseAddr(text); err == nil {
		return a.String()
	}
	return text
}

// networksOf are the networks that a service and its init containers are on.
func networksOf(s *spec.Service) (keys []string) {
	for _, part := range append([]*spec.Service{s}, s.PreStart...) {
		keys = slices.AppendSeq(keys, maps.Keys(part.Networks))
	}
	return keys
}
