package files

import (
	"fmt"
	"slices"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// one is the container that a request names: by its name or its ID; else the one of a number,
// or the first, of a service; else by the first digits of an ID. One that a run has made is
// taken only where there is no other.
func (s *Server) one(r *api.ContainerRequest) (*planner.Container, error) {
	var all []planner.Container
	i, failed := -1, error(nil)
	if r.GetContainer() != "" {
		all = s.Containers.Containers("")
		i, failed = api.Named(r.Container, len(all), func(i int) (string, string) { return all[i].Name, all[i].ID })
	}
	if i >= 0 && (all[i].Name == r.Container || all[i].ID == r.Container) {
		return &all[i], nil
	}
	if r.GetService() != "" {
		if list := replicas(s.Containers.Containers(r.Project), r, true); len(list) > 0 {
			return list[0], nil
		}
	}
	switch {
	case failed != nil:
		return nil, failed
	case i < 0:
		return nil, none(r)
	}
	return &all[i], nil
}

// none is the error of a request that no container answers.
func none(r *api.ContainerRequest) error {
	switch {
	case r.GetContainer() != "":
		return fmt.Errorf("no container is named %s, or has an ID that begins so: \"orlop container ls -a\" lists them", r.Container)
	case r.GetIndex() > 0:
		return fmt.Errorf("service %s has no container %d: \"orlop ps -a\" lists those that it has", r.Service, r.Index)
	}
	return fmt.Errorf("service %s has no container: make it with \"orlop create\" or \"orlop up\"", r.GetService())
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
