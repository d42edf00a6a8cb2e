package ports

import (
	"errors"
	"fmt"
	"net/netip"
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

// isMissing says that a port could not be published because the kernel or the keeper has
// nothing of its protocol: no call of the kernel's about an address or a port has failed.
func isMissing(err error) bool {
	bad, ok := errors.AsType[*keeper.PortError](err)
	return ok && bad.Errno == 0
}

// Error is a port that can't be published.
type Error struct {
	Service string
	Host    netip.Addr // invalid: all addresses of the machine
	Port    string     // "", a number or a range
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

const lastPort = 65535

// another says how to publish what nobody else does, to nobody else than before.
func (e *Error) another() string {
	from, to, isRange := strings.Cut(e.Port, "-")
	low, err := strconv.Atoi(from)
	if err != nil {
		return "the machine has no free port: stop what has them"
	}
	if !isRange {
		next := low + 1
		if low >= lastPort {
			next = low - 1
		}
		return fmt.Sprintf("publish another port, as in %q", e.entry(strconv.Itoa(next)))
	}
	high, _ := strconv.Atoi(to)
	next, what := high+1, "a longer range, or another"
	if next+high-low > lastPort {
		next, what = low-1-(high-low), "another range"
	}
	if next < 1 {
		return "stop what has one of them"
	}
	return fmt.Sprintf("publish %s, as in %q", what, e.entry(fmt.Sprintf("%d-%d", next, next+high-low)))
}

// entry is one of ports in its short form, with another port of the machine.
func (e *Error) entry(port string) string {
	text := fmt.Sprintf("%s:%d", port, e.Target)
	switch {
	case e.Host.Is4():
		text = e.Host.String() + ":" + text
	case e.Host.IsValid():
		text = "[" + e.Host.String() + "]:" + text
	}
	if e.Proto != spec.ProtocolTCP {
		text += "/" + e.Proto
	}
	return text
}

// holder names the replica that a listener's key speaks of; see Owner.Place.
func holder(key string) string {
	parts := strings.SplitN(key, "/", 4)
	switch {
	case len(parts) < 4:
		return key
	case spec.Lone(parts[0]) != "":
		return "container " + spec.Lone(parts[0])
	case parts[2] == "0": // one-off
		return "run " + parts[1] + " of " + parts[0]
	}
	return parts[1] + "/" + parts[2] + " of " + parts[0]
}

func (e *Error) Unwrap() error { return e.Err }
