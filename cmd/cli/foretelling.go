package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// Foretelling are the verbs that may run with --dry-run: those that then say what they would do, and those that only
// read. One that is not among them is refused before it does anything.
func Foretelling() []string {
	return []string{
		"up", "down", "create", "build", "pull", "publish", "run", "start", "stop", "restart", "pause", "unpause", "scale", "kill", "rm", "watch", "gc",
		"commit", "container commit", "container run", "container create",
		"plan", "why", "graph", "ps", "ls", "logs", "config", "images", "volumes", "port", "env", "events", "stats", "doctor", "trace", "version", "completion", "help",
		"config ls", "config inspect", "secret ls", "secret inspect", "image ls", "image inspect", "image history", "image verify", "volume ls", "volume inspect",
		"network ls", "network inspect", "image prune", "volume prune", "network prune", "container prune", "system df", "system prune", "cache ls", "cache prune",
		"container ls", "container inspect", "container logs", "container port", "container stats", "container top", "container wait", "top", "wait", "container start", "container stop", "container restart", "container pause", "container unpause", "container kill", "container rm",
		"cp", "container cp", "push", "lock", "image rm", "image tag", "image pull", "image push", "volume create", "volume rm", "network create", "network rm", "network connect", "network disconnect",
		"container diff", "image diff", "engine status", "engine logs", "deploy", "bridge",
	}
}

// ofDeploy are those below deploy, which another program has.
func ofDeploy() []string {
	return []string{"deploy plan", "deploy status", "deploy logs", "deploy history", "deploy rollback", "deploy down", "deploy render", "bridge convert"}
}

// MayForetell refuses a verb that --dry-run says nothing to. What only holds others gives its help; what is hidden is no verb of a user's.
func MayForetell(c *cobra.Command) error {
	verb := strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
	if !c.HasParent() || c.HasSubCommands() || c.Hidden || slices.Contains(Foretelling(), verb) || slices.Contains(ofDeploy(), verb) {
		return nil
	}
	return fmt.Errorf("%s has no dry run: nothing was done", c.CommandPath())
}
