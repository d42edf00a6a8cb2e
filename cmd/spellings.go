package cmd

import (
	"cmp"
	"fmt"
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

// parallelSwitch has --parallel of a verb be what Compose has for it there: a switch for what is done anyway. With "=N" it is that of all verbs.
func parallelSwitch(c *cobra.Command, limit *int) {
	f := c.Flags().VarPF(&parallel{limit: limit}, "parallel", "", "as many at once as there are; --parallel=N is of all verbs")
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

// isLimited says that the command line has a limit of what is done at once.
func isLimited(c *cobra.Command) bool {
	if c.Root().Flags().Changed("parallel") {
		return true
	}
	f := c.Flags().Lookup("parallel")
	return f != nil && f.Changed && f.Value.String() != "true"
}
