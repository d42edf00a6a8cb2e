package container

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/spec"
)

// Networking are the verbs that bring containers onto networks and take them off.
func (v *Verbs) Networking() []*cobra.Command { return []*cobra.Command{v.connect(), v.disconnect()} }

func (v *Verbs) connect() *cobra.Command {
	var place spec.ServiceNetwork
	var opts, links []string
	c := &cobra.Command{
		Use: "connect NETWORK CONTAINER", Short: "Bring a container onto one more network, while it runs",
		Example: "  orlop network connect edge shop-web-1\n  orlop network connect --alias db --ip 10.77.0.9 edge shop-db-1", Args: cobra.ExactArgs(2),
		ValidArgsFunction: v.completePair,
		RunE: func(c *cobra.Command, args []string) error {
			if err := errors.Join(cli.CheckAliases("alias", place.Aliases), readPlace(&place, opts), checkLinks(links)); err != nil {
				return err
			}
			req := &api.ConnectRequest{Network: args[0]}
			if !reflect.DeepEqual(place, spec.ServiceNetwork{}) {
				var err error
				if req.Place, err = json.Marshal(place); err != nil {
					return fmt.Errorf("internal error: cannot encode what is asked for: %w", err)
				}
			}
			return v.with(c.Context(), args[1], func(ctx context.Context, client *api.Client, m member) error {
				if v.Of().DryRun {
					v.Of().Foresay("~ container " + m.Name + " joins network " + args[0])
					return nil
				}
				req.Id = m.ID
				_, err := client.Container.Connect(ctx, req)
				return err
			})
		},
	}
	c.Flags().StringArrayVar(&place.Aliases, "alias", nil, "`name` more that it answers to there")
	c.Flags().StringVar(&place.IPv4Address, "ip", "", "`address` of IPv4 that it has there; without it any that is free")
	c.Flags().StringVar(&place.IPv6Address, "ip6", "", "`address` of IPv6 that it has there")
	c.Flags().StringArrayVar(&place.LinkLocalIPs, "link-local-ip", nil, "link-local `address` that it has there too")
	c.Flags().StringArrayVar(&opts, "driver-opt", nil, "`OPTION=VALUE` of its link, such as com.docker.network.endpoint.ifname=lan0")
	c.Flags().IntVar(&place.GatewayPriority, "gw-priority", 0, "`priority` of the way out by this network: the highest has it")
	c.Flags().StringArrayVar(&links, "link", nil, "without effect: containers on one network find each other by name")
	c.Flags().Lookup("link").Hidden = true
	return c
}

// readPlace checks what the flags ask for on a network.
func readPlace(place *spec.ServiceNetwork, opts []string) error {
	for _, text := range append([]string{place.IPv4Address, place.IPv6Address}, place.LinkLocalIPs...) {
		if text == "" {
			continue
		}
		if _, err := netip.ParseAddr(text); err != nil {
			return fmt.Errorf("%q is not an IP address", text)
		}
	}
	for _, text := range opts {
		name, value, ok := strings.Cut(text, "=")
		if !ok || name == "" {
			return fmt.Errorf("--driver-opt is %q: it must be OPTION=VALUE", text)
		}
		if name != spec.OptEndpointInterface && name != spec.OptEndpointSysctls {
			return fmt.Errorf("--driver-opt is %q: a link has the options %s and %s", text, spec.OptEndpointInterface, spec.OptEndpointSysctls)
		}
		if place.DriverOpts == nil {
			place.DriverOpts = map[string]string{}
		}
		place.DriverOpts[name] = value
	}
	return nil
}

// checkLinks refuses links that give a container another name than all others know it by.
func checkLinks(links []string) error {
	for _, link := range links {
		if to, alias, _ := strings.Cut(link, ":"); alias != "" && alias != to {
			return fmt.Errorf("--link is %q: a name for one container alone is not there; \"orlop network connect --alias %s NETWORK %s\" makes one for all on a network", link, alias, to)
		}
	}
	return nil
}

func (v *Verbs) disconnect() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "disconnect NETWORK CONTAINER", Short: "Take a container off a network, while it runs",
		Long:    "Take a container off a network, while it runs. A network of its own stack it is brought back to by the next up.",
		Example: "  orlop network disconnect edge shop-web-1", Args: cobra.ExactArgs(2),
		ValidArgsFunction: v.completePair,
		RunE: func(c *cobra.Command, args []string) error {
			err := v.with(c.Context(), args[1], func(ctx context.Context, client *api.Client, m member) error {
				if v.Of().DryRun {
					v.Of().Foresay("~ container " + m.Name + " leaves network " + args[0])
					return nil
				}
				_, err := client.Container.Disconnect(ctx, &api.DisconnectRequest{Id: m.ID, Network: args[0]})
				return err
			})
			var missing *missingError
			if force && errors.As(err, &missing) {
				return nil
			}
			return err
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "no error where the container is gone")
	return c
}

// completePair gives the names of networks, then those of containers.
func (v *Verbs) completePair(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	switch len(args) {
	case 0:
		var names []string
		err := v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
			reply, err := client.Networks(ctx, &api.NetworksRequest{})
			for _, n := range reply.GetNetworks() {
				names = append(names, n.Name)
			}
			return err
		})
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	case 1:
		return v.complete(c, args, word)
	}
	return nil, cobra.ShellCompDirectiveNoFileComp
}
