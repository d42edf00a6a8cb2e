package supervisor

import (
	"fmt"
	"sync"

	"github.com/orlop/orlop/spec"
)

// NameError is a container's name that another container has.
type NameError struct {
	Name    string
	Service string
	Project string // of the container that has it
	OneOff  bool   // the new container is a run's
	IsLone  bool   // it is of an image alone
}

func (e *NameError) Error() string {
	how := "container_name"
	if e.OneOff {
		how = "--name"
	}
	what, other := "a container of "+e.Service, "a container of project "+e.Project
	if e.IsLone {
		what = "container " + e.Name
	}
	if spec.Lone(e.Project) != "" {
		other = "another container"
	}
	return fmt.Sprintf("cannot make %s: %s is named %s already: remove that one, or choose another name with %s", what, other, e.Name, how)
}

// Claims are the names of containers that are being made. The zero value has none.
type Claims struct {
	mu     sync.Mutex
	making map[string]*Record // guarded by mu: name -> a container that is not among the others yet
}

// Claim keeps a container's name from all others until release is called; by then the
// container is among those that all gives. Two containers of one replica may have the
// same name: one replaces the other.
func (n *Claims) Claim(rec *Record, all func() []Record) (release func(), err error) {
	if other := n.take(rec); other != nil {
		return nil, &NameError{Name: rec.Name, Service: rec.Service, Project: other.Project, OneOff: rec.OneOff, IsLone: spec.Lone(rec.Project) != ""}
	}
	// After those that are being made: they are in one of the two at every moment.
	for _, other := range all() {
		if other.Name == rec.Name && !sameReplica(&other, rec) {
			n.release(rec)
			return nil, &NameError{Name: rec.Name, Service: rec.Service, Project: other.Project, OneOff: rec.OneOff, IsLone: spec.Lone(rec.Project) != ""}
		}
	}
	return func() { n.release(rec) }, nil
}

// take claims a name, or gives who has it.
func (n *Claims) take(rec *Record) *Record {
	n.mu.Lock()
	defer n.mu.Unlock()
	if other := n.making[rec.Name]; other != nil && !sameReplica(other, rec) {
		return other
	}
	if n.making == nil {
		n.making = map[string]*Record{}
	}
	n.making[rec.Name] = rec
	return nil
}

func (n *Claims) release(rec *Record) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.making[rec.Name] == rec {
		delete(n.making, rec.Name)
	}
}

func sameReplica(a, b *Record) bool {
	return !a.OneOff && !b.OneOff && a.Project == b.Project && a.Service == b.Service && a.Number == b.Number
}
