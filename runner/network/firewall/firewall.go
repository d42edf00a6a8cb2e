// Package firewall keeps networks apart and leads them out: it owns the engine's
// tables of nftables, opens the host's own firewall for what they let through, and has
// the machine forward. It makes no links, and knows nobody's addresses but the ranges
// of networks.
package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/pool"
)

// Network is what of a network concerns its packets.
type Network struct {
	Bridge string
	// Subnets are its ranges: one of IPv4, of IPv6, or both.
	Subnets []netip.Prefix
	// Internal ones have no way out, and none in; of isolated ones the containers
	// don't reach each other; what goes out of those without masquerading keeps its
	// own addresses.
	Internal, Isolated, NoMasquerade bool
}

func (n *Network) hasIPv6() bool {
	return slices.ContainsFunc(n.Subnets, func(p netip.Prefix) bool { return p.Addr().Is6() })
}

// Firewall is the engine's own nftables table, inet orlop_<ID>. Its rules never
// change; networks come and go as elements of its sets. In the words of nft:
//
//	set bridges  { type ifname }             every bridge
//	set internal { type ifname }             those without a way out
//	set same     { type ifname . ifname }    each bridge twice, but for those that keep their own apart
//	set subnets  { type ipv4_addr; flags interval }   those with a way out, if they are hidden behind the machine
//	set subnets6 { type ipv6_addr; flags interval }   the same of IPv6
//	chain forward {            # a packet must pass everybody's chains
//	    iifname . oifname @same accept       # within one bridge
//	    ct state established,related accept
//	    iifname @internal drop
//	    meta mark PublishedMark accept       # by a published port, see runner/ports/nat
//	    oifname @bridges drop                # from other networks, neighbours
//	}
//	chain input {
//	    iifname @internal ct state established,related accept
//	    iifname @internal icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept   # as ARP is
//	    iifname @internal drop
//	}
//	chain postrouting {
//	    meta nfproto ipv4 ip saddr @subnets oifname != @bridges masquerade
//	    meta nfproto ipv6 ip6 saddr @subnets6 oifname != @bridges masquerade
//	}
type Firewall struct {
	isOurs func(link string) bool // says that a link has a name of this engine's
	log    *slog.Logger
	table  *nftables.Table

	bridges, internal, same, subnets, subnets6 *nftables.Set

	mu   sync.Mutex // one transaction at a time
	nets map[string]Network
	ways [2]way // of IPv4 and of IPv6
}

// way is what the machine does for packets of one family that it forwards.
type way struct {
	is6        bool
	forwarding *forwarding
	host       host
}

// New is the firewall of the engine of an ID, whose links have names that isOurs knows,
// beginning with prefix.
func New(id, prefix string, isOurs func(link string) bool, log *slog.Logger) *Firewall {
	t := &nftables.Table{Name: "orlop_" + id, Family: nftables.TableFamilyINet}
	pair := nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName)
	return &Firewall{
		isOurs: isOurs, log: log, table: t, nets: map[string]Network{},
		bridges:  &nftables.Set{Table: t, ID: 1, Name: "bridges", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian},
		internal: &nftables.Set{Table: t, ID: 2, Name: "internal", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian},
		same:     &nftables.Set{Table: t, ID: 3, Name: "same", KeyType: pair, Concatenation: true},
		subnets:  &nftables.Set{Table: t, ID: 4, Name: "subnets", KeyType: nftables.TypeIPAddr, Interval: true},
		subnets6: &nftables.Set{Table: t, ID: 5, Name: "subnets6", KeyType: nftables.TypeIP6Addr, Interval: true},
		ways: [2]way{
			{forwarding: newForwarding(), host: host{id: id, prefix: prefix, log: log, family: nftables.TableFamilyIPv4}},
			{is6: true, forwarding: newForwarding6(), host: host{id: id, prefix: prefix, log: log, family: nftables.TableFamilyIPv6}},
		},
	}
}

// PublishedMark is the mark that the first packet of a connection has which a published
// port sends to a container ("orlp"), while it is forwarded.
const PublishedMark = 0x6f726c70

// IsOurs says that a table of nftables is that of the engine of an ID, of another engine, or of all of
// them, and so bears on containers only. A name that merely begins like one is somebody else's.
func IsOurs(id, table string) bool {
	name, isLike := strings.CutPrefix(table, "orlop_")
	if !isLike || table == forwardTable || table == dnsTable().Name || table == "orlop_doctor" {
		return isLike
	}
	name = strings.TrimSuffix(name, "_ports")
	return name == id || len(name) == idLength && strings.Trim(name, "0123456789abcdef") == ""
}

