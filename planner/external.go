package planner

import (
	"fmt"

	"github.com/orlop/orlop/spec"
)

// MissingError is an external network or volume that the plan needs and that
// does not exist.
type MissingError struct {
	Kind  string // network or volume
	Name  string
	Place spec.Place
}

func (e *MissingError) Error() string {
	text := fmt.Sprintf("external %s %s does not exist: make it with \"orlop %s create %s\"", e.Kind, e.Name, e.Kind, e.Name)
	if e.Place.File == "" {
		return text
	}
	return e.Place.String() + ": " + text
}

// missing notes that an external thing is not there. The planning goes on, so
// that all of them are told at once.
func (c *converger) missing(kind, name, path string) {
	c.lacking = append(c.lacking, &MissingError{Kind: kind, Name: name, Place: c.project.Places.Nearest(path)})
}
