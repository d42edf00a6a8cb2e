package cmd

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
)

func (a *app) networkCommand() *cobra.Command {
	k := resourceKind{kind: "network", driver: "bridge", header: "NAME\tDRIVER\tSUBNET\tPROJECT\tUSED BY", list: networkThings, remove: removeNetwork}
	return verbGroup("network", "Networks that the engine has", "  orlop network create edge\n  orlop network ls",
		a.networkCreateCommand(k), a.listCommand(k), a.removeCommand(k), a.inspectCommand(k))
}

func (a *app) networkCreateCommand(k resourceKind) *cobra.Command {
	var by madeBy
	var want api.NetworkInfo
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a network that belongs to no stack",
		Example: "  orlop network create edge\n  orlop network create --subnet 10.77.0.0/24 --internal backend", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if want.Labels, err = by.read(k); err != nil {
				return err
			}
			want.Name = args[0]
			return a.withEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				_, err := client.CreateNetwork(ctx, &want)
				if err == nil {
					fmt.Fprintln(a.Stdout, want.Name)
				}
				return err
			})
		},
	}
	by.flags(c, k)
	c.Flags().StringVar(&want.Subnet, "subnet", "", "`subnet` of its addresses: 10.77.0.0/24; without it one that is free")
	c.Flags().StringVar(&want.Gateway, "gateway", "", "`address` of the gateway; without it the first one")
	c.Flags().StringVar(&want.IpRange, "ip-range", "", "`part` of the subnet that addresses are taken from")
	c.Flags().BoolVar(&want.Internal, "internal", false, "no way out, and none in")
	return c
}

// networkLine is a network as "network ls --format json" prints it.
type networkLine struct{ Driver, ID, IPv4, IPv6, Internal, Labels, Name, Scope string }

// networkDocument is a network as "network inspect" prints it.
type networkDocument struct {
	Name       string
	ID         string `json:"Id"`
	Scope      string
	Driver     string
	EnableIPv6 bool
	IPAM       networkAddresses
	Internal   bool
	Containers map[string]networkMember
	Labels     map[string]string
}

type networkAddresses struct {
	Driver string
	Config []networkPool
}

type networkPool struct {
	Subnet  string
	IPRange string `json:",omitempty"`
	Gateway string
}

type networkMember struct{ Name, IPv4Address string }

func networkThings(ctx context.Context, client *api.Client) ([]resource, error) {
	reply, err := client.Networks(ctx, &api.NetworksRequest{})
	if err != nil {
		return nil, err
	}
	var list []resource
	for _, n := range reply.Networks {
		labels := withProject(n.Labels, n.Project, "network", n.Key)
		var users []string
		members := map[string]networkMember{}
		for _, u := range n.Users {
			users = append(users, u.Name)
			members[u.Id] = networkMember{Name: u.Name, IPv4Address: u.Address}
		}
		list = append(list, resource{
			name: n.Name, labels: labels, dangles: len(users) == 0,
			columns: []string{n.Name, "bridge", n.Subnet, cmp.Or(n.Project, "-"), cmp.Or(strings.Join(users, ", "), "-")},
			line: networkLine{
				Driver: "bridge", ID: n.Name, IPv4: "true", IPv6: "false", Internal: strconv.FormatBool(n.Internal),
				Labels: labelText(labels), Name: n.Name, Scope: "local",
			},
			inspect: networkDocument{
				Name: n.Name, ID: n.Name, Scope: "local", Driver: "bridge", Internal: n.Internal, Containers: members, Labels: labels,
				IPAM: networkAddresses{Driver: "default", Config: []networkPool{{Subnet: n.Subnet, IPRange: n.IpRange, Gateway: n.Gateway}}},
			},
		})
	}
	return list, nil
}

func removeNetwork(ctx context.Context, client *api.Client, name string) (absent bool, err error) {
	reply, err := client.RemoveNetwork(ctx, &api.RemoveNetworkRequest{Name: name})
	return reply.GetAbsent(), err
}
