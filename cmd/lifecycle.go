package cmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/lifecycle"
	"github.com/orlop/orlop/planner"
)

func (a *app) startCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Start, "start [SERVICE...]", "Start containers that exist", "  orlop start db",
		display.Words{Done: "is started", Nothing: "has nothing to start", Failed: "is not started"}, a.startFlags)
}

// startFlags are --wait and --wait-timeout.
func (a *app) startFlags(c *cobra.Command) func(context.Context, *api.LifecycleRequest) error {
	var wait bool
	c.Flags().BoolVar(&wait, "wait", false, "return when every service is healthy or running")
	c.Flags().IntVar(&a.settings.Patience, "wait-timeout", 0, "`seconds` to wait at most; implies --wait")
	return func(_ context.Context, r *api.LifecycleRequest) error {
		r.Wait = wait || a.Patience > 0
		if a.Patience < 0 {
			return fmt.Errorf("--wait-timeout is %d: it must not be negative", a.Patience)
		}
		return nil
	}
}

func (a *app) stopCommand() *cobra.Command {
	c := a.lifecycleCommand(planner.Stop, "stop [SERVICE...]", "Stop containers without removing them", "  orlop stop -t 30 db",
		display.Words{Done: "is stopped", Nothing: "is stopped already", Failed: "is not stopped"}, stopTimeout)
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	return c
}

func (a *app) restartCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Restart, "restart [SERVICE...]", "Stop and start containers",
		"  orlop restart            all, in the order of depends_on; no completed one-shot that others wait for\n"+
			"  orlop restart migrate    a one-shot again",
		display.Words{Done: "is restarted", Nothing: "has nothing to restart", Failed: "is not restarted"}, restartFlags)
}

// restartFlags are --timeout and --no-deps.
func restartFlags(c *cobra.Command) func(context.Context, *api.LifecycleRequest) error {
	var noDeps bool
	c.Flags().BoolVar(&noDeps, "no-deps", false, "leave those running that restart with the services (depends_on, restart: true)")
	timeout := stopTimeout(c)
	return func(ctx context.Context, r *api.LifecycleRequest) error {
		r.NoDeps = noDeps
		return timeout(ctx, r)
	}
}

// stopTimeout adds --timeout; the returned function puts it into the request.
func stopTimeout(c *cobra.Command) func(context.Context, *api.LifecycleRequest) error {
	var seconds int
	timeoutFlag(c.Flags(), &seconds)
	return func(_ context.Context, r *api.LifecycleRequest) error {
		r.StopTimeoutMs, r.HasStopTimeout = cli.StopTimeout(seconds)
		return nil
	}
}

func (a *app) pauseCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Pause, "pause [SERVICE...]", "Freeze all processes of containers", "  orlop pause db    it keeps its memory, and answers nobody until unpause",
		display.Words{Done: "is paused", Nothing: "has nothing that runs, or is paused already", Failed: "stays as it is"}, nil)
}

func (a *app) unpauseCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Unpause, "unpause [SERVICE...]", "Have paused containers go on", "  orlop unpause db",
		display.Words{Done: "runs on", Nothing: "has nothing that is paused", Failed: "stays as it is"}, nil)
}

func (a *app) killCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Kill, "kill [SERVICE...]", "Send containers a signal, SIGKILL by default",
		"  orlop kill -s HUP web",
		display.Words{Done: "is signalled", Nothing: "has nothing that runs", Failed: "is not signalled"},
		func(c *cobra.Command) func(context.Context, *api.LifecycleRequest) error {
			var signal string
			var orphans bool
			c.Flags().BoolVar(&orphans, "remove-orphans", false, "send it also to containers of services that the stack file no longer has")
			c.Flags().StringVarP(&signal, "signal", "s", "SIGKILL", "`signal` to send")
			return func(_ context.Context, r *api.LifecycleRequest) error {
				r.Signal = signal
				if orphans {
					r.Within = nil
				}
				return nil
			}
		})
}

func (a *app) rmCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Remove, "rm [SERVICE...]", "Remove containers that are stopped", "  orlop rm -sf worker",
		display.Words{Done: "is removed", Nothing: "has nothing to remove", Failed: "is not removed"},
		func(c *cobra.Command) func(context.Context, *api.LifecycleRequest) error {
			var stop, force, volumes bool
			c.Flags().BoolVarP(&stop, "stop", "s", false, "stop those that run, and remove them too")
			c.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
			c.Flags().BoolP("all", "a", false, "without effect, as in Compose: the containers of runs are removed too")
			hide(c, "all")
			c.Flags().BoolVarP(&volumes, "volumes", "v", false, "remove anonymous volumes with them")
			return func(ctx context.Context, r *api.LifecycleRequest) error {
				r.OnlyStopped, r.RemoveVolumes = !stop, volumes
				if force || r.DryRun {
					return nil
				}
				return a.MayRemove(ctx, "Remove containers of "+r.Project+"?")
			}
		})
}

// lifecycleCommand is a verb that changes containers that exist. flags may be
// nil; it adds the verb's own flags and gives what puts them into the request.
func (a *app) lifecycleCommand(action planner.Action, use, short, example string, w display.Words,
	flags func(*cobra.Command) func(context.Context, *api.LifecycleRequest) error) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, ValidArgsFunction: a.completeServices}
	fill := func(context.Context, *api.LifecycleRequest) error { return nil }
	if flags != nil {
		fill = flags(c)
	}
	c.RunE = func(c *cobra.Command, services []string) error {
		return lifecycle.Run(c.Context(), a.Invocation, action, services, w, fill)
	}
	return c
}
