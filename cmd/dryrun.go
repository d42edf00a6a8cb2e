package cmd

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/terminal"
)

// foretelling are the verbs that may run with --dry-run: those that then say what they would do, and those that only
// read. One that is not among them is refused before it does anything.
func foretelling() []string {
	return []string{
		"up", "down", "create", "build", "pull", "publish", "run", "start", "stop", "restart", "pause", "unpause", "scale", "kill", "rm", "watch", "gc",
		"commit", "container commit", "container run",
		"plan", "why", "graph", "ps", "ls", "logs", "config", "images", "volumes", "port", "env", "events", "stats", "doctor", "trace", "version", "completion", "help",
		"config ls", "config inspect", "secret ls", "secret inspect", "image ls", "image inspect", "image history", "volume ls", "volume inspect",
		"network ls", "network inspect", "image prune", "volume prune", "network prune", "container prune", "system df", "system prune", "cache ls", "cache prune",
		"container ls", "container inspect", "container logs", "engine status", "engine logs", terminal.GuardVerb,
	}
}

// mayForetell refuses a verb that --dry-run says nothing to. What only holds others gives its help.
func mayForetell(c *cobra.Command) error {
	verb := strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
	if !c.HasParent() || c.HasSubCommands() || slices.Contains(foretelling(), verb) {
		return nil
	}
	return fmt.Errorf("%s has no dry run: nothing was done", c.CommandPath())
}
