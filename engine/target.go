package engine

import (
	"fmt"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// targetOf is the ID of the container that a process is for, of those of its
// project.
func targetOf(start *api.ProcessStart, list []planner.Container) (string, error) {
	if start.Container != "" {
		return start.Container, nil
	}
	if c := execTarget(list, start.Service, int(start.Index)); c != nil {
		return c.ID, nil
	}
	if start.Index > 0 {
		return "", fmt.Errorf("service %s has no container %d: start it with \"orlop up\"", start.Service, start.Index)
	}
	return "", fmt.Errorf("service %s has no container: start it with \"orlop up\"", start.Service)
}

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
	if k.State != planner.Running || k.Paused {
		rank += 2
	}
	if k.OneOff {
		rank++
	}
	return rank
}
