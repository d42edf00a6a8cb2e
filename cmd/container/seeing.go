package container

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/cmd/terminal"
	"github.com/orlop/orlop/planner"
)

func (v *Verbs) attach() *cobra.Command {
	var noStdin, proxy bool
	var keys string
	c := &cobra.Command{
		Use: "attach CONTAINER", Short: "Connect to the input and output of a container that runs", Args: cobra.ExactArgs(1), ValidArgsFunction: v.complete,
		Example: "  orlop container attach console-1  ctrl-p,ctrl-q lets go of a terminal and leaves it running",
		RunE: func(c *cobra.Command, args []string) error {
			of, err := v.one(c.Context(), args[0])
			if err != nil {
				return err
			}
			if of.State != planner.Running && of.State != planner.Stopping || of.Applied == nil {
				return fmt.Errorf("container %s does not run: there is nothing to attach to", of.Name)
			}
			made := of.Applied.Service
			if err := terminal.CheckAttach(v.Of(), of.Name, &of.Container, noStdin); err != nil {
				return err
			}
			proxy = terminal.ProxiesSignals(v.Of(), made.Tty, proxy)
			start := &api.ProcessStart{
				Project: of.project, Container: of.ID, Service: of.Service, Join: true,
				Stdin: made.StdinOpen && !noStdin, Terminal: made.Tty && terminal.IsOn(v.Of()),
			}
			terminal.SayAttached(v.Of(), of.Name, start, noStdin, proxy)
			return v.join(c.Context(), start, terminal.Options{DetachKeys: keys, KeepSignals: !proxy})
		},
	}
	c.Flags().BoolVar(&noStdin, "no-stdin", false, "leave standard input alone")
	c.Flags().BoolVar(&proxy, "sig-proxy", true, "pass signals on")
	c.Flags().StringVar(&keys, "detach-keys", terminal.DefaultDetachKeys, "`keys` that let go of the terminal and leave the command running; none: \"\"")
	return c
}

// one is the container of a name.
func (v *Verbs) one(ctx context.Context, name string) (of member, err error) {
	err = v.with(ctx, name, func(_ context.Context, _ *api.Client, m member) error {
		of = m
		return nil
	})
	return of, err
}

// join connects to the process of a container.
func (v *Verbs) join(ctx context.Context, start *api.ProcessStart, opts terminal.Options) error {
	client, err := v.Of().Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	end := func() {}
	if opts.KeepSignals {
		ctx, end = v.Of().Interruptible(ctx)
	}
	defer end()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Attach(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	return terminal.Run(ctx, v.Of(), stream, start, opts)
}

func (v *Verbs) top() *cobra.Command {
	return &cobra.Command{
		Use: "top CONTAINER", Short: "Show the processes of a container", Args: cobra.ExactArgs(1), ValidArgsFunction: v.complete,
		Example: "  orlop container top shop-web-1",
		RunE: func(c *cobra.Command, args []string) error {
			return v.with(c.Context(), args[0], func(ctx context.Context, client *api.Client, m member) error {
				if !isActive(m.State) {
					return fmt.Errorf("container %s does not run: it has no processes", m.Name)
				}
				reply, err := sample(ctx, client, []member{m}, true)
				if err == nil {
					_, err = fmt.Fprint(v.Of().Stdout, display.Lines(display.ProcessTable(reply, v.Of().Now())))
				}
				return err
			})
		},
	}
}

// sample measures containers: their processes, or twice what they use, so that there are rates.
func sample(ctx context.Context, client *api.Client, of []member, processes bool) (*api.StatsReply, error) {
	all := &api.StatsReply{}
	byProject := map[string][]string{}
	for _, m := range of {
		byProject[m.project] = append(byProject[m.project], m.ID)
	}
	var mu sync.Mutex
	var errs []error // guarded by mu, as all
	var asking sync.WaitGroup
	for project, ids := range byProject {
		asking.Go(func() {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			stream, err := client.Stats(ctx, &api.StatsRequest{Project: project, Processes: processes})
			var reply *api.StatsReply
			if err == nil {
				reply, err = stream.Recv()
			}
			if err == nil && !processes { // the first one has no rates of its own yet
				reply, err = stream.Recv()
			}
			mu.Lock()
			defer mu.Unlock()
			errs = append(errs, cli.Cause(ctx, err))
			for _, c := range reply.GetContainers() {
				if slices.Contains(ids, c.Id) {
					all.Containers = append(all.Containers, c)
				}
			}
		})
	}
	asking.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(all.Containers, func(x, y *api.ContainerStats) int { return strings.Compare(x.Name, y.Name) })
	return all, nil
}

func (v *Verbs) stats() *cobra.Command {
	var once, every, whole bool
	var text string
	c := &cobra.Command{
		Use: "stats [CONTAINER...]", Short: "Show what containers use, of all stacks", ValidArgsFunction: v.complete,
		Example: "  orlop container stats                         live, on a terminal\n  orlop container stats --no-stream shop-web-1  one measurement",
		RunE: func(c *cobra.Command, names []string) error {
			shape, err := format.Parse[display.StatsLine](text, "measurements", display.StatsHeaders())
			if err != nil {
				return err
			}
			frames := display.NewCanvas(v.Of().Stdout)
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				for {
					reply, err := measured(ctx, client, names, every)
					if err != nil {
						return err
					}
					if err := v.showStats(reply, shape, frames, once, whole); err != nil || once {
						return err
					}
				}
			})
		},
	}
	c.Flags().BoolVarP(&every, "all", "a", false, "also containers that do not run")
	c.Flags().StringVar(&text, "format", "table", format.Help)
	c.Flags().BoolVar(&once, "no-stream", false, "measure for a second and return")
	c.Flags().BoolVar(&whole, "no-trunc", false, "whole IDs in the field Container")
	return c
}

