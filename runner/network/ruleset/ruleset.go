// Package ruleset tells whether a packet that is forwarded through this machine, or leaves
// it, has the fate that it would have if it were for the machine itself: whether nothing of the host's
// own firewall, of its rules of routing and of its switches makes a difference. Where it
// can't tell, it does not. It reads, and hears of changes; it changes nothing.
package ruleset

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// Obstacles say, for each family, why what is forwarded may fare otherwise than what is for
// the machine, or its answer otherwise than the machine's; "" if they do not.
type Obstacles struct{ IPv4, IPv6 string }

// Host is the machine's rules; the fields tell what of them is the engine's own.
type Host struct {
	// Table says that a table bears on containers only, and lets what is published through.
	Table func(name string) bool
	// Opens says, by its user data, that a rule accepts what is published.
	Opens func(userdata []byte) bool
}

// Read looks at the rules as they are.
func (h Host) Read() (Obstacles, error) {
	all, err := readTables()
	for range mostReads {
		if !errors.Is(err, nl.ErrDumpInterrupted) { // something was changed meanwhile
			break
		}
		all, err = readTables()
	}
	if err != nil {
		return Obstacles{}, fmt.Errorf("the host's firewall can't be read: %w", err)
	}
	links4, err := forwarding("ipv4")
	links6, err6 := forwarding("ipv6")
	if err := errors.Join(err, err6); err != nil {
		return Obstacles{}, fmt.Errorf("it can't be told whether the host forwards: %w", err)
	}
	return Obstacles{
		IPv4: firstOf(all.obstacle(unix.NFPROTO_IPV4, h), legacy("ip"), routing(netlink.FAMILY_V4), links4),
		IPv6: firstOf(all.obstacle(unix.NFPROTO_IPV6, h), legacy("ip6"), routing(netlink.FAMILY_V6), sourced(), links6),
	}, nil
}

// mostReads is how often it is read again while others change it.
const mostReads = 20

func firstOf(all ...string) string {
	i := slices.IndexFunc(all, func(why string) bool { return why != "" })
	if i < 0 {
		return ""
	}
	return all[i]
}

// legacy says that rules of the old iptables filter, which nftables does not show.
func legacy(words string) string {
	for _, table := range legacyTables(words) {
		if table == "filter" || table == "mangle" || table == "security" || table == unread {
			return fmt.Sprintf("the host's firewall has the table %s of %stables-legacy, whose rules can't be read", table, words)
		}
	}
	return ""
}

func legacyTables(words string) []string {
	names, err := os.ReadFile("/proc/net/" + words + "_tables_names")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil // this kernel has none
	case err != nil:
		return []string{unread}
	}
	return strings.Fields(string(names))
}

// unread stands for tables whose names can't be read.
const unread = "unknown"

// sourced says that the machine's own answers have a way of IPv6 that goes by their source, which is the
// container's where they are forwarded.
func sourced() string {
	text, err := os.ReadFile("/proc/net/ipv6_route")
	if errors.Is(err, fs.ErrNotExist) {
		return "" // no IPv6
	}
	if err != nil {
		return fmt.Sprintf("the host's routes of IPv6 can't be read: %v", err)
	}
	for line := range strings.Lines(string(text)) {
		// Destination and its length, source and its length, ...
		if fields := strings.Fields(line); len(fields) > 3 && fields[3] != "00" {
			return "the host has routes of IPv6 that go by the sender's address (ip -6 route, from)"
		}
	}
	return ""
}

// routing says that answers may take another way when they are forwarded: rules go by who
// sends them, which is the container then.
func routing(family int) string {
	rules, err := netlink.RuleList(family)
	if err != nil {
		return fmt.Sprintf("the host's rules of routing can't be read: %v", err)
	}
	for _, r := range rules {
		if r.Table != unix.RT_TABLE_LOCAL && r.Table != unix.RT_TABLE_MAIN && r.Table != unix.RT_TABLE_DEFAULT {
			return fmt.Sprintf("the host routes by rules of its own (ip rule, priority %d)", r.Priority)
		}
	}
	return ""
}

// forwarding says that a link does not take part in forwarding, or none does.
func forwarding(family string) (string, error) {
	links, err := forwards(family)
	if err != nil {
		return "", err
	}
	if !links[allLinks] {
		return "the host does not forward (net." + family + ".conf.all.forwarding)", nil
	}
	for _, index := range slices.Sorted(maps.Keys(links)) {
		if links[index] || index == newLinks {
			continue
		}
		link, err := net.InterfaceByIndex(int(index))
		if err == nil && link.Flags&net.FlagLoopback == 0 {
			return "the host does not forward by " + link.Name + " (net." + family + ".conf." + link.Name + ".forwarding)", nil
		}
	}
	return "", nil
}

// linux/netconf.h.
const (
	allLinks, newLinks   = ^uint32(0), ^uint32(1) // NETCONFA_IFINDEX_ALL and _DEFAULT
	ofLink, ofForwarding = 1, 2                   // NETCONFA_IFINDEX and _FORWARDING
	netconfmsg           = 4
)

