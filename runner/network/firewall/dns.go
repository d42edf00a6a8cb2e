package firewall

import (
	"errors"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

func dnsTable() *nftables.Table {
	return &nftables.Table{Name: "orlop_dns", Family: nftables.TableFamilyIPv4}
}

// Redirect makes a name server on port reachable at addr:53 within the
// network namespace of the calling thread, so that what runs there may still
// listen on port 53 itself. Replies find their way back by connection tracking.
//
// A new namespace has no such table yet (replace is false): to delete one would
// make the kernel wait for its readers.
func Redirect(addr netip.Addr, port map[byte]uint16, replace bool) error {
	var c nftables.Conn
	t := dnsTable()
	c.AddTable(t)
	if replace {
		c.DelTable(t)
		c.AddTable(t)
	}
	chain := c.AddChain(&nftables.Chain{
		Name: "output", Table: t, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookOutput, Priority: nftables.ChainPriorityNATDest,
	})
	for proto, to := range port {
		c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: []expr.Any{
			&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4, DestRegister: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: addr.AsSlice()},
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{proto}},
			&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: binaryutil.BigEndian.PutUint16(53)},
			&expr.Immediate{Register: unix.NFT_REG_1, Data: addr.AsSlice()},
			&expr.Immediate{Register: unix.NFT_REG_2, Data: binaryutil.BigEndian.PutUint16(to)},
			&expr.NAT{
				Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4,
				RegAddrMin: unix.NFT_REG_1, RegProtoMin: unix.NFT_REG_2, Specified: true,
			},
		}})
	}
	return c.Flush()
}

// HasRedirect says whether the namespace of the calling thread leads port 53 to a
// name server of ours. Where that can't be told, it is left alone.
func HasRedirect() bool {
	var c nftables.Conn
	rules, err := c.GetRules(dnsTable(), &nftables.Chain{Name: "output", Table: dnsTable()})
	if errors.Is(err, unix.ENOENT) {
		return false
	}
	return err != nil || len(rules) == 2
}
