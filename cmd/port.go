package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

func (a *app) portCommand() *cobra.Command {
	var protocol string
	var index int
	var all bool
	c := &cobra.Command{
		Use:   "port SERVICE [PORT] | port --json [SERVICE...]",
		Short: "Print where a service's port is published",
		Example: "  orlop port web 80\n" +
			"  orlop port web     all ports that a container publishes\n" +
			"  orlop port --json  all published ports of the stack\n" +
			"  orlop port --verbose web   and whether the kernel sends them to it, or why not",
		ValidArgsFunction: a.completeOneService,
		RunE: func(c *cobra.Command, args []string) error {
			if all {
				return a.portsJSON(c.Context(), args)
			}
			if err := cli.AtLeast(1, "a service")(c, args); err != nil {
				return err
			}
			if len(args) > 2 {
				return fmt.Errorf("orlop port takes a service and one port, not %q too", args[2])
			}
			if len(args) == 1 {
				return a.allPorts(c.Context(), args[0], index)
			}
			if number, p, ok := strings.Cut(args[1], "/"); ok {
				args[1], protocol = number, p
			}
			port, err := strconv.Atoi(args[1])
			if err != nil {
				return fmt.Errorf("%q is not a port", args[1])
			}
			return a.port(c.Context(), args[0], port, protocol, index)
		},
	}
	c.Flags().StringVar(&protocol, "protocol", "tcp", "tcp or udp")
	c.Flags().IntVar(&index, "index", 0, "`number` of the container; the first without it")
	c.Flags().BoolVar(&all, "json", false, "all published ports, or those of the named services, as JSON")
	return c
}

// portLine is a published port as "port --json" prints it.
type portLine struct {
	Service  string `json:"service"`
	Index    int    `json:"index"` // number of the replica
	Target   int    `json:"target"`
	Protocol string `json:"protocol"`
	Host     string `json:"host"` // an address of this machine to connect to
	Port     int    `json:"port"`
	URL      string `json:"url"`
	// Way and Why are told with --verbose: see way.
	Way string `json:"way,omitempty"`
	Why string `json:"why,omitempty"`

	bound string // the address that is listened on
}

func (l portLine) address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// portLines lists the published ports of a project's services, of all where
// none are named: one line for a port, not one for each address family.
func portLines(containers []planner.Container, services []string) []portLine {
	lines := []portLine{}
	for i := range containers {
		c := &containers[i]
		if c.OneOff || len(services) > 0 && !slices.Contains(services, c.Service) {
			continue
		}
		for _, b := range display.SortedBindings(c) {
			line := portLine{
				Service: c.Service, Index: c.Number, Target: b.Target, Protocol: b.Protocol, Host: reachable(b.HostIP), Port: b.HostPort, bound: b.HostIP,
			}
			line.URL = line.Protocol + "://" + line.address()
			if b.Protocol == "tcp" && cli.IsWebPort(b.Target) {
				line.URL = cli.WebScheme(b.Target) + "://" + line.address()
			}
			isSame := func(other portLine) bool { // of the other family
				other.bound = line.bound
				return other == line
			}
			if !slices.ContainsFunc(lines, isSame) {
				lines = append(lines, line)
			}
		}
	}
	return lines
}

// reachable is an address to connect to for one that is listened on.
func reachable(hostIP string) string {
	switch hostIP {
	case "", "0.0.0.0", "::":
		return "127.0.0.1"
	}
	return hostIP
}

// ports asks the engine for the published ports of services.
func (a *app) ports(ctx context.Context, services []string) (lines []portLine, err error) {
	err = a.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		containers, err := cli.Observe(ctx, client, s)
		if err == nil {
			err = mustBeUp(s, containers, services)
		}
		lines = portLines(containers, services)
		if err != nil || !a.settings.Verbose {
			return err
		}
		all, err := portWays(ctx, client, s.Name)
		for i := range lines {
			l := &lines[i]
			l.Way, l.Why = all.of(l.Service, l.Index, l.Protocol, l.bound, l.Port)
		}
		return err
	})
	return lines, err
}

// ways are how the published ports of a project go.
type ways []*api.PortWay

// Words for how a port goes.
const byKernel, byKeeper = "kernel", "userspace"

func portWays(ctx context.Context, client *api.Client, project string) (ways, error) {
	reply, err := client.Port.Ways(ctx, &api.WaysRequest{Project: project})
	return reply.GetWays(), err
}

