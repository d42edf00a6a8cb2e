package network

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firewall is the engine's own nftables table, inet orlop_<ID>. Its rules never
// change; networks come and go as elements of its sets. In the words of nft:
//
//	set bridges  { type ifname }             every bridge
//	set internal { type ifname }             those without a way out
//	set same     { type ifname . ifname }    each bridge twice, but for those that keep their own apart
//	set subnets  { type ipv4_addr; flags interval }   those with a way out, if they are hidden behind the machine
//	chain forward {            # a packet must pass everybody's chains
//	    iifname . oifname @same accept       # within one bridge
//	    ct state established,related accept
//	    iifname @internal drop
//	    oifname @bridges drop                # from other networks, neighbours
//	}
//	chain input {
//	    iifname @internal ct state established,related accept
//	    iifname @internal drop
//	}
//	chain postrouting {
//	    meta nfproto ipv4 ip saddr @subnets oifname != @bridges masquerade
//	}
type firewall struct {
	id         string
	log        *slog.Logger
	forwarding *forwarding
	table      *nftables.Table

	bridges, internal, same, subnets *nftables.Set

	mu   sync.Mutex // one transaction at a time
	nets map[string]Network
	host hostFirewall
}

func newFirewall(id string, log *slog.Logger) *firewall {
	t := &nftables.Table{Name: "orlop_" + id, Family: nftables.TableFamilyINet}
	pair := nftables.MustConcatSetType(nftables.TypeIFName, nftables.TypeIFName)
	return &firewall{
		id: id, log: log, forwarding: newForwarding(), table: t, nets: map[string]Network{},
		bridges:  &nftables.Set{Table: t, ID: 1, Name: "bridges", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian},
		internal: &nftables.Set{Table: t, ID: 2, Name: "internal", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian},
		same:     &nftables.Set{Table: t, ID: 3, Name: "same", KeyType: pair, Concatenation: true},
		subnets:  &nftables.Set{Table: t, ID: 4, Name: "subnets", KeyType: nftables.TypeIPAddr, Interval: true},
		host:     hostFirewall{id: id, log: log},
	}
}

// reset makes the table as the networks want it, whatever it was. Without
// networks there is no table. It is called under the host's lock.
func (f *firewall) reset(nets []Network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nets = map[string]Network{}
	for _, n := range nets {
		f.nets[n.Bridge] = n
	}
	if err := f.rebuild(); err != nil {
		return err
	}
	if err := f.forwarding.forget("or"+f.id, f.nets); err != nil {
		return err
	}
	if len(nets) == 0 {
		return f.host.close()
	}
	for _, n := range nets {
		if err := f.forwarding.on(n.Bridge); err != nil {
			return err
		}
	}
	f.host.open(f.named())
	return nil
}

// add opens the firewall for a network. It is called under the host's lock.
func (f *firewall) add(n Network) error {
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
	if err := f.forwarding.on(n.Bridge); err != nil {
		return err
	}
	f.host.open(f.named())
	return nil
}

// remove undoes add. It is called under the host's lock.
func (f *firewall) remove(n Network) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.nets[n.Bridge]; !ok {
		return nil
	}
	delete(f.nets, n.Bridge)
	err := f.forwarding.off(n.Bridge)
	switch {
	case len(f.nets) == 0:
		return errors.Join(err, f.rebuild(), f.host.close())
	case f.change(n, (*nftables.Conn).SetDeleteElements) != nil:
		// Somebody meddled with the table: make it anew.
		return errors.Join(err, f.rebuild())
	}
	return err
}

// verify makes the table again if somebody flushed it (reloading the host's
// nftables.conf does), and looks again whether the host's own firewall lets
// containers out. It is called under the host's lock.
func (f *firewall) verify() error {
	damage, err := f.damage()
	if err != nil {
		return err
	}
	if damage != "" {
		f.log.Warn("somebody has changed the firewall's table; it is made again", "table", f.table.Name, "what", damage)
		if err := f.repair(); err != nil {
			return err
		}
	}
	return f.openHost()
}

