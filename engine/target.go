package engine

import "github.com/orlop/orlop/planner"

// execTarget is the container of a service that a process joins: that of the
// number, or the first one that runs; a run's only where there is no other, as
// in Compose. It is nil where there is none.
func execTarget(list []planner.Container, service string, number int) *planner.Container {
	var found *planner.Container
	for i := range list {
		k := &list[i]
		if k.Service != service || number > 0 && (k.Number != number || k.OneOff) {
			continue
		}
		if found == nil || execRank(k) < execRank(found) || execRank(k) == execRank(found) && k.Number < found.Number {
			found = k
		}
	}
	return found
}

// execRank orders containers by how well a process may join them.
func execRank(k *planner.Container) int {
	rank := 0
	if k.State != planner.Running {
		rank += 2
	}
	if k.OneOff {
		rank++
	}
	return rank
}