// forwards says by number which links forward: in one answer, where a file of each would be read.
func forwards(family string) (map[uint32]bool, error) {
	request := nl.NewNetlinkRequest(unix.RTM_GETNETCONF, unix.NLM_F_DUMP)
	number := byte(unix.AF_INET)
	if family == "ipv6" {
		number = unix.AF_INET6
	}
	request.AddRawData([]byte{number, 0, 0, 0})
	messages, err := request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNETCONF)
	for range mostReads {
		if !errors.Is(err, nl.ErrDumpInterrupted) { // a link came or went meanwhile
			break
		}
		messages, err = request.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWNETCONF)
	}
	// Where links come and go all the time, what was read is right of those that stay, and of a change the kernel tells.
	if err != nil && !errors.Is(err, nl.ErrDumpInterrupted) {
		return nil, err
	}
	links := make(map[uint32]bool, len(messages))
	for _, m := range messages {
		if index, does, ok := netconf(m); ok {
			links[index] = does
		}
	}
	return links, nil
}

// netconf is what a message says of the forwarding of a link.
func netconf(m []byte) (index uint32, forwards, ok bool) {
	if len(m) < netconfmsg {
		return 0, false, false
	}
	of := attributes(m[netconfmsg:])
	link, value := of[ofLink], of[ofForwarding]
	if len(value) < 4 || len(link) < 4 {
		return 0, false, false
	}
	return binary.NativeEndian.Uint32(link), binary.NativeEndian.Uint32(value) != 0, true
}

// accepts is NF_ACCEPT.
const accepts = 1

// translation is the priority at which what is for the machine becomes what is forwarded.
const translation = -99

// sees says what packets a chain sees that fare otherwise by it when they are forwarded;
// "" if there are none. What comes before the translation is the same to it; of chains that
// translate addresses, those before it have had their turn, and one more finds it done.
func (c *chain) sees() string {
	switch c.hook {
	case unix.NF_INET_PRE_ROUTING:
		if c.priority >= translation {
			return "arrives"
		}
	case unix.NF_INET_LOCAL_IN:
		return "comes in"
	case unix.NF_INET_FORWARD:
		return "is forwarded"
	case unix.NF_INET_LOCAL_OUT: // answers, too
		if !c.translates || c.priority >= translation {
			return "goes out"
		}
	case unix.NF_INET_POST_ROUTING:
		if !c.translates {
			return "leaves"
		}
	}
	return ""
}

// tables are the chains of nftables with their rules.
type tables struct {
	chains []*chain
}

type chain struct {
	family      byte
	table, name string
	hook        int // -1: it is called by others
	priority    int32
	drops       bool
	translates  bool // of type nat
	rules       []rule
}

type rule struct {
	exprs    []expression
	userdata []byte
}

type expression struct {
	name  string
	attrs map[uint16][]byte
}

func (c *chain) String() string {
	family := map[byte]string{unix.NFPROTO_INET: "inet", unix.NFPROTO_IPV4: "ip", unix.NFPROTO_IPV6: "ip6"}[c.family]
	return family + " " + c.table + " " + c.name
}

// obstacle names the first chain that may keep a packet of a family from going on.
func (t *tables) obstacle(family byte, h Host) string {
	for _, c := range t.chains {
		what := c.sees()
		if what == "" || c.family != family && c.family != unix.NFPROTO_INET || h.Table(c.table) {
			continue
		}
		passes, isOpened := t.passes(c, h, 0)
		switch {
		case isOpened:
		case !passes:
			return fmt.Sprintf("the host's firewall filters what %s (chain %s)", what, c)
		case c.drops:
			return fmt.Sprintf("the host's firewall drops what %s (policy of chain %s)", what, c)
		}
	}
	return ""
}

// mostJumps is how deep chains may call each other in the kernel.
const mostJumps = 16

// passes says that no rule of a chain, or of one that it calls, stops or changes a packet;
// isOpened that one of ours accepts it before any could.
func (t *tables) passes(c *chain, h Host, depth int) (passes, isOpened bool) {
	if depth > mostJumps {
		return false, false
	}
	for _, r := range c.rules {
		if c.hook >= 0 && h.Opens(r.userdata) {
			return true, true
		}
		for _, e := range r.exprs {
			to, isHarmless := e.isHarmless()
			if !isHarmless {
				return false, false
			}
			if to == "" {
				continue
			}
			i := slices.IndexFunc(t.chains, func(other *chain) bool {
				return other.family == c.family && other.table == c.table && other.name == to
			})
			if i < 0 {
				return false, false
			}
			if passes, _ := t.passes(t.chains[i], h, depth+1); !passes {
				return false, false
			}
		}
	}
	return true, false
}

// Attributes of expressions that tell what they do.
const (
	metaSource    = unix.NFTA_META_SREG
	ctSource      = unix.NFTA_CT_SREG
	lookupTo      = unix.NFTA_LOOKUP_DREG
	immediateData = unix.NFTA_IMMEDIATE_DATA
	payloadFrom   = unix.NFTA_PAYLOAD_SREG
)

