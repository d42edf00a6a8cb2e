package cmd

import (
	"testing"

	"github.com/spf13/cobra"
)

// TestAWordThatIsNoVerbBelowOneThatActs: deploy does something by itself, and has verbs below it.
func TestAWordThatIsNoVerbBelowOneThatActs(t *testing.T) {
	for word, want := range map[string]string{
		"rende": `unknown command "rende": did you mean "render"?`,
		"xyzzy": `unknown command "xyzzy": see orlop deploy --help`,
	} {
		root := &cobra.Command{Use: "orlop", SilenceErrors: true, SilenceUsage: true, TraverseChildren: true}
		run := func(*cobra.Command, []string) error { return nil }
		deploy := &cobra.Command{Use: "deploy", Args: cobra.NoArgs, RunE: run}
		deploy.AddCommand(&cobra.Command{Use: "render", Args: cobra.NoArgs, RunE: run})
		root.AddCommand(deploy)
		sayArguments(root)
		root.SetArgs([]string{"deploy", word})
		if err := root.Execute(); err == nil || err.Error() != want {
			t.Errorf("%s: %v", word, err)
		}
	}
}
