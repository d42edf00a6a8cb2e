package firewall

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
)

// Containers need the host to forward (net.ipv4.ip_forward). Where it does not
// yet, the first network of the first engine switches it on and the last one
// of the last engine switches it off again. That we did it, and for which
// bridges, is remembered in a table that all engines share; it lives in the
// kernel, so that a reboot forgets both together. Its chain drops what is
// forwarded neither from nor to a bridge of ours: a machine that was no router
// does not become one. IPv6 has the same once more, for networks that have it.
const (
	forwardTable   = "orlop_forward"
	forwardSwitch  = "/proc/sys/net/ipv4/ip_forward"
	forwardSwitch6 = "/proc/sys/net/ipv6/conf/all/forwarding"
)

// forwarding is the shared table. Every method is called under the host's lock.
type forwarding struct {
	path  string // of the kernel's switch
	table *nftables.Table
	set   *nftables.Set
	mine  map[string]bool // bridges that we have put into the set
	// advertised holds the links that went on listening to their routers because of
	// us; nil where a router may be one's client too, as with IPv4.
	advertised *nftables.Set
	listening  []string // what is in it
}

func newForwarding() *forwarding { return forwardingOf(forwardSwitch, nftables.TableFamilyINet) }

func newForwarding6() *forwarding {
	f := forwardingOf(forwardSwitch6, nftables.TableFamilyIPv6)
	f.advertised = &nftables.Set{Table: f.table, ID: 2, Name: "advertised", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian}
	return f
}

func forwardingOf(path string, family nftables.TableFamily) *forwarding {
	t := &nftables.Table{Name: forwardTable, Family: family}
	return &forwarding{path: path, table: t, mine: map[string]bool{}, set: &nftables.Set{
		Table: t, ID: 1, Name: "bridges", KeyType: nftables.TypeIFName, KeyByteOrder: binaryutil.NativeEndian,
	}}
}

// on makes sure that the host forwards for a bridge.
func (f *forwarding) on(bridge string) error {
	value, err := os.ReadFile(f.path)
	if err != nil {
		return fmt.Errorf("cannot tell whether this machine forwards: %w", err)
	}
	off := bytes.Equal(bytes.TrimSpace(value), []byte("0"))
	ours, err := f.bridges()
	if err != nil {
		return err
	}
	if ours == nil && !off {
		return nil // the host's own decision: none of our business
	}
	if err := f.note(ours == nil, bridge); err != nil {
		return err
	}
	f.mine[bridge] = true
	if !off {
		return f.recall()
	}
	if err := f.listenToRouters(); err != nil {
		return err
	}
	if err := os.WriteFile(f.path, []byte("1"), 0); err != nil {
		return fmt.Errorf("cannot switch forwarding on (sysctl %s=1): %w", f.sysctl(), err)
	}
	return nil
}

func (f *forwarding) sysctl() string {
	return strings.ReplaceAll(strings.TrimPrefix(f.path, "/proc/sys/"), "/", ".")
}

// note puts bridges into the table, which is made for the first.
func (f *forwarding) note(first bool, bridges ...string) error {
	var c nftables.Conn
	if first {
		if err := f.create(&c); err != nil {
			return err
		}
	}
	var elements []nftables.SetElement
	for _, b := range bridges {
		elements = append(elements, nftables.SetElement{Key: ifname(b)})
	}
	if err := c.SetAddElements(f.set, elements); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("cannot remember for whom this machine forwards: %w", err)
	}
	return nil
}

// Values of accept_ra: a router listens to other routers only where it is told to.
const acceptAsHost, acceptAsRouter = "1", "2"

func acceptPath(link string) string { return "/proc/sys/net/ipv6/conf/" + link + "/accept_ra" }

// listenToRouters lets links go on that have their addresses and routes from routers:
// without it the kernel takes the default routes away that it has from them as soon as
// it forwards.
func (f *forwarding) listenToRouters() error {
	if f.advertised == nil {
		return nil
	}
	entries, err := os.ReadDir("/proc/sys/net/ipv6/conf")
	if err != nil {
		return fmt.Errorf("cannot list the links that have IPv6: %w", err)
	}
	var links []string
	for _, e := range entries {
		link := e.Name()
		value, err := os.ReadFile(acceptPath(link))
		if link == "all" || link == "default" || link == "lo" || err != nil || strings.TrimSpace(string(value)) != acceptAsHost {
			continue
		}
		links = append(links, link)
	}
	f.listening = links
	if err := f.noteListening(); err != nil { // before it is so: what is not on record is never undone
		return err
	}
	for _, link := range links {
		if err := os.WriteFile(acceptPath(link), []byte(acceptAsRouter), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("cannot let %s go on listening to its routers: %w", link, err)
		}
	}
	return nil
}

