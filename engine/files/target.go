package files

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// one is the container that a request names: by its name, its ID, or the beginning of that;
// else the one of a number, or the first, of a service. One that a run has made is taken
// only where there is no other.
func (s *Server) one(r *api.ContainerRequest) (*planner.Container, error) {
	if r.GetContainer() != "" {
		c, err := named(s.Containers.Containers(""), r.Container)
		if c != nil || err != nil {
			return c, err
		}
	}
	if r.GetService() != "" {
		if list := replicas(s.Containers.Containers(r.Project), r, true); len(list) > 0 {
			return list[0], nil
		}
	}
	return nil, none(r)
}

// none is the error of a request that no container answers.
func none(r *api.ContainerRequest) error {
	switch {
	case r.GetContainer() != "":
		return fmt.Errorf("no container is named %s, or has an ID that begins so: \"orlop ps -a\" lists those of a stack", r.Container)
	case r.GetIndex() > 0:
		return fmt.Errorf("service %s has no container %d: \"orlop ps -a\" lists those that it has", r.Service, r.Index)
	}
	return fmt.Errorf("service %s has no container: make it with \"orlop create\" or \"orlop up\"", r.GetService())
}

// shortestID is how many digits of an ID are taken for it.
const shortestID = 4

func named(all []planner.Container, ref string) (*planner.Container, error) {
	var found *planner.Container
	for i := range all {
		c := &all[i]
		if c.Name == ref || c.ID == ref {
			return c, nil
		}
		if len(ref) >= shortestID && strings.HasPrefix(c.ID, ref) {
			if found != nil {
				return nil, fmt.Errorf("the IDs of %s and %s both begin with %s: write more of it", found.Name, c.Name, ref)
			}
			found = c
		}
	}
	return found, nil
}

// replicas are the containers of a service that a request is about, by their numbers; with
// oneOffs those of runs follow.
func replicas(all []planner.Container, r *api.ContainerRequest, oneOffs bool) (list []*planner.Container) {
	for i := range all {
		c := &all[i]
		isAsked := r.Index == 0 && (oneOffs || !c.OneOff) || r.Index > 0 && !c.OneOff && c.Number == int(r.Index)
		if c.Service == r.Service && isAsked {
			list = append(list, c)
		}
	}
	slices.SortStableFunc(list, func(x, y *planner.Container) int {
		if x.OneOff != y.OneOff {
			if y.OneOff {
				return -1
			}
			return 1
		}
		return x.Number - y.Number
	})
	return list
}
