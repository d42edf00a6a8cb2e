package cmd

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/ports"
)

func (a *app) envCommand() *cobra.Command {
	var file, format string
	c := &cobra.Command{
		Use:   "env [SERVICE...]",
		Short: "Print where published ports are, as environment variables",
		Example: "  orlop env                          WEB_80_PORT, WEB_80_ADDRESS, WEB_80_URL, ...\n" +
			"  orlop env --file .env.test         write them to a file\n" +
			"  eval \"$(orlop env --format shell)\"  set them in this shell",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.Choice("format", format, "dotenv", "json", "shell"); err != nil {
				return err
			}
			return a.environment(c.Context(), args, file, format)
		},
	}
	c.Flags().StringVar(&file, "file", "", "write to this `file`, whole or not at all, instead of the screen")
	c.Flags().StringVar(&format, "format", "dotenv", "dotenv, json or shell")
	return c
}

func (a *app) environment(ctx context.Context, services []string, file, format string) error {
	lines, err := ports.Of(ctx, a.Invocation, services)
	if err != nil {
		return err
	}
	text, err := ports.Environment(lines, format)
	if err != nil {
		return err
	}
	if file == "" {
		_, err = fmt.Fprint(a.Stdout, text)
		return err
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(a.Dir, file)
	}
	return display.ReplaceFile(file, text)
}