// of says how a port of a replica goes that is bound to a host's address, "" being any, and
// why not by the kernel.
func (w ways) of(service string, number int, protocol, host string, port int) (way, why string) {
	for _, one := range w {
		if one.Place == service+"/"+strconv.Itoa(number) && one.Protocol == protocol && int(one.Port) == port && (host == "" || one.Host == host) {
			if one.ByKernel {
				return byKernel, ""
			}
			return byKeeper, one.Why
		}
	}
	return "", ""
}

// suffix is what is said of a published port beside where it is, with --verbose.
func (a *app) suffix(ctx context.Context, client *api.Client, s cli.Stack, c *planner.Container) (func(planner.Binding) string, error) {
	if !a.settings.Verbose {
		return func(planner.Binding) string { return "" }, nil
	}
	all, err := portWays(ctx, client, s.Name)
	return func(b planner.Binding) string {
		way, why := all.of(c.Service, c.Number, b.Protocol, b.HostIP, b.HostPort)
		if why != "" {
			return "  " + way + ": " + why
		}
		return "  " + way
	}, err
}

// mustBeUp refuses to speak of ports where nothing is up: an empty answer would
// be taken for one.
func mustBeUp(s cli.Stack, containers []planner.Container, services []string) error {
	isUp := func(service string) bool {
		return slices.ContainsFunc(containers, func(c planner.Container) bool {
			return !c.OneOff && (service == "" || c.Service == service) && c.State != planner.Exited && c.State != planner.Created
		})
	}
	if !isUp("") {
		return fmt.Errorf("%s is not up: bring it up with \"orlop up\"; \"orlop ls -a\" lists what there is", s.Name)
	}
	for _, name := range services {
		if !isUp(name) {
			return fmt.Errorf("%s of %s is not up: bring it up with \"orlop up\"", name, s.Name)
		}
	}
	return nil
}

func (a *app) portsJSON(ctx context.Context, services []string) error {
	lines, err := a.ports(ctx, services)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(lines)
}

func (a *app) port(ctx context.Context, service string, port int, protocol string, index int) error {
	return a.WithStack(ctx, []string{service}, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		containers, err := cli.Observe(ctx, client, s)
		if err != nil {
			return err
		}
		for _, c := range containers {
			if c.Service != service || c.OneOff || index > 0 && c.Number != index {
				continue
			}
			if b, ok := binding(&c, port, protocol); ok {
				said, err := a.suffix(ctx, client, s, &c)
				if err == nil {
					_, err = fmt.Fprintln(a.Stdout, net.JoinHostPort(b.HostIP, strconv.Itoa(b.HostPort))+said(b))
				}
				return err
			}
		}
		if err := mustBeUp(s, containers, []string{service}); err != nil {
			return err
		}
		if index > 0 && !slices.ContainsFunc(containers, func(c planner.Container) bool { return c.Service == service && c.Number == index && !c.OneOff }) {
			return fmt.Errorf("service %s has no container %d: see \"orlop ps -a %s\"", service, index, service)
		}
		return fmt.Errorf("%s publishes no %d/%s: see \"orlop ps\"", service, port, protocol)
	})
}

// allPorts prints what a container publishes: "80/tcp -> 0.0.0.0:8080".
func (a *app) allPorts(ctx context.Context, service string, index int) error {
	return a.WithStack(ctx, []string{service}, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		containers, err := cli.Observe(ctx, client, s)
		if err != nil {
			return err
		}
		for _, c := range containers {
			if c.Service != service || c.OneOff || index > 0 && c.Number != index {
				continue
			}
			said, err := a.suffix(ctx, client, s, &c)
			if err != nil {
				return err
			}
			for _, b := range display.SortedBindings(&c) {
				fmt.Fprintf(a.Stdout, "%d/%s -> %s%s\n", b.Target, b.Protocol, net.JoinHostPort(b.HostIP, strconv.Itoa(b.HostPort)), said(b))
			}
			return nil
		}
		return mustBeUp(s, containers, []string{service})
	})
}

func binding(c *planner.Container, port int, protocol string) (planner.Binding, bool) {
	for _, b := range display.SortedBindings(c) {
		if b.Target == port && b.Protocol == protocol {
			return b, true
		}
	}
	return planner.Binding{}, false
}
