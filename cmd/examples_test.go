package cmd

import (
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
)

// TestEachVerbHasAnExample: whoever asks for help sees how a verb is written.
func TestEachVerbHasAnExample(t *testing.T) {
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		if !c.Hidden && c.Example == "" && c.Name() != "help" {
			t.Errorf("%s has no example", c.CommandPath())
		}
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newApp(cli.World{Now: time.Now}).root())
}
