package cmd

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/planner"
)

func (a *app) portCommand() *cobra.Command {
	var protocol string
	var index int
	c := &cobra.Command{
		Use:               "port SERVICE PORT",
		Short:             "Print where a service's port is published",
		Example:           "  orlop port web 80",
		Args:              atLeast(2, "a service and a port"),
		ValidArgsFunction: a.completeOneService,
		RunE: func(c *cobra.Command, args []string) error {
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
	return c
}

func (a *app) port(ctx context.Context, service string, port int, protocol string, index int) error {
	ctx, cancel := a.interruptible(ctx)
	defer cancel()
	s, err := a.identify(ctx, []string{service})
	if err != nil {
		return err
	}
	client, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	containers, err := observe(ctx, client, s)
	if err != nil {
		return err
	}
	for _, c := range containers {
		if c.Service != service || c.OneOff || index > 0 && c.Number != index {
			continue
		}
		if b, ok := binding(&c, port, protocol); ok {
			fmt.Fprintln(a.world.Stdout, net.JoinHostPort(b.HostIP, strconv.Itoa(b.HostPort)))
			return nil
		}
	}
	return fmt.Errorf("%s publishes no %d/%s: see \"orlop ps\"", service, port, protocol)
}

func binding(c *planner.Container, port int, protocol string) (planner.Binding, bool) {
	for _, b := range sortedBindings(c) {
		if b.Target == port && b.Protocol == protocol {
			return b, true
		}
	}
	return planner.Binding{}, false
}