// noteListening puts the links that listen to their routers into the table.
func (f *forwarding) noteListening() error {
	if len(f.listening) == 0 {
		return nil
	}
	var elements []nftables.SetElement
	for _, link := range f.listening {
		elements = append(elements, nftables.SetElement{Key: ifname(link)})
	}
	var c nftables.Conn
	if err := c.SetAddElements(f.advertised, elements); err != nil {
		return err
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("cannot remember which links listen to their routers: %w", err)
	}
	return nil
}

// recall reads which links listen because of an earlier engine, or another.
func (f *forwarding) recall() (err error) {
	if f.advertised != nil {
		f.listening, err = namesIn(f.advertised)
	}
	return err
}

// listenAsBefore undoes listenToRouters, once nothing is forwarded any more.
func (f *forwarding) listenAsBefore() error {
	if f.advertised == nil {
		return nil
	}
	links, err := namesIn(f.advertised)
	f.listening = nil
	for _, link := range links {
		value, gone := os.ReadFile(acceptPath(link))
		if gone != nil || strings.TrimSpace(string(value)) != acceptAsRouter {
			continue // it is gone, or somebody else has set it
		}
		if failed := os.WriteFile(acceptPath(link), []byte(acceptAsHost), 0); failed != nil && !errors.Is(failed, os.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("cannot set accept_ra of %s as it was: %w", link, failed))
		}
	}
	return err
}

// verify makes the table again if somebody flushed it: without it nobody would
// switch forwarding off again.
func (f *forwarding) verify() error {
	if len(f.mine) == 0 {
		return nil
	}
	ours, err := f.bridges()
	if err != nil || ours != nil {
		return err
	}
	if err := f.note(true, slices.Sorted(maps.Keys(f.mine))...); err != nil {
		return err
	}
	return f.noteListening()
}

// off tells that a bridge needs no forwarding any more.
func (f *forwarding) off(bridge string) error {
	delete(f.mine, bridge)
	ours, err := f.bridges()
	if err != nil || ours == nil {
		return err
	}
	var left int
	var gone []nftables.SetElement
	for _, name := range ours {
		// A bridge that vanished without a word (its engine's host was
		// cleaned by hand) must not keep forwarding on for ever.
		if name == bridge || !linkExists(name) {
			gone = append(gone, nftables.SetElement{Key: ifname(name)})
		} else {
			left++
		}
	}
	var c nftables.Conn
	if left > 0 {
		if len(gone) == 0 {
			return nil
		}
		if err := c.SetDeleteElements(f.set, gone); err != nil {
			return err
		}
		return c.Flush()
	}
	if err := os.WriteFile(f.path, []byte("0"), 0); err != nil {
		return fmt.Errorf("cannot switch forwarding off again: %w", err)
	}
	if err := f.listenAsBefore(); err != nil {
		return err
	}
	c.DelTable(f.table)
	return c.Flush()
}

// forget ends the forwarding for bridges of an engine that has them no more, as
// when its state directory was lost.
func (f *forwarding) forget(isOurs func(link string) bool, have map[string]Network) error {
	ours, err := f.bridges()
	if err != nil {
		return err
	}
	for _, name := range ours {
		_, ok := have[name]
		if !ok && isOurs(name) {
			if err := f.off(name); err != nil {
				return err
			}
		}
	}
	return nil
}

// bridges lists the bridges that forwarding was switched on for; nil when it
// was not us who did.
func (f *forwarding) bridges() ([]string, error) {
	var c nftables.Conn
	tables, err := c.ListTablesOfFamily(f.table.Family)
	if err != nil {
		return nil, fmt.Errorf("cannot list the tables of nftables: %w", err)
	}
	if !slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == forwardTable }) {
		return nil, nil
	}
	return namesIn(f.set)
}

// namesIn are the names of links in a set.
func namesIn(set *nftables.Set) ([]string, error) {
	var c nftables.Conn
	elements, err := c.GetSetElements(set)
	if err != nil {
		return nil, fmt.Errorf("cannot tell for whom this machine forwards: %w", err)
	}
	names := []string{}
	for _, e := range elements {
		names = append(names, strings.TrimRight(string(e.Key), "\x00"))
	}
	return names, nil
}

func (f *forwarding) create(c *nftables.Conn) error {
	c.AddTable(f.table)
	if err := c.AddSet(f.set, nil); err != nil {
		return err
	}
	if f.advertised != nil {
		if err := c.AddSet(f.advertised, nil); err != nil {
			return err
		}
	}
	chain := c.AddChain(&nftables.Chain{
		Name: "forward", Table: f.table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter,
	})
	for _, e := range [][]expr.Any{
		append(inSet(expr.MetaKeyIIFNAME, f.set), verdict(expr.VerdictAccept)),
		append(inSet(expr.MetaKeyOIFNAME, f.set), verdict(expr.VerdictAccept)),
		{&expr.Counter{}, verdict(expr.VerdictDrop)},
	} {
		c.AddRule(&nftables.Rule{Table: f.table, Chain: chain, Exprs: e})
	}
	return nil
}

func linkExists(name string) bool {
	_, err := os.Stat("/proc/sys/net/ipv4/conf/" + name)
	return err == nil
}
