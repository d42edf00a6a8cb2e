package nat

import (
	"encoding/binary"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// family is what the rules of IPv4 and those of IPv6 differ in.
type family struct {
	name    string
	proto   byte
	address nftables.SetDatatype
	offset  uint32 // where the address of the receiver is: RFC 791, RFC 8200
	size    uint32
}

func families() []family {
	return []family{
		{"4", unix.NFPROTO_IPV4, nftables.TypeIPAddr, 16, 4},
		{"6", unix.NFPROTO_IPV6, nftables.TypeIP6Addr, 24, 16},
	}
}

// first is the register that keys and values begin in. It and those that follow have four
// bytes each.
const first = unix.NFT_REG32_00

// TCP's flags are the byte at tcpFlags; synOf tells a connection's first packet.
const (
	tcpFlags = 13
	synOf    = 0x17 // FIN, SYN, RST, ACK
	syn      = 0x02
)

// addChains adds the rules to the transaction.
func (t *Table) addChains() {
	add := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority nftables.ChainPriority, rules ...[]expr.Any) {
		chain := t.conn.AddChain(&nftables.Chain{Name: name, Table: t.table, Type: kind, Hooknum: hook, Priority: &priority})
		for _, r := range rules {
			t.conn.AddRule(&nftables.Rule{Table: t.table, Chain: chain, Exprs: r})
		}
	}
	giveWay := verdict(expr.VerdictReturn)
	isApart := []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: first}}
	isApart = append(isApart, service(first+4)...)
	isApart = append(isApart, &expr.Lookup{SourceRegister: first, SetName: "apart"}, giveWay)
	led := [][]expr.Any{
		{
			&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: first}, equal([]byte{unix.IPPROTO_TCP}),
			&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: tcpFlags, Len: 1, DestRegister: first},
			masked([]byte{synOf}), unequal([]byte{syn}), giveWay,
		},
		{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: first}, equal([]byte{unix.NFPROTO_IPV4}),
			&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 1, DestRegister: first}, equal([]byte{127}), giveWay,
		},
		{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: first}, equal([]byte{unix.NFPROTO_IPV6}),
			&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 24, Len: 16, DestRegister: first}, equal(netip.IPv6Loopback().AsSlice()), giveWay,
		},
		linkLocal(8),
		linkLocal(24),
		{
			&expr.Fib{Register: first, FlagDADDR: true, ResultADDRTYPE: true},
			unequal(binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)), giveWay,
		},
	}
	for _, f := range families() {
		led = append(led, f.dnat("bound"), f.dnat("any"))
	}
	after := *nftables.ChainPriorityNATDest + 1
	add("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, after, append([][]expr.Any{isApart}, led...)...)
	// The machine's answer to its own loopback would leave by a bridge.
	own := [][]expr.Any{
		{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: first}, equal([]byte{unix.NFPROTO_IPV4}),
			&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 1, DestRegister: first}, equal([]byte{127}), giveWay,
		},
		{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: first}, equal([]byte{unix.NFPROTO_IPV6}),
			&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 8, Len: 16, DestRegister: first}, equal(netip.IPv6Loopback().AsSlice()), giveWay,
		},
	}
	add("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, after, append(own, led...)...)
	var marks [][]expr.Any
	for _, f := range families() {
		marks = append(marks, f.mark())
	}
	add("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, *nftables.ChainPriorityFilter-1, marks...)
}

// linkLocal leaves a packet alone whose address at an offset is one of a link (RFC 4291).
func linkLocal(offset uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: first}, equal([]byte{unix.NFPROTO_IPV6}),
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 2, DestRegister: first},
		masked([]byte{0xff, 0xc0}), equal([]byte{0xfe, 0x80}), verdict(expr.VerdictReturn),
	}
}

// dnat sends a packet where a map says.
func (f *family) dnat(of string) []expr.Any {
	rule := f.match()
	at := uint32(first)
	if of == "bound" {
		rule, at = append(rule, f.receiver(at)), at+f.size/4
	}
	rule = append(rule, service(at)...)
	return append(rule,
		&expr.Lookup{SourceRegister: first, DestRegister: first, IsDestRegSet: true, SetName: of + f.name},
		&expr.NAT{
			Type: expr.NATTypeDestNAT, Family: uint32(f.proto), Specified: true,
			RegAddrMin: first, RegProtoMin: first + f.size/4,
		})
}

// mark marks the first packet of what was sent to a target.
func (f *family) mark() []expr.Any {
	rule := append(f.match(),
		&expr.Ct{Key: expr.CtKeySTATE, Register: first}, masked(binaryutil.NativeEndian.PutUint32(expr.CtStateBitNEW)), unequal(make([]byte, 4)),
		&expr.Ct{Key: expr.CtKeySTATUS, Register: first}, masked(binaryutil.NativeEndian.PutUint32(destinationNAT)), unequal(make([]byte, 4)),
		f.receiver(first))
	rule = append(rule, service(first+f.size/4)...)
	return append(rule,
		&expr.Lookup{SourceRegister: first, SetName: "targets" + f.name},
		&expr.Immediate{Register: first, Data: binary.NativeEndian.AppendUint32(nil, Mark)},
		&expr.Meta{Key: expr.MetaKeyMARK, SourceRegister: true, Register: first})
}

// destinationNAT is IPS_DST_NAT of the connection tracking.
const destinationNAT = 1 << 5

func (f *family) match() []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: first}, equal([]byte{f.proto})}
}

func (f *family) receiver(register uint32) expr.Any {
	return &expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: f.offset, Len: f.size, DestRegister: register}
}

// service loads the protocol and the port.
func service(register uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register},
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: register + 1},
	}
}

func equal(data []byte) expr.Any { return &expr.Cmp{Op: expr.CmpOpEq, Register: first, Data: data} }
func unequal(data []byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: first, Data: data}
}

func masked(mask []byte) expr.Any {
	return &expr.Bitwise{SourceRegister: first, DestRegister: first, Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }
