// Package target says which container a process is for.
package target

import (
	"fmt"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// Of is the ID of the container that a process is for, of those of its
// project.
func Of(start *api.ProcessStart, list []planner.Container) (string, error) {
	if start.Container != "" {
		return start.Container, nil
	}
	if c := In(list, start.Service, int(start.Index)); c != nil {
		return c.ID, nil
	}
	if start.Index > 0 {
		return "", fmt.Errorf("service %s has no container %d: start it with \"orlop up\"", start.Service, start.Index)
	}
	return "", fmt.Errorf("service %s has no container: start it with \"orlop up\"", start.Service)
}

// In is the container of a service that a process joins: that of the
// number, or the first one that runs; a run's only where there is no other, as
// in Compose. It is nil where there is none.
func In(list []planner.Container, service string, number int) *planner.Container {
	var found *planner.Container
	for i := range list {
		k := &list[i]
		if k.Service != service || number > 0 && (k.Number != number || k.OneOff) {
			continue
		}
		if found == nil || rank(k) < rank(found) || rank(k) == rank(found) && k.Number < found.Number {
			found = k
		}
	}
	return found
}

// rank orders containers by how well a process may join them.
func rank(k *planner.Container) int {
	n := 0
	if k.State != planner.Running {
		n += 2
	}
	if k.OneOff {
		n++
	}
	return n
}
