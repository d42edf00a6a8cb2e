package proc

import (
	"fmt"
	"syscall"

	"github.com/moby/sys/signal"
)

// lastSignal is the highest one of Linux, SIGRTMAX.
const lastSignal = 64

// ParseSignal reads a name or number; "" is SIGKILL, as for Compose's kill.
func ParseSignal(name string) (syscall.Signal, error) {
	if name == "" {
		return syscall.SIGKILL, nil
	}
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return 0, fmt.Errorf("no signal named %q", name)
	}
	if sig < 1 || sig > lastSignal {
		return 0, fmt.Errorf("there is no signal %d: they are 1 to %d", sig, lastSignal)
	}
	return sig, nil
}

// IsFatal says that a kill with the signal of that name ends a container in any
// case.
func IsFatal(name string) bool {
	sig, err := ParseSignal(name)
	return err == nil && sig == syscall.SIGKILL
}

// StopSignal parses a name or number; what can't be parsed is SIGTERM.
func StopSignal(name string) syscall.Signal {
	if name == "" {
		return syscall.SIGTERM
	}
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return syscall.SIGTERM
	}
	return sig
}
