package terminal

import (
	"errors"
	"fmt"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// ErrNoTerminal says in Docker's words that what is to be typed for a process on a terminal would come from none.
var ErrNoTerminal = errors.New("the input device is not a TTY")

// CheckAttach is an error where what is typed for a container that has a terminal would come from none, as with Docker. Of one that does not
// run on, the engine says that.
func CheckAttach(inv *cli.Invocation, to string, k *planner.Container, noStdin bool) error {
	if !k.Applied.Service.Tty || k.State != planner.Running || k.Paused || noStdin || display.IsTerminal(inv.Stdin) {
		return nil
	}
	return fmt.Errorf("cannot attach to %s, which has a terminal (tty): %w (--no-stdin shows what it prints)", to, ErrNoTerminal)
}

// ProxiesSignals says whether signals are passed on to a container: who only looks at one that has a terminal lets go of it by them.
func ProxiesSignals(inv *cli.Invocation, tty, asked bool) bool {
	return asked && !(tty && !display.IsTerminal(inv.Stdin))
}

// SayAttached says what an attachment to a container does that shows nothing yet.
func SayAttached(inv *cli.Invocation, to string, start *api.ProcessStart, noStdin, proxy bool) {
	if inv.IsSilent() || start.Terminal {
		return
	}
	text := "attached to " + to
	if !start.Stdin && !noStdin {
		text += ", which takes no input (stdin_open)"
	}
	how := "Ctrl-C is passed on to it, unless with --sig-proxy=false"
	if !proxy {
		how = "Ctrl-C lets go of it"
	}
	fmt.Fprintf(inv.Stderr, " %s; %s\n", text, how)
}
