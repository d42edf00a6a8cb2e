package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
)

// inNetwork calls f in a network namespace that ends with it.
func inNetwork(f func() error) error {
	return apart(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("cannot make a network namespace: %w", err)
		}
		return f()
	})
}

func (h *Host) bridges() api.Check {
	return h.withModules("networks", []string{"bridge", "veth"}, "bridges and pairs of links can be made", func() error {
		return inNetwork(func() error {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "orlop0"
			bridge := &netlink.Bridge{LinkAttrs: attrs}
			if err := netlink.LinkAdd(bridge); err != nil {
				return fmt.Errorf("cannot make a bridge: %w", err)
			}
			attrs.Name, attrs.MasterIndex = "orlop1", bridge.Attrs().Index
			pair := &netlink.Veth{LinkAttrs: attrs, PeerName: "orlop2"}
			if err := netlink.LinkAdd(pair); err != nil {
				return fmt.Errorf("cannot make a pair of links: %w", err)
			}
			addr, err := netlink.ParseAddr("192.0.2.1/24")
			if err != nil {
				return err
			}
			if err := errors.Join(netlink.AddrAdd(bridge, addr), netlink.LinkSetUp(bridge), netlink.LinkSetUp(pair)); err != nil {
				return fmt.Errorf("cannot set up a bridge: %w", err)
			}
			return nil
		})
	})
}

// firewall makes a table of the kinds of rules that the engine makes.
func (h *Host) firewall() api.Check {
	modules := []string{"nf_tables", "nft_masq", "nft_ct", "nft_redir"}
	return h.withModules("firewall", modules, "nftables takes rules that filter and translate addresses", func() error {
		return inNetwork(func() error {
			c, err := nftables.New()
			if err != nil {
				return fmt.Errorf("cannot open a netlink socket: %w", err)
			}
			t := c.AddTable(&nftables.Table{Name: "orlop_doctor", Family: nftables.TableFamilyINet})
			nat := c.AddChain(&nftables.Chain{
				Name: "nat", Table: t, Type: nftables.ChainTypeNAT, Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource,
			})
			c.AddRule(&nftables.Rule{Table: t, Chain: nat, Exprs: []expr.Any{&expr.Masq{}}})
			filter := c.AddChain(&nftables.Chain{
				Name: "forward", Table: t, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
			})
			c.AddRule(&nftables.Rule{Table: t, Chain: filter, Exprs: []expr.Any{
				&expr.Ct{Register: 1, Key: expr.CtKeySTATE}, &expr.Verdict{Kind: expr.VerdictDrop},
			}})
			if err := c.Flush(); err != nil {
				return fmt.Errorf("nftables takes no rules: %w", err)
			}
			return nil
		})
	})
}

func (h *Host) forwarding() api.Check {
	path := filepath.Join(h.proc, "sys/net/ipv4/ip_forward")
	now, err := h.setting("net/ipv4/ip_forward")
	if err != nil {
		return failed("forwarding", "mount /proc", "cannot read %s: %v", path, err)
	}
	if now == 1 {
		return ok("forwarding", "the machine forwards packets")
	}
	// Tried as it is: nothing changes.
	if err := os.WriteFile(path, []byte("0"), 0o644); err != nil {
		return failed("forwarding", "run \"sysctl net.ipv4.ip_forward=1\" on the host", "containers can't reach the outside: %v", err)
	}
	return ok("forwarding", "off; the engine turns it on while there are networks")
}

func (h *Host) nameServers() api.Check {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil || !strings.Contains(string(text), "nameserver") {
		return warning("name servers", "name one in /etc/resolv.conf", "the machine has none: containers find each other, but no name of the outside")
	}
	return ok("name servers", "%d in /etc/resolv.conf", strings.Count(string(text), "nameserver"))
}