// openHost looks again whether the machine forwards, and its own firewall lets
// containers out.
func (f *firewall) openHost() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.nets) == 0 {
		return nil
	}
	if err := f.forwarding.verify(); err != nil {
		return err
	}
	f.host.open(f.named())
	return nil
}

// named are the bridges whose names are not ours.
func (f *firewall) named() []string {
	var names []string
	for name := range f.nets {
		if !isLinkName(name, f.host.prefix()) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// repair makes the table again.
func (f *firewall) repair() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rebuild()
}

// rulesOf is how many rules each chain of the table has.
func rulesOf() map[string]int { return map[string]int{"forward": 4, "input": 2, "postrouting": 1} }

// damage says what somebody has taken of the table: all of it, rules, elements
// of its sets.
func (f *firewall) damage() (string, error) {
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
	want := map[*nftables.Set]int{f.bridges: 0, f.internal: 0, f.same: 0, f.subnets: 0}
	for _, n := range f.nets {
		for set, elements := range f.elements(n) {
			want[set] += len(elements)
		}
	}
	for set, n := range want {
		have, err := c.GetSetElements(set)
		if err != nil || set != f.subnets && len(have) != n || set == f.subnets && n > 0 && len(have) == 0 {
			return "the firewall knows some networks no more", nil
		}
	}
	return "", nil
}

// change adds or removes the elements of one network in one transaction.
func (f *firewall) change(n Network, apply func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error) error {
	var c nftables.Conn
	for set, elements := range f.elements(n) {
		if err := apply(&c, set, elements); err != nil {
			return err
		}
	}
	return c.Flush()
}

func (f *firewall) elements(n Network) map[*nftables.Set][]nftables.SetElement {
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
	first := n.Subnet.Masked().Addr()
	after := toAddr(toUint(first) + 1<<(32-n.Subnet.Bits()))
	m[f.subnets] = []nftables.SetElement{
		{Key: first.AsSlice()},
		{Key: after.AsSlice(), IntervalEnd: true},
	}
	return m
}

// rebuild replaces the table in one transaction, so that there is no moment
// without it.
func (f *firewall) rebuild() error {
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

func (f *firewall) create(c *nftables.Conn) error {
	c.AddTable(f.table)
	elements := map[*nftables.Set][]nftables.SetElement{}
	for _, n := range f.nets {
		for set, e := range f.elements(n) {
			elements[set] = append(elements[set], e...)
		}
	}
	for _, set := range []*nftables.Set{f.bridges, f.internal, f.same, f.subnets} {
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
		join(inSet(expr.MetaKeyOIFNAME, f.bridges), &expr.Counter{}, drop),
	)
	filter("input", nftables.ChainHookInput, nftables.ChainTypeFilter, nftables.ChainPriorityFilter,
		join(join(fromInternal, established()...), accept),
		join(fromInternal, &expr.Counter{}, drop),
	)
	out := inSet(expr.MetaKeyOIFNAME, f.bridges)
	out[1].(*expr.Lookup).Invert = true
	filter("postrouting", nftables.ChainHookPostrouting, nftables.ChainTypeNAT, nftables.ChainPriorityNATSource,
		join(join([]expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: unix.NFT_REG_1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: []byte{unix.NFPROTO_IPV4}},
			&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4, DestRegister: unix.NFT_REG_1},
			&expr.Lookup{SourceRegister: unix.NFT_REG_1, SetName: f.subnets.Name, SetID: f.subnets.ID},
		}, out...), &expr.Masq{}),
	)
	return nil
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
	bits := expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: unix.NFT_REG_1},
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

func dnsTable() *nftables.Table {
	return &nftables.Table{Name: "orlop_dns", Family: nftables.TableFamilyIPv4}
}

// redirectPort53 makes a name server on port reachable at addr:53 within the
// network namespace of the calling thread, so that what runs there may still
// listen on port 53 itself. Replies find their way back by connection tracking.
//
// A new namespace has no such table yet (replace is false): to delete one would
// make the kernel wait for its readers.
func redirectPort53(addr netip.Addr, port map[byte]uint16, replace bool) error {
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
