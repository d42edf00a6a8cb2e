package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/graph"
)

func (a *app) graphCommand() *cobra.Command {
	var format string
	var servicesOnly bool
	c := &cobra.Command{
		Use:   "graph [SERVICE...]",
		Short: "Show what the stack consists of, and what depends on what",
		Example: "  orlop graph\n" +
			"  orlop graph --format svg > stack.svg\n" +
			"  orlop graph --format mermaid --services-only   for a page in Markdown",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.Choice("format", format, "text", "dot", "mermaid", "svg"); err != nil {
				return err
			}
			project, err := a.Load(c.Context(), args, false)
			if err != nil {
				return err
			}
			g := graph.Of(project, args, !servicesOnly)
			text := map[string]func() string{"text": g.Text, "dot": g.DOT, "mermaid": g.Mermaid, "svg": g.SVG}[format]()
			_, err = fmt.Fprint(a.Stdout, text)
			return err
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text, dot (of Graphviz), mermaid or svg")
	c.Flags().BoolVar(&servicesOnly, "services-only", false, "leave networks, volumes, secrets and configs out")
	return c
}
