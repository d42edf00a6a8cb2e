package cmd

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/daemon"
)

func (a *app) engineCommand() *cobra.Command {
	return verbGroup("engine", "Start, stop and look at the engine", "  orlop engine status\n  orlop engine logs -f",
		&cobra.Command{
			Use: "start", Short: "Start the engine; other commands do so by themselves", Example: "  orlop engine start", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return a.WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
					status, err := client.Status(ctx, &api.StatusRequest{})
					if err == nil {
						fmt.Fprintf(a.Stdout, "the engine is running (process %d)\n", status.Pid)
					}
					return err
				})
			},
		},
		&cobra.Command{
			Use: "stop", Short: "Stop the engine; containers keep running", Example: "  orlop engine stop", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return daemon.Daemon{Invocation: a.Invocation}.Stop(c.Context())
			},
		},
		&cobra.Command{
			Use: "restart", Short: "Restart the engine, to upgrade it; containers keep running", Example: "  orlop engine restart", Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error {
				return daemon.Daemon{Invocation: a.Invocation}.Restart(c.Context())
			},
		},
		a.engineStatusCommand(), a.engineLogsCommand())
}

func (a *app) engineStatusCommand() *cobra.Command {
	var format string
	c := &cobra.Command{
		Use: "status", Short: "Show the engine's processes, versions, memory and work", Example: "  orlop engine status --format json",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.Choice("format", format, "text", "json"); err != nil {
				return err
			}
			return daemon.Daemon{Invocation: a.Invocation}.Status(c.Context(), format)
		},
	}
	c.Flags().StringVar(&format, "format", "text", "text or json")
	return c
}

func (a *app) engineLogsCommand() *cobra.Command {
	var follow, ofKeeper bool
	var tail string
	c := &cobra.Command{
		Use: "logs", Short: "Show the engine's own log", Example: "  orlop engine logs -f\n  orlop engine logs --keeper", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			n := -1
			if tail != "all" {
				var err error
				if n, err = strconv.Atoi(tail); err != nil || n < 0 {
					return fmt.Errorf("--tail is %q: it must be a number of lines or all", tail)
				}
			}
			name := "engine.log"
			if ofKeeper {
				name = "keeper.log"
			}
			return daemon.Daemon{Invocation: a.Invocation}.Logs(c.Context(), filepath.Join(a.RootDir(), "log", name), n, follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written from now on")
	c.Flags().StringVarP(&tail, "tail", "n", "200", "`lines` to show, or all")
	c.Flags().BoolVar(&ofKeeper, "keeper", false, "the keeper's log")
	return c
}
