package cmd

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/up"
	"github.com/orlop/orlop/cmd/watch"
	"github.com/orlop/orlop/spec"
)

// upFlags are the flags of up beside the selection.
type upFlags struct {
	selection
	detach      bool
	wait        bool
	waitTimeout int
	print       display.LogFormat
	watch       bool
	watchFlags  watch.Flags
	ending      up.Ending
	cache       cacheFlags
	logs        up.LogFilter
	menu        bool
	menuGiven   bool
}

func (a *app) upCommand() *cobra.Command {
	var f upFlags
	c := &cobra.Command{
		Use:   "up [SERVICE...]",
		Short: "Build what changed and bring the stack up",
		Example: "  orlop up            bring everything up and show its logs\n" +
			"  orlop up -d --wait  in the background, ready when it returns; jobs with a schedule are run from then on",
		ValidArgsFunction: a.completeServices,
		RunE: func(c *cobra.Command, args []string) error {
			f.menuGiven = c.Flags().Changed("menu")
			return a.up(c.Context(), args, f)
		},
	}
	f.selection.flags(c)
	a.frozenFlag(c)
	allowFlag(c.Flags(), &a.settings.AllowRemotes)
	c.Flags().BoolVarP(&f.detach, "detach", "d", false, "return when the stack is up, without its logs")
	c.Flags().BoolVar(&f.wait, "wait", false, "return when every service is healthy or running; implies -d")
	c.Flags().IntVar(&f.waitTimeout, "wait-timeout", 0, "`seconds` to wait at most")
	c.Flags().BoolVarP(&f.watch, "watch", "w", false, "keep the stack in step with the working tree")
	watchFlagsOf(c, &f.watchFlags)
	c.Flags().BoolVar(&f.ending.OnExit, "abort-on-container-exit", false, "stop all when a container ends; one-shot services that others wait for may")
	c.Flags().BoolVar(&f.ending.OnFailure, "abort-on-container-failure", false, "stop all when a container ends with a code other than 0")
	c.Flags().StringVar(&f.ending.From, "exit-code-from", "", "end with the exit code of this `SERVICE`; implies --abort-on-container-exit")
	c.Flags().BoolVar(&f.menu, "menu", false, "show keys below the logs; without it as COMPOSE_MENU says, else those of a watch")
	f.cache.flags(c)
	quietFlags(c.Flags(), &a.settings)
	c.Flags().StringArrayVar(&f.logs.Only, "attach", nil, "show the logs of this `SERVICE` alone; may be given many times")
	c.Flags().StringArrayVar(&f.logs.Not, "no-attach", nil, "don't show the logs of this `SERVICE`; may be given many times")
	c.Flags().BoolVar(&f.logs.Dependencies, "attach-dependencies", false, "show also the logs of what the named services depend on")
	c.Flags().BoolVar(&f.print.NoPrefix, "no-log-prefix", false, "show log lines without the container's name")
	c.Flags().BoolVar(&f.print.NoColor, "no-color", false, "show log lines without colours")
	c.Flags().BoolVar(&f.print.Times, "timestamps", false, "show the time of each log line")
	spell(c, map[string]string{"y": "yes"})
	return c
}

func (a *app) up(ctx context.Context, services []string, f upFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	o := up.Options{
		Source: cli.Source{Services: services, NoDeps: f.noDeps, Scale: f.scale}, Plan: f.options(services, f.wait || f.waitTimeout > 0),
		StopTimeout: f.timeout, ReadyWithin: time.Duration(f.waitTimeout) * time.Second, Stays: f.stays(), Print: f.print, Logs: f.logs, Menu: f.wantsMenu(a.Variables(ctx)), Ending: f.ending,
	}
	if f.watch {
		o.Watch = &f.watchFlags
	}
	if err := f.cache.read(&a.Settings, &o.Builds); err != nil {
		return err
	}
	return up.Run(ctx, a.Invocation, o)
}

// wantsMenu says that keys are to be shown, where there is a terminal.
func (f *upFlags) wantsMenu(vars map[string]string) bool {
	switch said := vars["COMPOSE_MENU"]; {
	case f.menuGiven:
		return f.menu
	case said != "":
		return spec.IsTrue(said)
	}
	return f.watch
}

// stays says that the up goes on with the logs when the stack is up.
func (f *upFlags) stays() bool { return !f.detach && !f.wait && !f.noStart && f.waitTimeout <= 0 }

// check refuses flags that cannot be used together.
func (f *upFlags) check() error {
	if f.watch && !f.stays() {
		return fmt.Errorf("--watch stays attached to the stack: it cannot be used with --detach, --wait or --no-start; \"orlop watch\" watches without logs")
	}
	if f.ending.Wanted() && (f.watch || !f.stays()) {
		return fmt.Errorf("--exit-code-from and --abort-on-container-exit or -failure stay attached to the stack: they cannot be used with --detach, --wait, --no-start or --watch")
	}
	if f.logs.IsSet() && !f.stays() {
		return fmt.Errorf("--attach, --no-attach and --attach-dependencies are about the logs of an up that stays with them: they cannot be used with --detach, --wait or --no-start")
	}
	if f.menu && !f.stays() {
		return fmt.Errorf("--menu is about an up that stays with the logs: it cannot be used with --detach, --wait or --no-start")
	}
	if len(f.logs.Only) > 0 && f.logs.Dependencies {
		return fmt.Errorf("--attach and --attach-dependencies cannot be used together")
	}
	if err := f.ending.Check(); err != nil {
		return err
	}
	return f.selection.check()
}
