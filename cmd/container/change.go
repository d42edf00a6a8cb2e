package container

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// change is a verb that changes containers.
type change struct {
	action planner.Action
	words  display.Words
	// refuse says why a container can't be changed so; nil refuses none.
	refuse func(m *member) error
	// fill puts the verb's flags into the request; nil has none.
	fill func(*api.LifecycleRequest)
	// ignoresMissing says that names which no container has are no mistake; nil: they are.
	ignoresMissing func() bool
}

func (v *Verbs) changes() []*cobra.Command {
	return []*cobra.Command{v.start(), v.stop(), v.restart(), v.kill(), v.remove(), v.pause(), v.unpause()}
}

func (v *Verbs) changing(use, short, example string, ch *change) *cobra.Command {
	return &cobra.Command{
		Use: use + " CONTAINER...", Short: short, Example: example, Args: cli.AtLeast(1, "a container"), ValidArgsFunction: v.complete,
		RunE: func(c *cobra.Command, names []string) error { return v.change(c.Context(), names, ch) },
	}
}

func (v *Verbs) start() *cobra.Command {
	ch := &change{action: planner.Start, words: display.Words{Done: "is started", Nothing: "runs already", Failed: "is not started"}}
	c := v.changing("start", "Start containers that exist", "  orlop container start shop-db-1\n"+
		"  orlop container start -ai console   start it, with the terminal that it was made with", ch)
	var attach, interactive bool
	var keys string
	c.Flags().BoolVarP(&attach, "attach", "a", false, "connect to what it prints, and to signals; the exit code is its own")
	c.Flags().BoolVarP(&interactive, "interactive", "i", false, "connect standard input, too")
	c.Flags().StringVar(&keys, "detach-keys", terminal.DefaultDetachKeys, "`keys` that let go of the terminal and leave it running; none: \"\"")
	c.RunE = func(c *cobra.Command, names []string) error {
		switch {
		case !attach && !interactive:
			return v.change(c.Context(), names, ch)
		case len(names) > 1:
			return errors.New("--attach and --interactive are for one container: start the others without them")
		case v.Of().DryRun:
			return v.change(c.Context(), names, ch)
		}
		return v.startAttached(c.Context(), names[0], interactive, keys)
	}
	return c
}

// startAttached starts a container and connects to its process from its beginning on; to that of one which runs
// it connects from now on.
func (v *Verbs) startAttached(ctx context.Context, name string, interactive bool, keys string) error {
	of, err := v.one(ctx, name)
	if err != nil {
		return err
	}
	if of.Applied == nil {
		return fmt.Errorf("container %s was made by something else: start it without --attach", of.Name)
	}
	made := of.Applied.Service
	start := &api.ProcessStart{
		Project: of.project, Container: of.ID, Service: of.Service,
		Stdin: made.StdinOpen && interactive, Terminal: made.Tty && terminal.IsOn(v.Of()),
	}
	return v.join(ctx, start, terminal.Options{DetachKeys: keys})
}

func (v *Verbs) stop() *cobra.Command {
	return v.stopping("stop", "Stop containers without removing them",
		&change{action: planner.Stop, words: display.Words{Done: "is stopped", Nothing: "is stopped already", Failed: "is not stopped"}})
}

func (v *Verbs) restart() *cobra.Command {
	return v.stopping("restart", "Stop and start containers",
		&change{action: planner.Restart, words: display.Words{Done: "is restarted", Nothing: "has nothing to restart", Failed: "is not restarted"}})
}

// stopping is a verb that waits for containers to end.
func (v *Verbs) stopping(use, short string, ch *change) *cobra.Command {
	c := v.changing(use, short, "  orlop container "+use+" -t 30 shop-db-1", ch)
	seconds := c.Flags().IntP("timeout", "t", -1, "`seconds` to stop within; negative: the container's own")
	c.Flags().IntVar(seconds, "time", -1, "`seconds` to stop within")
	c.Flags().Lookup("time").Hidden = true
	signal := c.Flags().StringP("signal", "s", "", "`signal` that asks it to end, in place of its own")
	ch.fill = func(r *api.LifecycleRequest) {
		r.StopTimeoutMs, r.HasStopTimeout = cli.StopTimeout(*seconds)
		r.Signal = *signal
	}
	return c
}