// idLength is how many hexadecimal digits the ID of an engine has.
const idLength = 4

// Opens says, by its user data, that a rule of the host's firewall is the one that lets the
// published ports of the engine of an ID through.
func Opens(id string, data []byte) bool { return bytes.Equal(data, publishedComment(id, "")) }

// Watches says that a table of that name, of whatever family, is of interest here.
func (f *Firewall) Watches(table string) bool {
	return table == f.table.Name || table == forwardTable || table == dnsTable().Name || table == hostTable
}

// sets are all of the table.
func (f *Firewall) sets() []*nftables.Set {
	return []*nftables.Set{f.bridges, f.internal, f.same, f.subnets, f.subnets6}
}

// isFor says that a network's packets may go that way. Those of IPv4 have a table of
// both families, which must let through what is forwarded for any bridge.
func (w *way) isFor(n Network) bool { return !w.is6 || n.hasIPv6() }

// forwarded are the networks whose packets may go that way.
func (f *Firewall) forwarded(w *way) map[string]Network {
	return maps.Collect(func(yield func(string, Network) bool) {
		for bridge, n := range f.nets {
			if w.isFor(n) && !yield(bridge, n) {
				return
			}
		}
	})
}

// Reset makes the table as the networks want it, whatever it was. Without
// networks there is no table. It is called under the host's lock.
func (f *Firewall) Reset(nets []Network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nets = map[string]Network{}
	for _, n := range nets {
		f.nets[n.Bridge] = n
	}
	if err := f.rebuild(); err != nil {
		return err
	}
	for i := range f.ways {
		w := &f.ways[i]
		all := f.forwarded(w)
		if err := w.forwarding.forget(f.isOurs, all); err != nil {
			return err
		}
		if len(all) == 0 {
			if err := w.host.close(); err != nil { // no network has less by it
				f.log.Warn("cannot look for rules of ours in the host's firewall that nothing needs any more", "error", err)
			}
			continue
		}
		for bridge := range all {
			if err := w.forwarding.on(bridge); err != nil {
				return err
			}
		}
		w.host.open(f.named(w))
	}
	return nil
}

// Add opens the firewall for a network. It is called under the host's lock.
func (f *Firewall) Add(n Network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.nets[n.Bridge]; ok {
		return nil
	}
	first := len(f.nets) == 0
	f.nets[n.Bridge] = n
	// A table that somebody meddled with takes no element: it is made anew.
	if first || f.change(n, (*nftables.Conn).SetAddElements) != nil {
		if err := f.rebuild(); err != nil {
			return err
		}
	}
	for i := range f.ways {
		w := &f.ways[i]
		if !w.isFor(n) {
			continue
		}
		if err := w.forwarding.on(n.Bridge); err != nil {
			return err
		}
		w.host.open(f.named(w))
	}
	return nil
}

// Remove undoes Add. It is called under the host's lock.
func (f *Firewall) Remove(n Network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.nets[n.Bridge]; !ok {
		return nil
	}
	delete(f.nets, n.Bridge)
	var err error
	for i := range f.ways {
		w := &f.ways[i]
		if !w.isFor(n) {
			continue
		}
		err = errors.Join(err, w.forwarding.off(n.Bridge))
		if len(f.forwarded(w)) == 0 {
			err = errors.Join(err, w.host.close())
		}
	}
	switch {
	case len(f.nets) == 0:
		return errors.Join(err, f.rebuild())
	case f.change(n, (*nftables.Conn).SetDeleteElements) != nil:
		// Somebody meddled with the table: make it anew.
		return errors.Join(err, f.rebuild())
	}
	return err
}

// Verify makes the table again if somebody flushed it (reloading the host's
// nftables.conf does), and looks again whether the host's own firewall lets
// containers out. It is called under the host's lock.
func (f *Firewall) Verify() error {
	damage, err := f.Damage()
	if err != nil {
		return err
	}
	if damage != "" {
		f.log.Warn("somebody has changed the firewall's table; it is made again", "table", f.table.Name, "what", damage)
		if err := f.Repair(); err != nil {
			return err
		}
	}
	return f.OpenHost()
}

