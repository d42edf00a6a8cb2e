package ports

import (
	"errors"
	"fmt"
	"strconv"
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
			cause = "held by " + holder(held.Holder) + ": stop it, or " + e.another()
		case held.PID != 0:
			cause = fmt.Sprintf("held by %s (process %d): stop it, or %s", held.Process, held.PID, e.another())
		case isTaken(e.Err):
			cause += ": " + e.another()
		}
	}
	return fmt.Sprintf("cannot publish %s/%s for %s%s: %s", port, e.Proto, e.Service, at, cause)
}

// another says how to publish what nobody else does.
func (e *Error) another() string {
	port, err := strconv.Atoi(e.Port)
	if err != nil || port >= 65535 {
		return "publish others"
	}
	text := fmt.Sprintf("%d:%d", port+1, e.Target)
	if e.Proto != spec.ProtocolTCP {
		text += "/" + e.Proto
	}
	return fmt.Sprintf("publish another port, as in %q", text)
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
