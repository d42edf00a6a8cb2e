package oci

import (
	"fmt"

	"github.com/orlop/orlop/spec"
)

// KeyError is a key of a service that can't be carried out as it is.
type KeyError struct {
	Service string
	Key     string // user, mem_limit
	Place   spec.Place
	Text    string
	Err     error // what it was told by; may be nil
}

func (e *KeyError) Error() string {
	at := ""
	if e.Place.Line > 0 {
		at = " (" + e.Place.String() + ")"
	}
	return fmt.Sprintf("services.%s.%s%s: %s", e.Service, e.Key, at, e.Text)
}

func (e *KeyError) Unwrap() error { return e.Err }

// Warning is what a container gets otherwise than the service asks for.
type Warning struct {
	Key  string // of the service
	Text string
}

// Placed is the warning with its key and where the stack file has it.
func (w Warning) Placed(service string, places spec.Places) string {
	path, at := "services."+service+"."+w.Key, ""
	if place := places.Nearest(path); place.Line > 0 {
		at = " (" + place.String() + ")"
	}
	return path + ": " + w.Text + at
}
