// Package nat has the kernel send published ports to containers, by a table of nftables
// that belongs to the socket which made it: nobody else may change it, `nft flush ruleset`
// leaves it, and it is gone with the process, however that ends. Which ports may go that
// way is for others to say.
package nat

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/network/firewall"
)

// Rule sends what comes for a port of this machine to a container.
type Rule struct {
	// Addr is the address that it was sent to: the zero one is every address of the
	// machine, of the container's family, but for the loopback's.
	Addr  netip.Addr
	Port  uint16
	Proto byte // IPPROTO_TCP or IPPROTO_UDP
	To    netip.AddrPort
	// Apart are the links whose neighbours would be answered directly, past this machine:
	// what comes by them is left alone.
	Apart []string
}

// Table is the table of one engine. Its rules never change; ports come and go as elements
// of its sets. In the words of nft, for IPv4:
//
//	map any4     { type inet_proto . inet_service : ipv4_addr . inet_service }
//	map bound4   { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service }
//	set targets4 { type ipv4_addr . inet_proto . inet_service }
//	set apart    { type ifname . inet_proto . inet_service }
//	chain prerouting {            # nat, after everybody else's
//	    iifname . meta l4proto . th dport @apart return
//	    meta l4proto tcp tcp flags & (fin|syn|rst|ack) != syn return
//	    ip daddr 127.0.0.0/8 return
//	    ip6 daddr ::1 return
//	    ip6 saddr & ffc0:: == fe80:: return   # such an address means nothing on another link
//	    ip6 daddr & ffc0:: == fe80:: return
//	    fib daddr type != local return
//	    dnat ip to ip daddr . meta l4proto . th dport map @bound4
//	    dnat ip to meta l4proto . th dport map @any4
//	}
//	chain output { ... }          # the same, for the machine's own programs, but for the first rule
//	chain forward {               # before everybody else's
//	    ct state new ct status dnat ip daddr . meta l4proto . th dport @targets4 meta mark set MARK
//	}
//
// Only a connection's first packet is looked at: one that the connection tracking has
// forgotten is nobody's, and is refused by the machine as before.
type Table struct {
	id string

	mu    sync.Mutex // one transaction at a time
	conn  *nftables.Conn
	table *nftables.Table
	rules []Rule
}

// New is the table of the engine of an ID. There is none in the kernel before the first rule;
// it stays without any, as to take it away takes the kernel some time, until Close.
func New(id string) *Table {
	return &Table{id: id, table: &nftables.Table{Name: "orlop_" + id + "_ports", Family: nftables.TableFamilyINet}}
}

// Add makes a rule. Where that fails, there are no rules at all any more.
func (t *Table) Add(r Rule) error {
	return t.change(func(rules []Rule) []Rule { return append(slices.Clone(rules), r) })
}

// Remove takes a rule away: when it returns, no connection is sent by it any more. Where
// that fails, all rules are gone.
func (t *Table) Remove(r Rule) error {
	return t.change(func(rules []Rule) []Rule {
		i := slices.IndexFunc(rules, r.Is)
		if i < 0 {
			return rules
		}
		return slices.Delete(slices.Clone(rules), i, i+1)
	})
}

// Is says that a rule is the same as another.
func (r *Rule) Is(other Rule) bool {
	return r.Addr == other.Addr && r.Port == other.Port && r.Proto == other.Proto && r.To == other.To && slices.Equal(r.Apart, other.Apart)
}

// Close takes all rules away.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.drop()
}

// drop lets the kernel take the table away, with its owner's socket. The caller holds mu.
func (t *Table) drop() error {
	t.rules = nil
	if t.conn == nil {
		return nil
	}
	err := t.conn.CloseLasting()
	t.conn = nil
	return err
}

// change has the rules be others, in one transaction.
func (t *Table) change(to func([]Rule) []Rule) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := to(t.rules)
	if len(next) == 0 && t.conn == nil {
		return nil
	}
	err := t.open()
	if err == nil {
		err = t.exchange(elementsOf(t.rules), elementsOf(next))
	}
	if err != nil {
		return errors.Join(fmt.Errorf("cannot have the kernel send ports to containers: %w", err), t.drop())
	}
	t.rules = next
	return nil
}

// exchange puts elements in the place of others.
func (t *Table) exchange(was, is map[string]map[string]string) error {
	for _, s := range t.sets() {
		var gone, come []nftables.SetElement
		for key, value := range was[s.Name] {
			if next, ok := is[s.Name][key]; !ok || next != value {
				gone = append(gone, element(key, value))
			}
		}
		for key, value := range is[s.Name] {
			if before, ok := was[s.Name][key]; !ok || before != value {
				come = append(come, element(key, value))
			}
		}
		if len(gone) > 0 {
			if err := t.conn.SetDeleteElements(s, gone); err != nil {
				return err
			}
		}
		if len(come) > 0 {
			if err := t.conn.SetAddElements(s, come); err != nil {
				return err
			}
		}
	}
	return t.conn.Flush()
}

