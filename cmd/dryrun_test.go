package cmd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
)

// TestDryRunsOfAllVerbs: a verb either says what it would do, or only reads, or is refused before it does anything.
// One that is new is refused until somebody has looked at it.
func TestDryRunsOfAllVerbs(t *testing.T) {
	refused := strings.Split("attach, ci, config create, config rm, container attach, container exec, container export, diagnose, engine restart, engine start, "+
		"engine stop, exec, export, image import, image load, image save, image sign, login, logout, "+
		"secret create, secret rm, volume export, volume import", ", ")
	all := map[string]bool{}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if c.PersistentPreRunE != nil && c.HasParent() {
			t.Errorf("%s is not begun as the others are", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
		verb := strings.TrimPrefix(c.CommandPath(), "orlop ")
		all[verb] = true
		err := cli.MayForetell(c)
		switch {
		case slices.Contains(refused, verb):
			if err == nil || err.Error() != "orlop "+verb+" has no dry run: nothing was done" {
				t.Errorf("%s: %v", verb, err)
			}
		case err != nil:
			t.Errorf("%s is refused, and this test does not know of it", verb)
		}
	}
	root := newApp(cli.World{Now: time.Now}).root()
	root.InitDefaultHelpCmd()
	walk(root)
	for _, verb := range slices.Concat(refused, cli.Foretelling()) {
		if !all[verb] {
			t.Errorf("there is no %s", verb)
		}
	}
}
