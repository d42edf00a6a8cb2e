package cmd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

func (a *app) startCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Start, "start [SERVICE...]", "Start containers that exist", "  orlop start db",
		words{done: "is started", nothing: "has nothing to start", failed: "is not started"}, nil)
}

func (a *app) stopCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Stop, "stop [SERVICE...]", "Stop containers; they stay", "  orlop stop -t 30 db",
		words{done: "is stopped", nothing: "is stopped already", failed: "is not stopped"}, stopTimeout)
}

func (a *app) restartCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Restart, "restart [SERVICE...]", "Stop and start containers",
		"  orlop restart            all, in the order of depends_on; no completed one-shot that others wait for\n"+
			"  orlop restart migrate    a one-shot again",
		words{done: "is restarted", nothing: "has nothing to restart", failed: "is not restarted"}, stopTimeout)
}

// stopTimeout adds --timeout; the returned function puts it into the request.
func stopTimeout(c *cobra.Command) func(*api.LifecycleRequest) error {
	var seconds int
	timeoutFlag(c.Flags(), &seconds)
	return func(r *api.LifecycleRequest) error {
		r.StopTimeoutMs, r.HasStopTimeout = timeout(seconds)
		return nil
	}
}

func (a *app) killCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Kill, "kill [SERVICE...]", "Send containers a signal, SIGKILL without another",
		"  orlop kill -s HUP web",
		words{done: "is signalled", nothing: "has nothing that runs", failed: "is not signalled"},
		func(c *cobra.Command) func(*api.LifecycleRequest) error {
			var signal string
			c.Flags().StringVarP(&signal, "signal", "s", "SIGKILL", "`signal` to send")
			return func(r *api.LifecycleRequest) error {
				r.Signal = signal
				return nil
			}
		})
}

func (a *app) rmCommand() *cobra.Command {
	return a.lifecycleCommand(planner.Remove, "rm [SERVICE...]", "Remove containers that are stopped", "  orlop rm -sf worker",
		words{done: "is removed", nothing: "has nothing to remove", failed: "is not removed"},
		func(c *cobra.Command) func(*api.LifecycleRequest) error {
			var stop, force, volumes bool
			c.Flags().BoolVarP(&stop, "stop", "s", false, "stop those that run, and remove them too")
			c.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
			c.Flags().BoolVarP(&volumes, "volumes", "v", false, "remove anonymous volumes with them")
			return func(r *api.LifecycleRequest) error {
				r.OnlyStopped, r.RemoveVolumes = !stop, volumes
				if force || !isTerminal(a.world.Stdin) {
					return nil
				}
				return a.confirm("Remove containers of " + r.Project + "?")
			}
		})
}

// agrees asks a question that is no loss to say no to.
func (a *app) agrees(ctx context.Context, question string) bool {
	if a.answer != nil {
		return a.answer(ctx, question)
	}
	return a.confirm(question) == nil
}

// confirm asks on a terminal; anything but yes is an error.
func (a *app) confirm(question string) error {
	fmt.Fprint(a.world.Stderr, question+" [y/N] ")
	var answer [64]byte
	n, err := a.world.Stdin.Read(answer[:])
	if err != nil && err != io.EOF || n == 0 || answer[0] != 'y' && answer[0] != 'Y' {
		return fmt.Errorf("nothing was removed")
	}
	return nil
}

// lifecycleCommand is a verb that changes containers that exist. flags may be
// nil; it adds the verb's own flags and gives what puts them into the request.
func (a *app) lifecycleCommand(action planner.Action, use, short, example string, w words,
	flags func(*cobra.Command) func(*api.LifecycleRequest) error) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Example: example, ValidArgsFunction: a.completeServices}
	fill := func(*api.LifecycleRequest) error { return nil }
	if flags != nil {
		fill = flags(c)
	}
	c.RunE = func(c *cobra.Command, services []string) error {
		return a.lifecycle(c.Context(), action, services, w, fill)
	}
	return c
}

// within are the services that a lifecycle verb is about that names none: those
// of the stack file, whatever else the project has. What ends things is about
// those of inactive profiles too. Without a file none are given: all.
func (s stack) within(action planner.Action) []string {
	if s.project == nil {
		return nil
	}
	names := slices.Sorted(maps.Keys(s.project.Services))
	if action != planner.Start && action != planner.Restart {
		names = append(names, s.disabled()...)
	}
	return names
}

func (a *app) lifecycle(ctx context.Context, action planner.Action, services []string, w words, fill func(*api.LifecycleRequest) error) error {
	ctx, cancel := a.interruptible(ctx)
	defer cancel()
	s, err := a.identify(ctx, services)
	if err != nil {
		return err
	}
	req := &api.LifecycleRequest{Project: s.name, Action: string(action), Services: services, Limit: int32(a.parallel)}
	if len(services) == 0 {
		req.Within = s.within(action)
	}
	if err := fill(req); err != nil {
		return err
	}
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	stream, err := client.Lifecycle(ctx, req)
	if err != nil {
		return cause(ctx, err)
	}
	_, err = a.show(ctx, stream, w, 0, nil)
	return err
}
