// Package ports prints where the ports of a stack are published.
package ports

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// Line is a published port as "port --json" prints it.
type Line struct {
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

// Address is where to connect to: a host and a port.
func (l Line) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// linesOf lists the published ports of a project's services, of all where
// none are named: one line for a port, not one for each address family.
func linesOf(containers []planner.Container, services []string) []Line {
	lines := []Line{}
	for i := range containers {
		c := &containers[i]
		if c.OneOff || len(services) > 0 && !slices.Contains(services, c.Service) {
			continue
		}
		for _, b := range display.SortedBindings(c) {
			line := Line{
				Service: c.Service, Index: c.Number, Target: b.Target, Protocol: b.Protocol, Host: reachable(b.HostIP), Port: b.HostPort, bound: b.HostIP,
			}
			line.URL = line.Protocol + "://" + line.Address()
			if b.Protocol == "tcp" && cli.IsWebPort(b.Target) {
				line.URL = cli.WebScheme(b.Target) + "://" + line.Address()
			}
			isSame := func(other Line) bool { // of the other family
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

// Of asks the engine for the published ports of services.
func Of(ctx context.Context, inv *cli.Invocation, services []string) (lines []Line, err error) {
	err = inv.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		containers, err := cli.Observe(ctx, client, s)
		if err == nil {
			err = mustBeUp(s, containers, services)
		}
		lines = linesOf(containers, services)
		if err != nil || !inv.Verbose {
			return err
		}
		all, err := waysOf(ctx, client, s.Name)
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

func waysOf(ctx context.Context, client *api.Client, project string) (ways, error) {
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
func suffix(ctx context.Context, inv *cli.Invocation, client *api.Client, s cli.Stack, c *planner.Container) (func(planner.Binding) string, error) {
	if !inv.Verbose {
		return func(planner.Binding) string { return "" }, nil
	}
	all, err := waysOf(ctx, client, s.Name)
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

// PrintJSON prints the published ports of services, of all where none are named.
func PrintJSON(ctx context.Context, inv *cli.Invocation, services []string) error {
	lines, err := Of(ctx, inv, services)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(inv.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(lines)
}

// Print prints where a port of a service is published; an index of 0 is its first container.
func Print(ctx context.Context, inv *cli.Invocation, service string, port int, protocol string, index int) error {
	return inv.WithStack(ctx, []string{service}, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		containers, err := cli.Observe(ctx, client, s)
		if err != nil {
			return err
		}
		for _, c := range containers {
			if c.Service != service || c.OneOff || index > 0 && c.Number != index {
				continue
			}
			if b, ok := binding(&c, port, protocol); ok {
				said, err := suffix(ctx, inv, client, s, &c)
				if err == nil {
					_, err = fmt.Fprintln(inv.Stdout, net.JoinHostPort(b.HostIP, strconv.Itoa(b.HostPort))+said(b))
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

// PrintAll prints what a container publishes: "80/tcp -> 0.0.0.0:8080".
func PrintAll(ctx context.Context, inv *cli.Invocation, service string, index int) error {
	return inv.WithStack(ctx, []string{service}, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		containers, err := cli.Observe(ctx, client, s)
		if err != nil {
			return err
		}
		for _, c := range containers {
			if c.Service != service || c.OneOff || index > 0 && c.Number != index {
				continue
			}
			said, err := suffix(ctx, inv, client, s, &c)
			if err != nil {
				return err
			}
			for _, b := range display.SortedBindings(&c) {
				fmt.Fprintf(inv.Stdout, "%d/%s -> %s%s\n", b.Target, b.Protocol, net.JoinHostPort(b.HostIP, strconv.Itoa(b.HostPort)), said(b))
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