// OpenHost looks again whether the machine forwards, and its own firewall lets
// containers out.
func (f *Firewall) OpenHost() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.ways {
		w := &f.ways[i]
		if len(f.forwarded(w)) == 0 {
			continue
		}
		if err := w.forwarding.verify(); err != nil {
			return err
		}
		w.host.open(f.named(w))
	}
	return nil
}

// named are the bridges whose packets may go a way, and whose names are not ours.
func (f *Firewall) named(w *way) []string {
	var names []string
	for name := range f.forwarded(w) {
		if !f.isOurs(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Repair makes the table again.
func (f *Firewall) Repair() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rebuild()
}

// rulesOf is how many rules each chain of the table has.
func rulesOf() map[string]int { return map[string]int{"forward": 5, "input": 3, "postrouting": 2} }

// Damage says what somebody has taken of the table: all of it, rules, elements
// of its sets.
func (f *Firewall) Damage() (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.nets) == 0 {
		return "", nil
	}
	var c nftables.Conn
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyINet)
	if err != nil {
		return "", fmt.Errorf("cannot list the tables of nftables: %w", err)
	}
	if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == f.table.Name }) {
		return "the firewall's table is gone", nil
	}
	for name, want := range rulesOf() {
		rules, err := c.GetRules(f.table, &nftables.Chain{Name: name, Table: f.table})
		if err != nil || len(rules) != want {
			return "rules of the firewall are gone", nil
		}
	}
	want := map[*nftables.Set]int{}
	for _, set := range f.sets() {
		want[set] = 0
	}
	for _, n := range f.nets {
		for set, elements := range f.elements(n) {
			want[set] += len(elements)
		}
	}
	for set, n := range want {
		have, err := c.GetSetElements(set)
		if err != nil || !set.Interval && len(have) != n || set.Interval && n > 0 && len(have) == 0 {
			return "the firewall knows some networks no more", nil
		}
	}
	return "", nil
}

// change adds or removes the elements of one network in one transaction.
func (f *Firewall) change(n Network, apply func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error) error {
	var c nftables.Conn
	for set, elements := range f.elements(n) {
		if err := apply(&c, set, elements); err != nil {
			return err
		}
	}
	return c.Flush()
}

func (f *Firewall) elements(n Network) map[*nftables.Set][]nftables.SetElement {
	name := ifname(n.Bridge)
	m := map[*nftables.Set][]nftables.SetElement{
		f.bridges: {{Key: name}},
	}
	if !n.Isolated {
		m[f.same] = []nftables.SetElement{{Key: append(name[:len(name):len(name)], name...)}}
	}
	if n.Internal {
		m[f.internal] = []nftables.SetElement{{Key: name}}
		return m
	}
	if n.NoMasquerade {
		return m
	}
	for _, subnet := range n.Subnets {
		set := f.subnets
		if subnet.Addr().Is6() {
			set = f.subnets6
		}
		m[set] = []nftables.SetElement{
			{Key: subnet.Masked().Addr().AsSlice()},
			{Key: pool.After(subnet).AsSlice(), IntervalEnd: true},
		}
	}
	return m
}

// rebuild replaces the table in one transaction, so that there is no moment
// without it.
func (f *Firewall) rebuild() error {
	var c nftables.Conn
	c.AddTable(f.table) // so that there is one to delete
	c.DelTable(f.table)
	if len(f.nets) > 0 {
		if err := f.create(&c); err != nil {
			return fmt.Errorf("internal error: nftables: %w", err)
		}
	}
	if err := c.Flush(); err != nil {
		if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
			return fmt.Errorf("this kernel has no nftables (module nf_tables): %w", err)
		}
		return fmt.Errorf("cannot set up the firewall: %w", err)
	}
	return nil
}

