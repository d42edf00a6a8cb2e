package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

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
	text := fmt.Sprintf("external %s %s does not exist: create it with \"orlop %s create %s\", or remove `external: true`", e.Kind, e.Name, e.Kind, e.Name)
	if e.Place.File == "" {
		return text
	}
	return e.Place.String() + ": " + text
}

// missing notes that an external thing is not there. The planning goes on, so
// that all of them are told at once.
func (c *converger) missing(kind, name, path string) {
	c.refused = append(c.refused, &MissingError{Kind: kind, Name: name, Place: c.project.Places.Nearest(path)})
}

// OutsideError are published ports of a service whose networks are all outside of the
// machine, as is known of external ones by looking alone.
type OutsideError struct {
	Service string
	Network string
	Driver  string
	Place   spec.Place
}

func (e *OutsideError) Error() string {
	text := fmt.Sprintf("services.%s.ports: external network %s is a %s, and no network of the service is one on which this machine reaches it: none of its ports is published; "+
		"remove ports, or give it a network with driver: bridge too", e.Service, e.Network, e.Driver)
	if e.Place.File == "" {
		return text
	}
	return e.Place.String() + ": " + text
}

// refuseOutside refuses published ports where nothing could lead to them.
func (c *converger) refuseOutside(order []string) {
	for _, name := range order {
		s := c.project.Services[name]
		var outside *OutsideError
		for _, key := range slices.Sorted(maps.Keys(s.Networks)) {
			n := c.project.Networks[key]
			if n == nil {
				continue
			}
			if have := c.observed.Networks[n.Name]; n.External && have.Applied != nil {
				n = have.Applied
			}
			if n.Outside() == "" {
				outside = nil
				break
			}
			outside = &OutsideError{Service: name, Network: key, Driver: n.Outside(), Place: c.project.Places.Nearest("services." + name + ".ports")}
		}
		if outside != nil && len(s.Ports) > 0 {
			c.refused = append(c.refused, outside)
		}
	}
}

// GuestsError is a network that would have to be made anew while containers of
// other projects are on it, which nobody has agreed to.
type GuestsError struct {
	Network string
	Guests  []Guest
	Why     Reason
}

func (e *GuestsError) Error() string {
	names := make([]string, len(e.Guests))
	for i, g := range e.Guests {
		names[i] = g.String()
	}
	text := fmt.Sprintf("network %s has to be made anew (%s), and containers of other projects are on it (%s): "+
		"\"orlop up -y\" detaches and attaches them again, \"orlop plan -y\" shows it", e.Network, e.Why, strings.Join(names, ", "))
	if e.Why.Place.File == "" {
		return text
	}
	return e.Why.Place.String() + ": " + text
}

// DataError is a volume that would have to be made anew, with what is in it, which
// nobody has agreed to.
type DataError struct {
	Volume string
	Why    Reason
}

func (e *DataError) Error() string {
	text := fmt.Sprintf("volume %s has to be made anew (%s), and what is in it would be lost: "+
		"\"orlop up -y\" loses it, \"orlop plan -y\" shows it; or give the volume another name", e.Volume, e.Why)
	if e.Why.Place.File == "" {
		return text
	}
	return e.Why.Place.String() + ": " + text
}
