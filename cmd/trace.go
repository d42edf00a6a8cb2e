package cmd

import (
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// maxTrace is the limit of a timeline, in bytes.
const maxTrace = 256 << 20

func (a *app) traceCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "trace FILE",
		Short: "Tell what an up or build spent its time on, from its --trace file",
		Example: "  orlop up -d --trace up.json\n" +
			"  orlop trace up.json  the steps that decided how long it took; ui.perfetto.dev shows all of them",
		Args: cli.AtLeast(1, "a file that --trace has written"),
		RunE: func(c *cobra.Command, args []string) error {
			path := args[0]
			if !filepath.IsAbs(path) {
				path = filepath.Join(a.Dir, path)
			}
			data, err := a.Given.Read(c.Context(), path, maxTrace)
			if err != nil {
				return fmt.Errorf("cannot read the trace: %w", err)
			}
			all, err := display.ReadTrace(data)
			if err != nil {
				return fmt.Errorf("%s is not a trace that orlop has written: %w", args[0], err)
			}
			st := a.StyleOf(a.Stdout)
			for _, t := range all {
				fmt.Fprint(a.Stdout, display.Lines(t.Told(st)))
			}
			return nil
		},
	}
}