func (v *Verbs) pause() *cobra.Command {
	return v.changing("pause", "Have containers stand still", "  orlop container pause shop-db-1", &change{
		action: planner.Pause, words: display.Words{Done: "is paused", Nothing: "is paused already", Failed: "stays as it is"},
		refuse: func(m *member) error {
			if m.State != planner.Running || m.Paused {
				return fmt.Errorf("container %s is %s: only what runs is paused", m.Name, display.StateWord(&m.Container))
			}
			return nil
		},
	})
}

func (v *Verbs) unpause() *cobra.Command {
	return v.changing("unpause", "Have paused containers go on", "  orlop container unpause shop-db-1", &change{
		action: planner.Unpause, words: display.Words{Done: "goes on", Nothing: "is not paused", Failed: "does not go on"},
		refuse: func(m *member) error {
			if !m.Paused {
				return fmt.Errorf("container %s is not paused", m.Name)
			}
			return nil
		},
	})
}

func (v *Verbs) kill() *cobra.Command {
	ch := &change{action: planner.Kill, words: display.Words{Done: "is signalled", Nothing: "has nothing that runs", Failed: "is not signalled"}}
	c := v.changing("kill", "Send containers a signal, SIGKILL by default", "  orlop container kill -s HUP shop-web-1", ch)
	signal := c.Flags().StringP("signal", "s", "SIGKILL", "`signal` to send")
	ch.fill = func(r *api.LifecycleRequest) { r.Signal = *signal }
	ch.refuse = func(m *member) error {
		if !isActive(m.State) {
			return fmt.Errorf("container %s does not run: nothing gets the signal", m.Name)
		}
		return nil
	}
	return c
}

func (v *Verbs) remove() *cobra.Command {
	ch := &change{action: planner.Remove, words: display.Words{Done: "is removed", Nothing: "has nothing to remove", Failed: "is not removed"}}
	c := v.changing("rm", "Remove containers", "  orlop container rm -f shop-web-2", ch)
	force := c.Flags().BoolP("force", "f", false, "remove those too that run: they are killed; ignore what does not exist")
	ch.ignoresMissing = func() bool { return *force }
	volumes := c.Flags().BoolP("volumes", "v", false, "remove anonymous volumes with them")
	ch.fill = func(r *api.LifecycleRequest) {
		r.RemoveVolumes, r.HasStopTimeout, r.OnlyStopped = *volumes, *force, !*force
	}
	ch.refuse = func(m *member) error {
		if !*force && isActive(m.State) {
			return fmt.Errorf("container %s runs: stop it first, or use --force", m.Name)
		}
		return nil
	}
	return c
}

// change carries a change out, stack by stack, and prints the names of the containers that it was carried out for.
func (v *Verbs) change(ctx context.Context, names []string, ch *change) error {
	return v.Of().WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		found, err := find(ctx, client, names)
		if ch.ignoresMissing != nil && ch.ignoresMissing() {
			err = withoutMissing(err)
		}
		if found == nil && err != nil {
			return err
		}
		errs := []error{err}
		var of []string
		by := map[string][]member{}
		for _, m := range found {
			if ch.refuse != nil {
				if err := ch.refuse(&m); err != nil {
					errs = append(errs, err)
					continue
				}
			}
			if by[m.project] == nil {
				of = append(of, m.project)
			}
			by[m.project] = append(by[m.project], m)
		}
		for _, project := range of {
			errs = append(errs, v.changeIn(ctx, client, project, by[project], ch))
		}
		return cmp.Or(errors.Join(errs...), nil)
	})
}