// measured is what containers use: those that are named, or all that run.
func measured(ctx context.Context, client *api.Client, names []string, every bool) (*api.StatsReply, error) {
	var of []member
	var err error
	if len(names) > 0 {
		of, err = find(ctx, client, names)
	} else {
		of, err = members(ctx, client)
	}
	if err != nil {
		return nil, err
	}
	reply, err := sample(ctx, client, of, false)
	if err != nil {
		return nil, err
	}
	for _, m := range of {
		isThere := slices.ContainsFunc(reply.Containers, func(c *api.ContainerStats) bool { return c.Id == m.ID })
		if !isThere && (every || len(names) > 0) {
			reply.Containers = append(reply.Containers, &api.ContainerStats{Id: m.ID, Name: m.Name, Service: m.Service, Number: int32(m.Number)})
		}
	}
	return reply, nil
}

func (v *Verbs) showStats(r *api.StatsReply, shape *format.Format[display.StatsLine], frames *display.Canvas, once, whole bool) error {
	out := v.Of().Stdout
	if !shape.IsTable() {
		var lines []display.StatsLine
		for _, c := range r.Containers {
			line := display.StatsJSON(c)
			if whole {
				line.Container = c.Id
			}
			lines = append(lines, line)
		}
		return shape.Print(out, lines)
	}
	table := display.StatsTable(r)
	if once || !display.IsTerminal(out) {
		_, err := fmt.Fprint(out, display.Lines(table))
		return err
	}
	columns, rows := display.Size(out)
	for i := range table {
		table[i] = display.Clip(table[i], columns-1)
	}
	frames.Draw(table[:min(len(table), max(1, rows-1))], columns)
	return nil
}

func (v *Verbs) wait() *cobra.Command {
	return &cobra.Command{
		Use: "wait CONTAINER...", Short: "Wait until containers have ended, and print their exit codes", Args: cli.AtLeast(1, "a container"), ValidArgsFunction: v.complete,
		Example: "  orlop container wait shop-migrate-1",
		RunE: func(c *cobra.Command, names []string) error {
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				found, missing := find(ctx, client, names)
				codes, errs := make([]int, len(found)), make([]error, len(found))
				var all sync.WaitGroup
				for i, m := range found { // one may be gone by the time that another has ended
					all.Go(func() { codes[i], errs[i] = awaitEnd(ctx, client, m) })
				}
				all.Wait()
				for i := range found {
					if errs[i] == nil {
						fmt.Fprintln(v.Of().Stdout, codes[i])
					}
				}
				return errors.Join(append(errs, missing)...)
			})
		},
	}
}

// awaitEnd waits until a container does not run, and gives its exit code.
func awaitEnd(ctx context.Context, client *api.Client, of member) (code int, err error) {
	last := of.Container
	isOver := func(c *planner.Container) bool {
		return c.State == planner.Exited || c.State == planner.Restarting || c.State == planner.Created
	}
	if isOver(&last) {
		return last.ExitCode, nil
	}
	known := false // its end was told of
	err = cli.AcrossEngines(ctx, func() error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := client.Watch(ctx, &api.ObserveRequest{Project: of.project})
		for isThere := false; err == nil; {
			var m *api.ContainerChange
			if m, err = stream.Recv(); err != nil {
				break
			}
			if m.Synced && !isThere {
				return nil // it was removed
			}
			if m.Container == nil {
				continue
			}
			c, err := m.Container.Planner()
			if err != nil {
				return err
			}
			if c.ID != of.ID {
				continue
			}
			isThere, last = true, c
			if known = isOver(&c); known || m.Removed {
				return nil
			}
		}
		return err
	})
	if err == nil && !known {
		err = fmt.Errorf("container %s is gone: nobody knows how it has ended", of.Name)
	}
	return last.ExitCode, err
}

func (v *Verbs) port() *cobra.Command {
	return &cobra.Command{
		Use: "port CONTAINER [PORT[/PROTOCOL]]", Short: "Show where ports of a container are published", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: v.complete,
		Example: "  orlop container port shop-web-1\n  orlop container port shop-web-1 80",
		RunE: func(c *cobra.Command, args []string) error {
			port, protocol := 0, "tcp"
			if len(args) == 2 {
				number, kind, has := strings.Cut(args[1], "/")
				if has {
					protocol = kind
				}
				var err error
				if port, err = strconv.Atoi(number); err != nil || port < 1 || port > 65535 {
					return fmt.Errorf("%q is no port: write a number, or 53/udp", args[1])
				}
			}
			return v.with(c.Context(), args[0], func(_ context.Context, _ *api.Client, m member) error {
				found := false
				for _, b := range display.SortedBindings(&m.Container) {
					at := net.JoinHostPort(b.HostIP, strconv.Itoa(b.HostPort))
					switch {
					case port == 0:
						fmt.Fprintf(v.Of().Stdout, "%d/%s -> %s\n", b.Target, b.Protocol, at)
					case b.Target == port && b.Protocol == protocol:
						fmt.Fprintln(v.Of().Stdout, at)
						found = true
					}
				}
				if port > 0 && !found {
					return errors.New("container " + m.Name + " publishes no " + strconv.Itoa(port) + "/" + protocol)
				}
				return nil
			})
		},
	}
}