// isHarmless says that an expression only looks, counts or accepts; to is the chain that
// it calls, if any. What is not known here is not harmless.
func (e *expression) isHarmless() (to string, isHarmless bool) {
	has := func(attr uint16) bool { _, ok := e.attrs[attr]; return ok }
	switch e.name {
	case "cmp", "bitwise", "byteorder", "range", "counter", "log", "fib", "match", "rt", "socket", "osf", "last", "hash", "numgen", "limit", "quota", "connlimit":
		return "", true
	case "meta":
		return "", !has(metaSource)
	case "ct":
		return "", !has(ctSource)
	case "payload":
		return "", !has(payloadFrom)
	case "lookup":
		return "", !has(lookupTo) // else it may be a verdict
	case "immediate":
		verdict, isVerdict := attributes(e.attrs[immediateData])[unix.NFTA_DATA_VERDICT]
		if !isVerdict {
			return "", true
		}
		of := attributes(verdict)
		if len(of[unix.NFTA_VERDICT_CODE]) < 4 {
			return "", false
		}
		switch int32(binary.BigEndian.Uint32(of[unix.NFTA_VERDICT_CODE])) {
		case accepts, unix.NFT_CONTINUE, unix.NFT_BREAK, unix.NFT_RETURN:
			return "", true
		case unix.NFT_JUMP, unix.NFT_GOTO:
			return text(of[unix.NFTA_VERDICT_CHAIN]), true
		}
	}
	return "", false
}

// readTables asks the kernel for all chains and rules.
func readTables() (*tables, error) {
	t := &tables{}
	answers, err := dump(unix.NFT_MSG_GETCHAIN)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		attrs := attributes(a[nfgenmsg:])
		c := &chain{family: a[0], table: text(attrs[unix.NFTA_CHAIN_TABLE]), name: text(attrs[unix.NFTA_CHAIN_NAME]), hook: -1}
		c.translates = text(attrs[unix.NFTA_CHAIN_TYPE]) == "nat"
		if hook, ok := attrs[unix.NFTA_CHAIN_HOOK]; ok {
			if n := attributes(hook)[unix.NFTA_HOOK_HOOKNUM]; len(n) == 4 {
				c.hook = int(binary.BigEndian.Uint32(n))
			}
			if n := attributes(hook)[unix.NFTA_HOOK_PRIORITY]; len(n) == 4 {
				c.priority = int32(binary.BigEndian.Uint32(n))
			}
		}
		if policy := attrs[unix.NFTA_CHAIN_POLICY]; len(policy) == 4 {
			c.drops = binary.BigEndian.Uint32(policy) != accepts
		}
		t.chains = append(t.chains, c)
	}
	if answers, err = dump(unix.NFT_MSG_GETRULE); err != nil {
		return nil, err
	}
	for _, a := range answers {
		attrs := attributes(a[nfgenmsg:])
		i := slices.IndexFunc(t.chains, func(c *chain) bool {
			return c.family == a[0] && c.table == text(attrs[unix.NFTA_RULE_TABLE]) && c.name == text(attrs[unix.NFTA_RULE_CHAIN])
		})
		if i < 0 {
			continue // of a chain that is younger: its change is told
		}
		t.chains[i].rules = append(t.chains[i].rules, rule{expressions(attrs[unix.NFTA_RULE_EXPRESSIONS]), attrs[unix.NFTA_RULE_USERDATA]})
	}
	return t, nil
}

// nfgenmsg is how many bytes precede the attributes of a message.
const nfgenmsg = 4

// dump asks for all things of a kind, of all families.
func dump(kind int) ([][]byte, error) {
	req := nl.NewNetlinkRequest(unix.NFNL_SUBSYS_NFTABLES<<8|kind, unix.NLM_F_DUMP)
	req.AddRawData([]byte{unix.NFPROTO_UNSPEC, unix.NFNETLINK_V0, 0, 0})
	answers, err := req.Execute(unix.NETLINK_NETFILTER, 0)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(answers, func(a []byte) bool { return len(a) < nfgenmsg }), nil
}

func expressions(list []byte) (all []expression) {
	each(list, func(_ uint16, element []byte) {
		of := attributes(element)
		all = append(all, expression{text(of[unix.NFTA_EXPR_NAME]), attributes(of[unix.NFTA_EXPR_DATA])})
	})
	return all
}

func attributes(b []byte) map[uint16][]byte {
	of := map[uint16][]byte{}
	each(b, func(kind uint16, value []byte) { of[kind] = value })
	return of
}

// each goes through attributes of netlink.
func each(b []byte, use func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofNlAttr {
		size := int(binary.NativeEndian.Uint16(b))
		if size < unix.SizeofNlAttr || size > len(b) {
			return
		}
		use(binary.NativeEndian.Uint16(b[2:])&nl.NLA_TYPE_MASK, b[unix.SizeofNlAttr:size])
		b = b[min(len(b), (size+3)&^3):]
	}
}

func text(b []byte) string { return strings.TrimRight(string(b), "\x00") }