func (v *Verbs) changeIn(ctx context.Context, client *api.Client, project string, list []member, ch *change) error {
	inv := v.Of()
	req := &api.LifecycleRequest{Project: project, Action: string(ch.action), IncludeOneOff: true, Limit: int32(inv.Parallel), DryRun: inv.DryRun}
	for _, m := range list {
		req.Containers = append(req.Containers, m.ID)
	}
	if ch.fill != nil {
		ch.fill(req)
	}
	stream, err := client.Lifecycle(ctx, req)
	if err != nil {
		return err
	}
	how := cli.Progress{Words: ch.words}
	how.Words.Silent = true
	if inv.Progress == "auto" && !display.IsTerminal(inv.Stderr) {
		how.Mode = "quiet" // the names of the containers are what counts
	}
	outcome, err := inv.Show(ctx, stream, how)
	if err != nil || inv.DryRun {
		return err
	}
	var errs []error
	for _, m := range list {
		isChanged := func(s *planner.Step) bool { return s.Container == m.ID }
		if req.OnlyStopped && (outcome.Plan == nil || !slices.ContainsFunc(outcome.Plan.Steps, isChanged)) {
			errs = append(errs, fmt.Errorf("container %s has been started meanwhile: it is left as it is", m.Name))
			continue
		}
		fmt.Fprintln(inv.Stdout, m.Name)
	}
	return errors.Join(errs...)
}

func (v *Verbs) prune() *cobra.Command {
	var force bool
	var filters []string
	c := &cobra.Command{
		Use: "prune", Short: "Remove containers that do not run, but those that have done their work in a stack that runs", Args: cobra.NoArgs,
		Example: "  orlop container prune -f --filter until=24h",
		RunE:    func(c *cobra.Command, _ []string) error { return v.runPrune(c.Context(), force, filters) },
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "don't ask")
	c.Flags().StringArrayVar(&filters, "filter", nil, "only containers that `KEY=VALUE` holds for: until, label, label!")
	return c
}

func (v *Verbs) runPrune(ctx context.Context, force bool, filters []string) error {
	inv := v.Of()
	keep, err := pruneFilter(filters, inv.Now())
	if err != nil {
		return err
	}
	return inv.WithEngine(ctx, func(ctx context.Context, client *api.Client) error {
		all, err := members(ctx, client)
		if err != nil {
			return err
		}
		runs := map[string]bool{}
		for _, m := range all {
			runs[m.project] = runs[m.project] || isActive(m.State) && !m.OneOff
		}
		var ended []member
		for _, m := range all {
			line := display.ContainerJSON(&m.Container, m.project, inv.Now())
			switch {
			case isActive(m.State) || !keep(&m, &line):
			case !m.OneOff && m.IsCompleted() && runs[m.project]: // the work of a migration must not be done twice
				inv.SayNotice(m.Name + " stays: it has done its work in a stack that runs, and an up would run it again")
			default:
				ended = append(ended, m)
			}
		}
		if len(ended) == 0 {
			fmt.Fprintln(inv.Stderr, " no container to remove")
			return nil
		}
		for _, m := range ended {
			fmt.Fprintf(inv.Stderr, " - %s   %s\n", m.Name, display.StateNote(&m.Container))
		}
		if inv.DryRun {
			return nil
		}
		if !force {
			if err := inv.MayRemove(ctx, fmt.Sprintf("Remove %s?", spec.Plural(len(ended), "container"))); err != nil {
				return err
			}
		}
		names := make([]string, len(ended))
		for i, m := range ended {
			names[i] = m.ID
		}
		return v.Remove(ctx, names)
	})
}

// Remove removes containers that do not run by their IDs, and prints the names of those that are gone.
func (v *Verbs) Remove(ctx context.Context, ids []string) error {
	return v.change(ctx, ids, &change{
		action: planner.Remove, words: display.Words{Done: "is removed", Failed: "is not removed"},
		fill: func(r *api.LifecycleRequest) { r.OnlyStopped = true }, // one may be started while the user thinks
	})
}
