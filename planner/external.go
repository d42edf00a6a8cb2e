package planner

import (
	"fmt"
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
	return placed(e.Place, text)
}

// placed is a text with its place, if that is known.
func placed(at spec.Place, text string) string {
	if at.File == "" {
		return text
	}
	return at.String() + ": " + text
}

// missing notes that an external thing is not there. The planning goes on, so
// that all of them are told at once.
func (c *converger) missing(kind, name, path string) {
	c.refused = append(c.refused, &MissingError{Kind: kind, Name: name, Place: c.project.Places.Nearest(path)})
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
	return placed(e.Why.Place, text)
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
	return placed(e.Why.Place, text)
}
