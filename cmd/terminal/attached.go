package terminal

import (
	"fmt"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
)

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
