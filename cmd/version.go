package cmd

import (
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
)

func (a *app) versionCommand() *cobra.Command {
	var short bool
	var format string
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of the command",
		Example: "  orlop version --short\n  orlop engine status  the version of the engine",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			switch {
			case format == "json":
				return json.NewEncoder(a.Stdout).Encode(map[string]string{"version": a.Version})
			case format != "pretty":
				return cli.Choice("format", format, "pretty", "json")
			case short:
				fmt.Fprintln(a.Stdout, a.Version)
			default:
				fmt.Fprintln(a.Stdout, "orlop version "+a.Version)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&short, "short", false, "the version alone")
	c.Flags().StringVar(&format, "format", "pretty", "pretty or json")
	return c
}
