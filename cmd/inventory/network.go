package inventory

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/format"
)

// Network are the verbs about networks.
func (v *Verbs) Network() []*cobra.Command {
	k := resourceKind{kind: "network", driver: "bridge", header: "NAME\tDRIVER\tSUBNET\tPROJECT\tUSED BY", format: networkFormat(), list: networkThings, remove: removeNetwork}
	return []*cobra.Command{v.networkCreate(k), v.listing(k), v.removal(k), v.inspection(k), v.networkPrune(k)}
}

func (v *Verbs) networkCreate(k resourceKind) *cobra.Command {
	var by madeBy
	var want api.NetworkInfo
	var given givenRanges
	var v4 bool
	c := &cobra.Command{
		Use: "create NAME", Short: "Create a network that belongs to no stack",
		Example: "  orlop network create edge\n  orlop network create --subnet 10.77.0.0/24 --internal backend", Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var err error
			if want.Labels, err = by.read(k); err != nil {
				return err
			}
			want.Name, want.NoIpv4 = args[0], !v4
			if err := given.sort(&want); err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				if v.Of().DryRun {
					v.Of().Foresay("+ network " + want.Name)
					return nil
				}
				_, err := client.CreateNetwork(ctx, &want)
				if err == nil {
					fmt.Fprintln(v.Of().Stdout, want.Name)
				}
				return err
			})
		},
	}
	by.flags(c, k)
	c.Flags().StringSliceVar(&given.subnets, "subnet", nil, "`subnet` of its addresses: 10.77.0.0/24; without it one that is free; once more for IPv6")
	c.Flags().StringSliceVar(&given.gateways, "gateway", nil, "`address` of the gateway; without it the first one")
	c.Flags().StringSliceVar(&given.within, "ip-range", nil, "`part` of the subnet that addresses are taken from")
	c.Flags().BoolVar(&want.Ipv6, "ipv6", false, "its containers have addresses of IPv6")
	c.Flags().BoolVar(&v4, "ipv4", true, "and of IPv4; --ipv4=false")
	c.Flags().BoolVar(&want.Internal, "internal", false, "no way out, and none in")
	return c
}

// givenRanges are what the flags say of the addresses of a network: once for each
// family.
type givenRanges struct{ subnets, gateways, within []string }

// sort puts each to its family.
func (g *givenRanges) sort(want *api.NetworkInfo) error {
	for _, kind := range []struct {
		flag   string
		texts  []string
		v4, v6 *string
	}{
		{"subnet", g.subnets, &want.Subnet, &want.Subnet6}, {"gateway", g.gateways, &want.Gateway, &want.Gateway6}, {"ip-range", g.within, &want.IpRange, &want.IpRange6},
	} {
		for _, text := range kind.texts {
			to := kind.v4
			if strings.Contains(text, ":") {
				to = kind.v6
			}
			if *to != "" {
				return fmt.Errorf("--%s is given twice for one family of addresses: %s and %s", kind.flag, *to, text)
			}
			*to = text
		}
	}
	if !want.Ipv6 && want.Subnet6+want.Gateway6+want.IpRange6 != "" {
		return fmt.Errorf("%s is of IPv6, which the network has none of: add --ipv6", cmp.Or(want.Subnet6, want.Gateway6, want.IpRange6))
	}
	return nil
}

// networkLine is a network as "network ls --format json" prints it.
type networkLine struct {
	Driver, ID, IPv4, IPv6, Internal, Labels, Name, Scope string
	labels                                                map[string]string
}

// Label is the value of a label.
func (l networkLine) Label(name string) string { return l.labels[name] }

func networkFormat() func(string) (printing, error) {
	return formatted[networkLine]("networks", format.Headers{
		"Driver": "DRIVER", "ID": "NETWORK ID", "IPv4": "IPV4", "IPv6": "IPV6", "Internal": "INTERNAL", "Labels": "LABELS", "Name": "NAME", "Scope": "SCOPE",
	})
}

// networkDocument is a network as "network inspect" prints it.
type networkDocument struct {
	Name       string
	ID         string `json:"Id"`
	Scope      string
	Driver     string
	EnableIPv4 bool
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

type networkMember struct{ Name, IPv4Address, IPv6Address string }

// poolsOf are the ranges of a network.
func poolsOf(n *api.NetworkInfo) (list []networkPool) {
	for _, p := range []networkPool{{n.Subnet, n.IpRange, n.Gateway}, {n.Subnet6, n.IpRange6, n.Gateway6}} {
		if p.Subnet != "" {
			list = append(list, p)
		}
	}
	return list
}

func networkThings(ctx context.Context, client *api.Client) ([]resource, error) {
	reply, err := client.Networks(ctx, &api.NetworksRequest{})
	if err != nil {
		return nil, err
	}
	var list []resource
	for _, n := range reply.Networks {
		labels := withProject(n.Labels, n.Project, "network", n.Key)
		if n.Project != "" && n.Version != "" {
			labels["com.docker.compose.version"] = n.Version
		}
		var users []string
		members := map[string]networkMember{}
		for _, u := range n.Users {
			users = append(users, u.Name)
			members[u.Id] = networkMember{Name: u.Name, IPv4Address: u.Address, IPv6Address: u.Address6}
		}
		pools, driver := poolsOf(n), cmp.Or(n.Driver, "bridge")
		var subnets []string
		for _, p := range pools {
			subnets = append(subnets, p.Subnet)
		}
		list = append(list, resource{
			name: n.Name, labels: labels, dangles: len(users) == 0, project: n.Project, users: users,
			columns: []string{n.Name, driver, strings.Join(subnets, ", "), cmp.Or(n.Project, "-"), cmp.Or(strings.Join(users, ", "), "-")},
			line: networkLine{
				Driver: driver, ID: n.Name, IPv4: strconv.FormatBool(n.Subnet != ""), IPv6: strconv.FormatBool(n.Subnet6 != ""), Internal: strconv.FormatBool(n.Internal),
				Labels: labelText(labels), Name: n.Name, Scope: "local", labels: labels,
			},
			inspect: networkDocument{
				Name: n.Name, ID: n.Name, Scope: "local", Driver: driver, EnableIPv4: n.Subnet != "", EnableIPv6: n.Subnet6 != "", Internal: n.Internal, Containers: members, Labels: labels,
				IPAM: networkAddresses{Driver: "default", Config: pools},
			},
		})
	}
	return list, nil
}

func removeNetwork(ctx context.Context, client *api.Client, name string) (absent bool, err error) {
	reply, err := client.RemoveNetwork(ctx, &api.RemoveNetworkRequest{Name: name})
	return reply.GetAbsent(), err
}
