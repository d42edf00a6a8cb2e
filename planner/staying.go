package planner

import (
	"cmp"
	"slices"
)

// staying are the containers of a service that it goes on with, by number: all of them, or of too many those of the best
// ranks, and of a rank those with the lower numbers.
func (c *converger) staying(name string) []*Container {
	if stay, ok := c.stay[name]; ok {
		return stay
	}
	byNumber := func(a, b *Container) int { return cmp.Compare(a.Number, b.Number) }
	stay := slices.CompactFunc(c.containers(name), func(a, b *Container) bool { return a.Number == b.Number })
	most := c.project.Services[name].Replicas()
	switch {
	case len(stay) == 0 || stay[len(stay)-1].Number <= most:
	case c.isLent(name): // others share something of the first one
		stay = slices.DeleteFunc(stay, func(k *Container) bool { return k.Number > most })
	case len(stay) > most:
		rank := c.ranks(name, stay)
		slices.SortStableFunc(stay, func(a, b *Container) int { return cmp.Compare(rank[a], rank[b]) })
		stay = stay[:most]
		slices.SortFunc(stay, byNumber)
	}
	c.stay[name] = stay
	return stay
}

// ranks say which containers stay before others: 0 of one that is up and may stay as it is, 1 that is up and is replaced, 2 that is
// down and may stay, 3 of both. What is up is not given up for what may never start.
func (c *converger) ranks(name string, all []*Container) map[*Container]int {
	s, want := c.project.Services[name], Wanted(c.project, name, c.opts.Files)
	rank := make(map[*Container]int, len(all))
	for _, k := range all {
		ch, ifChanged := c.changes(s, name, k, want)
		if len(ch.replace) > 0 && !ifChanged || c.forced(name) {
			rank[k]++
		}
		if k.State != Running && k.State != Restarting {
			rank[k] += 2
		}
	}
	return rank
}

// isLent says that containers of other services share something of those of this one.
func (c *converger) isLent(name string) bool {
	for _, s := range c.project.Services {
		if slices.Contains(SharedWith(s), name) {
			return true
		}
	}
	return false
}
