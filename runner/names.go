package runner

import (
	"fmt"

	"github.com/orlop/orlop/runner/supervisor"
)

// NameError is a container's name that another container has.
type NameError struct {
	Name    string
	Service string
	Project string // of the container that has it
	OneOff  bool   // the new container is a run's
}

func (e *NameError) Error() string {
	how := "container_name"
	if e.OneOff {
		how = "--name"
	}
	return fmt.Sprintf("cannot make a container of %s: a container of project %s is named %s already: remove that one, or choose another name with %s",
		e.Service, e.Project, e.Name, how)
}

// claimName keeps a container's name from all others until release is called;
// by then the container is there. Two containers of one replica may have the
// same name: one replaces the other.
func (r *Runner) claimName(rec *supervisor.Record) (release func(), err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.containers {
		if c.name == rec.Name && !c.isReplica(rec) {
			return nil, &NameError{Name: rec.Name, Service: rec.Service, Project: c.project, OneOff: rec.OneOff}
		}
	}
	if other := r.making[rec.Name]; other != nil && !sameReplica(other, rec) {
		return nil, &NameError{Name: rec.Name, Service: rec.Service, Project: other.Project, OneOff: rec.OneOff}
	}
	r.making[rec.Name] = rec
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.making[rec.Name] == rec {
			delete(r.making, rec.Name)
		}
	}, nil
}

// isReplica says that a record is one of the same replica as the container.
func (c *container) isReplica(rec *supervisor.Record) bool {
	mine := c.snapshot()
	return sameReplica(&mine, rec)
}

func sameReplica(a, b *supervisor.Record) bool {
	return !a.OneOff && !b.OneOff && a.Project == b.Project && a.Service == b.Service && a.Number == b.Number
}
