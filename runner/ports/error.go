package ports

import (
	"errors"
	"fmt"
	"strings"
	"syscall"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/spec"
)

// isTaken says that a port could not be published because another has it.
func isTaken(err error) bool {
	held, ok := errors.AsType[*keeper.PortError](err)
	return ok && syscall.Errno(held.Errno) == syscall.EADDRINUSE
}

// Error is a port that can't be published.
type Error struct {
	Service string
	Port    string
	Target  int
	Proto   string
	Place   spec.Place
	Err     error
}

func (e *Error) Error() string {
	at := ""
	if e.Place.Line > 0 {
		at = " (" + e.Place.String() + ")"
	}
	port := e.Port
	if port == "" {
		port = "any port"
	}
	cause := e.Err.Error()
	if held, ok := errors.AsType[*keeper.PortError](e.Err); ok {
		cause = held.Reason
		switch {
		case held.Holder != "":
			cause = "held by " + holder(held.Holder)
		case held.PID != 0:
			cause = fmt.Sprintf("held by %s (process %d)", held.Process, held.PID)
		}
	}
	return fmt.Sprintf("cannot publish %s/%s for %s%s: %s", port, e.Proto, e.Service, at, cause)
}

// holder names the replica that a listener's key speaks of; see Owner.Place.
func holder(key string) string {
	parts := strings.SplitN(key, "/", 4)
	switch {
	case len(parts) < 4:
		return key
	case parts[2] == "0": // one-off
		return "run " + parts[1] + " of " + parts[0]
	}
	return parts[1] + "/" + parts[2] + " of " + parts[0]
}

func (e *Error) Unwrap() error { return e.Err }
