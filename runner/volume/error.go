package volume

import (
	"fmt"

	"github.com/orlop/orlop/spec"
)

// MountError is an entry of a service's volumes that can't be mounted.
type MountError struct {
	Service string
	Source  string // "" where nobody named one
	Target  string
	Place   spec.Place
	Err     error
}

func (e *MountError) Error() string {
	what, at := e.Target, ""
	if e.Source != "" {
		what = e.Source + " at " + e.Target
	}
	if e.Place.Line > 0 {
		at = " (" + e.Place.String() + ")"
	}
	return fmt.Sprintf("cannot mount %s for %s%s: %v", what, e.Service, at, e.Err)
}

func (e *MountError) Unwrap() error { return e.Err }