func (f *Firewall) create(c *nftables.Conn) error {
	c.AddTable(f.table)
	elements := map[*nftables.Set][]nftables.SetElement{}
	for _, n := range f.nets {
		for set, e := range f.elements(n) {
			elements[set] = append(elements[set], e...)
		}
	}
	for _, set := range f.sets() {
		if err := c.AddSet(set, elements[set]); err != nil {
			return err
		}
	}
	filter := func(name string, hook *nftables.ChainHook, typ nftables.ChainType, prio *nftables.ChainPriority, rules ...[]expr.Any) {
		chain := c.AddChain(&nftables.Chain{Name: name, Table: f.table, Type: typ, Hooknum: hook, Priority: prio})
		for _, r := range rules {
			c.AddRule(&nftables.Rule{Table: f.table, Chain: chain, Exprs: r})
		}
	}
	accept, drop := verdict(expr.VerdictAccept), verdict(expr.VerdictDrop)
	fromInternal := inSet(expr.MetaKeyIIFNAME, f.internal)
	filter("forward", nftables.ChainHookForward, nftables.ChainTypeFilter, nftables.ChainPriorityFilter,
		[]expr.Any{
			&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1},
			&expr.Meta{Key: expr.MetaKeyOIFNAME, Register: unix.NFT_REG_2},
			&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: f.same.Name, SetID: f.same.ID},
			accept,
		},
		join(established(), accept),
		join(fromInternal, &expr.Counter{}, drop),
		[]expr.Any{
			&expr.Meta{Key: expr.MetaKeyMARK, Register: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: binaryutil.NativeEndian.PutUint32(PublishedMark)},
			accept,
		},
		join(inSet(expr.MetaKeyOIFNAME, f.bridges), &expr.Counter{}, drop),
	)
	filter("input", nftables.ChainHookInput, nftables.ChainTypeFilter, nftables.ChainPriorityFilter,
		join(join(fromInternal, established()...), accept),
		join(join(fromInternal, icmp6(neighborSolicit, neighborAdvert)...), accept),
		join(fromInternal, &expr.Counter{}, drop),
	)
	out := inSet(expr.MetaKeyOIFNAME, f.bridges)
	out[1].(*expr.Lookup).Invert = true
	const source4, source6 = 12, 8 // RFC 791, RFC 8200: where the address of the sender is
	filter("postrouting", nftables.ChainHookPostrouting, nftables.ChainTypeNAT, nftables.ChainPriorityNATSource,
		join(join(from(f.subnets, unix.NFPROTO_IPV4, source4, net.IPv4len), out...), &expr.Masq{}),
		join(join(from(f.subnets6, unix.NFPROTO_IPV6, source6, net.IPv6len), out...), &expr.Masq{}),
	)
	return nil
}

// from matches packets of a family whose sender, of so many bytes at an offset, is in a
// set.
func from(set *nftables.Set, family byte, offset, size uint32) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{family}},
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size, DestRegister: unix.NFT_REG_1},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: set.Name, SetID: set.ID},
	}
}

// Types of ICMPv6 by which neighbours are found (RFC 4861, 4.3 and 4.4).
const neighborSolicit, neighborAdvert = 135, 136

// icmp6 matches packets of ICMPv6 whose type is in a range.
func icmp6(first, last byte) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{unix.NFPROTO_IPV6}},
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{unix.IPPROTO_ICMPV6}},
		&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 0, Len: 1, DestRegister: unix.NFT_REG_1},
		&expr.Range{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, FromData: []byte{first}, ToData: []byte{last}},
	}
}

// join concatenates without writing into the first argument's array.
func join(a []expr.Any, b ...expr.Any) []expr.Any { return append(a[:len(a):len(a)], b...) }

func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }

// inSet matches packets whose link (in or out) is in a set.
func inSet(key expr.MetaKey, set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: key, Register: unix.NFT_REG_1},
		&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: set.Name, SetID: set.ID},
	}
}

// established matches ct state established,related.
func established() []expr.Any {
	return tracked(expr.CtKeySTATE, expr.CtStateBitESTABLISHED|expr.CtStateBitRELATED)
}

// translated matches ct status dnat.
func translated() []expr.Any {
	const destinationNAT = 1 << 5 // IPS_DST_NAT
	return tracked(expr.CtKeySTATUS, destinationNAT)
}

// tracked matches what the connection tracking has one of some bits for.
func tracked(key expr.CtKey, bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: unix.NFT_REG_1},
		&expr.Bitwise{
			SourceRegister: unix.NFT_REG_1, DestRegister: unix.NFT_REG_1, Len: 4,
			Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: binaryutil.NativeEndian.PutUint32(0),
		},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: unix.NFT_REG_1, Data: binaryutil.NativeEndian.PutUint32(0)},
	}
}

// ifname is a link's name as nftables compares it: padded to 16 bytes.
func ifname(name string) []byte {
	b := make([]byte, unix.IFNAMSIZ)
	copy(b, name)
	return b
}
