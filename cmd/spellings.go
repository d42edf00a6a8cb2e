package cmd

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// spell has flags be known by other names, too, that Compose takes for them.
func spell(c *cobra.Command, names map[string]string) {
	c.Flags().SetNormalizeFunc(func(_ *pflag.FlagSet, name string) pflag.NormalizedName {
		return pflag.NormalizedName(cmp.Or(names[name], name))
	})
}

// parallelSwitch has --parallel of a verb be what Compose has for it there: a switch for what is done anyway. With a number, which
// joinParallel has follow it as a word too, it is that of all verbs.
func parallelSwitch(c *cobra.Command, limit *int) {
	f := c.Flags().VarPF(&parallel{limit: limit}, "parallel", "", "as many at once as there are; --parallel N is of all verbs")
	f.NoOptDefVal, f.Hidden = "true", true
}

// parallel is the value of parallelSwitch.
type parallel struct {
	limit *int
	text  string
}

func (p *parallel) String() string { return p.text }
func (p *parallel) Type() string   { return "bool" }

func (p *parallel) Set(text string) error {
	if _, err := strconv.ParseBool(text); err == nil && text != "1" && text != "0" {
		p.text = "true"
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("%q is not an integer", text)
	}
	*p.limit, p.text = n, text
	return nil
}

// joinParallel makes "--parallel N" of a command line "--parallel=N" where its verb has the switch, which takes no word for its value. A service
// whose name is a number stands before the switch, or behind "--parallel=true".
func joinParallel(root *cobra.Command, args []string) []string {
	at := slices.Index(args, "--parallel")
	if at < 0 || at+1 == len(args) {
		return args
	}
	if end := slices.Index(args, "--"); end >= 0 && end < at {
		return args
	}
	if _, err := strconv.Atoi(args[at+1]); err != nil {
		return args
	}
	verb, _, err := root.Find(args)
	if err != nil {
		return args
	}
	if f := verb.Flags().Lookup("parallel"); f == nil || f.NoOptDefVal == "" {
		return args
	}
	return slices.Concat(args[:at], []string{"--parallel=" + args[at+1]}, args[at+2:])
}

// isLimited says that the command line has a limit of what is done at once.
func isLimited(c *cobra.Command) bool {
	if c.Root().Flags().Changed("parallel") {
		return true
	}
	f := c.Flags().Lookup("parallel")
	return f != nil && f.Changed && f.Value.String() != "true"
}