func element(key, value string) nftables.SetElement {
	e := nftables.SetElement{Key: []byte(key)}
	if value != "" {
		e.Val = []byte(value)
	}
	return e
}

// elementsOf are what rules want of each set: key -> value, which is empty in what is no map.
func elementsOf(rules []Rule) map[string]map[string]string {
	all := map[string]map[string]string{"apart": {}}
	for _, family := range []string{"4", "6"} {
		for _, set := range []string{"any", "bound", "targets"} {
			all[set+family] = map[string]string{}
		}
	}
	for _, r := range rules {
		family := "4"
		if r.To.Addr().Is6() {
			family = "6"
		}
		to := string(r.To.Addr().AsSlice()) + padded(r.To.Port())
		what := string([]byte{r.Proto, 0, 0, 0}) + padded(r.Port)
		if r.Addr.IsValid() && !r.Addr.IsUnspecified() {
			all["bound"+family][string(r.Addr.AsSlice())+what] = to
		} else {
			all["any"+family][what] = to
		}
		all["targets"+family][string(r.To.Addr().AsSlice())+string([]byte{r.Proto, 0, 0, 0})+padded(r.To.Port())] = ""
		for _, link := range r.Apart {
			name := make([]byte, unix.IFNAMSIZ)
			copy(name, link)
			all["apart"][string(name)+what] = ""
		}
	}
	return all
}

// padded is a port as a part of a key: in the order of the network, filled up to a register.
func padded(port uint16) string {
	return string(append(binary.BigEndian.AppendUint16(nil, port), 0, 0))
}

// ownerFlag is NFT_TABLE_F_OWNER: the table goes with the socket that made it (Linux 5.12).
const ownerFlag = 2

// open makes the table, unless it is there. The caller holds mu.
func (t *Table) open() error {
	if t.conn != nil {
		return nil
	}
	var socket *netlink.Conn
	conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
		socket = c
		return nil
	}))
	if err != nil {
		return fmt.Errorf("cannot open a socket of nftables: %w", err)
	}
	t.conn = conn
	if err := own(socket, t.table.Name); err != nil {
		return err
	}
	for _, s := range t.sets() {
		if err := conn.AddSet(s, nil); err != nil {
			return err
		}
	}
	t.addChains()
	return conn.Flush()
}

// own makes a table that belongs to the socket.
func own(socket *netlink.Conn, name string) error {
	table, err := netlink.MarshalAttributes([]netlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: []byte(name + "\x00")},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binary.BigEndian.AppendUint32(nil, ownerFlag)},
	})
	if err != nil {
		return err
	}
	message := func(kind, flags int, family byte, id uint16, data []byte) netlink.Message {
		return netlink.Message{
			Header: netlink.Header{Type: netlink.HeaderType(kind), Flags: netlink.Request | netlink.HeaderFlags(flags)},
			Data:   append([]byte{family, unix.NFNETLINK_V0, byte(id >> 8), byte(id)}, data...),
		}
	}
	_, err = socket.SendMessages([]netlink.Message{
		message(unix.NFNL_MSG_BATCH_BEGIN, 0, 0, unix.NFNL_SUBSYS_NFTABLES, nil),
		message(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE|unix.NLM_F_EXCL|unix.NLM_F_ACK, unix.NFPROTO_INET, 0, table),
		message(unix.NFNL_MSG_BATCH_END, 0, 0, unix.NFNL_SUBSYS_NFTABLES, nil),
	})
	if err == nil {
		_, err = socket.Receive() // what it answers, or why not
	}
	switch {
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EINVAL):
		return errors.New("this kernel has no tables that go with their owner (Linux 5.12)")
	case errors.Is(err, unix.EEXIST):
		return fmt.Errorf("table inet %s is there already: another process has made it", name)
	case err != nil:
		return fmt.Errorf("cannot make table inet %s: %w", name, err)
	}
	return nil
}

// sets are all of the table.
func (t *Table) sets() []*nftables.Set {
	proto, port := nftables.TypeInetProto, nftables.TypeInetService
	var list []*nftables.Set
	add := func(name string, isMap bool, value nftables.SetDatatype, key ...nftables.SetDatatype) {
		list = append(list, &nftables.Set{
			Table: t.table, ID: uint32(len(list) + 1), Name: name, IsMap: isMap, Concatenation: true,
			KeyType: nftables.MustConcatSetType(key...), DataType: value,
		})
	}
	for _, f := range families() {
		to := nftables.MustConcatSetType(f.address, port)
		add("any"+f.name, true, to, proto, port)
		add("bound"+f.name, true, to, f.address, proto, port)
		add("targets"+f.name, false, nftables.SetDatatype{}, f.address, proto, port)
	}
	add("apart", false, nftables.SetDatatype{}, nftables.TypeIFName, proto, port)
	return list
}

// Mark is what the first packet of a connection that a rule has sent to a container has
// for a mark while it is forwarded, by which the engine's table knows it.
const Mark = firewall.PublishedMark
