package cmd

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/format"
)

// versionLine is the version as "version --format json" prints it.
type versionLine struct {
	Version string `json:"version"`
}

func (a *app) versionCommand() *cobra.Command {
	var short bool
	var text string
	c := &cobra.Command{
		Use:     "version",
		Short:   "Print the version of the command",
		Example: "  orlop version --short\n  orlop engine status  the version of the engine",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			switch {
			case text == "json":
				return json.NewEncoder(a.Stdout).Encode(versionLine{a.Version})
			case text != "pretty":
				shape, err := format.Parse[versionLine](text, "versions", format.Headers{"Version": "VERSION"})
				if err != nil || shape.IsTable() {
					return cmp.Or(err, cli.Choice("format", text, "pretty", "json", "a template such as '{{.Version}}'"))
				}
				return shape.Print(a.Stdout, []versionLine{{a.Version}})
			case short:
				fmt.Fprintln(a.Stdout, a.Version)
			default:
				fmt.Fprintln(a.Stdout, "orlop version "+a.Version)
			}
			return nil
		},
	}
	c.Flags().BoolVar(&short, "short", false, "the version alone")
	c.Flags().StringVarP(&text, "format", "f", "pretty", "pretty, json, or a Go `template`")
	return c
}
