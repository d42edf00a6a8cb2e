package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// sayArguments has all verbs below one say in our words which arguments they take, where the library of flags has its own.
func sayArguments(c *cobra.Command) {
	for _, sub := range c.Commands() {
		if check := sub.Args; check != nil {
			sub.Args = func(c *cobra.Command, args []string) error {
				err := check(c, args)
				if err == nil || !isOfTheLibrary(err) {
					return err
				}
				return misuse(c, wrongArguments(c, args))
			}
		}
		sayArguments(sub)
	}
}

func isOfTheLibrary(err error) bool {
	text := err.Error()
	return strings.HasPrefix(text, "accepts ") || strings.HasPrefix(text, "requires at least ") || strings.HasPrefix(text, "unknown command ")
}

// wrongArguments says what a verb takes, by its line of usage.
func wrongArguments(c *cobra.Command, args []string) error {
	_, takes, _ := strings.Cut(c.Use, " ")
	needed := 0
	for _, word := range strings.Fields(takes) {
		if !strings.HasPrefix(word, "[") {
			needed++
		}
	}
	switch {
	case len(args) < needed:
		return fmt.Errorf("%s needs %s: see %s --help", c.CommandPath(), takes, c.CommandPath())
	case takes == "" && c.HasAvailableSubCommands():
		return unknownVerb(c, args[0])
	case takes == "":
		return fmt.Errorf("%s takes no arguments, not %q: see %s --help", c.CommandPath(), args[0], c.CommandPath())
	}
	return fmt.Errorf("%s takes %s, not %q too: see %s --help", c.CommandPath(), takes, args[len(args)-1], c.CommandPath())
}
