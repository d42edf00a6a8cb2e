package topology

import (
	"errors"

	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/spec"
)

// KeyError is a key of a network that can't be carried out on this machine.
type KeyError struct {
	Path  string     // "networks.front.enable_ipv6"
	Place spec.Place // where it stands, if that is known
	Err   error
}

func (e *KeyError) Error() string {
	at := e.Path + ": "
	if e.Place.Line > 0 {
		at = e.Place.String() + ": " + at
	}
	return at + e.Err.Error()
}

func (e *KeyError) Unwrap() error { return e.Err }

// blame adds to an error which key of a network asks for what failed.
func blame(err error, key string) error {
	if key != "" && errors.Is(err, network.ErrNoIPv6) {
		return &KeyError{Path: "networks." + key + ".enable_ipv6", Err: err}
	}
	if _, isParent := errors.AsType[*network.ParentError](err); key != "" && isParent {
		return &KeyError{Path: "networks." + key + ".driver_opts." + spec.OptParent, Err: err}
	}
	return err
}

// Placed adds to an error where the key stands that it speaks of.
func Placed(err error, places spec.Places) error {
	if ke, ok := errors.AsType[*KeyError](err); ok {
		ke.Place = places.Nearest(ke.Path)
	}
	return err
}
