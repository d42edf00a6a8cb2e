// Package topology is the networks as projects declare them, over those of package
// network: it keeps what each was made from, makes it again after a reboot, keeps
// fixed addresses free, and says where a container is on them and by which names.
// It knows neither containerd nor the processes of containers.
package topology

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/spec"
)

// Buckets of the documents.
const (
	bucketNetworks = "networks"
	bucketFixed    = "fixed-addresses" // project -> network -> addresses
)

// Documents keeps small documents across engines.
type Documents interface {
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
	Load(bucket string) (map[string][]byte, error)
}

// Networks are those that the machine has; *network.Manager has some.
type Networks interface {
	Network(name string) (network.Network, bool)
	Networks() []network.Network
	EnsureNetwork(ctx context.Context, spec network.Spec) (network.Network, error)
	CheckNetwork(spec network.Spec) error
	RemoveNetwork(ctx context.Context, name string) error
	SetRange(name string, within, within6 netip.Prefix) error
	Reserve(owner string, fixed map[string][]netip.Addr)
	LeaveAlone(netns string)
}

// Store is the declared networks of an engine.
type Store struct {
	nets Networks
	docs Documents
	log  *slog.Logger

	Version string // of the engine, which networks that it makes tell
}

// New is the networks that are on record.
func New(nets Networks, docs Documents, log *slog.Logger) *Store {
	return &Store{nets: nets, docs: docs, log: log}
}

// Restore makes the networks anew that a reboot took, and reserves the addresses
// that are on record as fixed.
func (t *Store) Restore(ctx context.Context) error {
	return errors.Join(t.restore(ctx), t.restoreFixed())
}

// Record is what is kept of a network besides what the network package
// keeps of it.
type Record struct {
	Project string        `json:"project"`
	Key     string        `json:"key"`
	Applied *spec.Network `json:"applied"`
	Subnet  string        `json:"subnet,omitempty"` // kept, so that it is the same after a reboot
	Subnet6 string        `json:"subnet6,omitempty"`
	// Containers is how many were to be on it when it was made.
	Containers int    `json:"containers,omitempty"`
	Version    string `json:"version,omitempty"` // of the engine that made it
}

// Keep takes over the ranges of the network whose place this one takes, of IPv4 if there
// is room. Those of a network outside are that one's.
func (rec *Record) Keep(old Record, hasRoom bool) {
	if old.Applied != nil && old.Applied.Outside() != rec.Applied.Outside() {
		return
	}
	if rec.Subnet6 = old.Subnet6; hasRoom {
		rec.Subnet = old.Subnet
	}
}

// Record is what is kept of a network; there is none of one that nobody here made.
func (t *Store) Record(name string) (rec Record, err error) {
	docs, err := t.docs.Load(bucketNetworks)
	if err != nil || docs[name] == nil {
		return rec, err
	}
	if err := json.Unmarshal(docs[name], &rec); err != nil {
		return rec, fmt.Errorf("cannot read the record of network %s: %w", name, err)
	}
	return rec, nil
}

// Check says whether a network could be made in the place of the one of that name.
func (t *Store) Check(name string, rec Record) error {
	ns, err := specOf(name, rec)
	if err != nil {
		return err
	}
	return blame(t.nets.CheckNetwork(ns), rec.Key)
}

// Ensure makes a network as it was applied and keeps its record.
func (t *Store) Ensure(ctx context.Context, name string, rec Record) (network.Network, error) {
	ns, err := specOf(name, rec)
	if err != nil {
		return network.Network{}, err
	}
	n, err := t.nets.EnsureNetwork(ctx, ns)
	if err != nil {
		return n, blame(err, rec.Key)
	}
	failpoint.Hit("topology/network-made")
	rec.Subnet, rec.Subnet6 = text(n.Subnet), text(n.Subnet6)
	if rec.Version == "" {
		rec.Version = t.Version
	}
	t.save(name, rec)
	return n, nil
}

// text is a subnet as it is kept; "" of none.
func text(p netip.Prefix) string {
	if !p.IsValid() {
		return ""
	}
	return p.String()
}

func specOf(name string, rec Record) (ns network.Spec, err error) {
	want := rec.Applied
	ns = network.Spec{
		Name: name, NoIPv4: !want.HasIPv4(), IPv6: want.HasIPv6(), Internal: want.Internal, Containers: rec.Containers,
		Labels: map[string]string{"project": rec.Project, "key": rec.Key},
	}
	o := want.Options()
	ns.Bridge, ns.Options = o.Name, network.Options{
		MTU: o.MTU, InterfacePrefix: o.InterfacePrefix, Isolated: o.Isolated, NoMasquerade: o.NoMasquerade, NoAddress: o.NoAddress, NoAddress6: o.NoAddress6,
		Driver: want.Outside(), Parent: o.Parent, Mode: o.Mode, Flag: o.Flag,
	}
	if o.HostBinding != "" {
		if ns.HostBinding, err = netip.ParseAddr(o.HostBinding); err != nil {
			return ns, fmt.Errorf("networks.%s.driver_opts: %q is not an IP address", rec.Key, o.HostBinding)
		}
	}
	if err := addressesOf(&ns, rec); err != nil {
		return ns, fmt.Errorf("networks.%s.ipam: %w", rec.Key, err)
	}
	return ns, nil
}

// addressesOf says which addresses a network is to have, of those families that it has.
func addressesOf(ns *network.Spec, rec Record) (err error) {
	if ns.Range, ns.Range6, err = rangesOf(rec.Applied); err != nil {
		return err
	}
	pool, pool6 := rec.Applied.Pool(), rec.Applied.Pool6()
	if !ns.NoIPv4 {
		if ns.Subnet, ns.Gateway, err = parsed(cmp.Or(pool.Subnet, rec.Subnet), pool.Gateway); err != nil {
			return err
		}
	}
	if ns.IPv6 {
		if ns.Subnet6, ns.Gateway6, err = parsed(cmp.Or(pool6.Subnet, rec.Subnet6), pool6.Gateway); err != nil {
			return err
		}
	}
	for _, aux := range []map[string]string{pool.AuxAddresses, pool6.AuxAddresses} {
		for _, name := range slices.Sorted(maps.Keys(aux)) {
			addr, err := netip.ParseAddr(aux[name])
			if err != nil {
				return fmt.Errorf("%q is not an IP address", aux[name])
			}
			ns.Aux = append(ns.Aux, addr)
		}
	}
	return nil
}

// parsed are a subnet and a gateway, as far as they are given.
func parsed(subnet, gateway string) (p netip.Prefix, addr netip.Addr, err error) {
	if subnet != "" {
		if p, err = netip.ParsePrefix(subnet); err != nil {
			return p, addr, fmt.Errorf("%q is not a subnet", subnet)
		}
	}
	if gateway != "" {
		if addr, err = netip.ParseAddr(gateway); err != nil {
			return p, addr, fmt.Errorf("%q is not an IP address", gateway)
		}
	}
	return p, addr, nil
}

// rangesOf are the parts of its subnets that a network hands addresses out of; the
// zero Prefix is all.
func rangesOf(n *spec.Network) (within, within6 netip.Prefix, err error) {
	for text, out := range map[string]*netip.Prefix{n.Pool().IPRange: &within, n.Pool6().IPRange: &within6} {
		if text == "" {
			continue
		}
		if *out, err = netip.ParsePrefix(text); err != nil {
			return within, within6, fmt.Errorf("ip_range %q is not an address range", text)
		}
	}
	return within, within6, nil
}

// Relabel notes the labels that a network has now. All else is as it was
// made.
func (t *Store) Relabel(name string, want *spec.Network) error {
	rec, err := t.Record(name)
	if err != nil {
		return err
	}
	if rec.Project == "" && rec.Applied == nil {
		return fmt.Errorf("network %s is not on record", name)
	}
	if rec.Applied == nil {
		rec.Applied = &spec.Network{Name: name}
	}
	rec.Applied.Labels = want.Labels
	t.save(name, rec)
	return nil
}

func (t *Store) save(name string, rec Record) {
	if b, err := json.Marshal(rec); err == nil {
		t.docs.Save(bucketNetworks, name, b)
	}
}

// restore makes the networks anew that a reboot took.
func (t *Store) restore(ctx context.Context) error {
	docs, err := t.docs.Load(bucketNetworks)
	if err != nil {
		return err
	}
	for name, doc := range docs {
		var rec Record
		if err := json.Unmarshal(doc, &rec); err != nil || rec.Applied == nil {
			t.docs.Delete(bucketNetworks, name)
			continue
		}
		if _, ok := t.nets.Network(name); ok {
			within, within6, err := rangesOf(rec.Applied)
			if err == nil {
				err = t.nets.SetRange(name, within, within6)
			}
			if err != nil {
				t.log.Warn("cannot bound the addresses of a network", "network", name, "error", err)
			}
			continue
		}
		if err := t.remake(ctx, name, rec); err != nil {
			t.log.Warn("cannot make a network again", "network", name, "error", err)
		}
	}
	return nil
}

// Remake makes a network that is on record anew, if it is not there: a reboot
// took it, and it could not be made again by then.
func (t *Store) Remake(ctx context.Context, name string) error {
	if _, ok := t.nets.Network(name); ok {
		return nil
	}
	rec, err := t.Record(name)
	if err != nil || rec.Applied == nil {
		return err
	}
	return t.remake(ctx, name, rec)
}

// remake makes a network as it was. Another range does as well where the stack
// file asks for none and somebody has taken the one that it had.
func (t *Store) remake(ctx context.Context, name string, rec Record) error {
	_, err := t.Ensure(ctx, name, rec)
	if err == nil {
		return nil
	}
	var again error
	for _, other := range rec.freed() {
		n, failed := t.Ensure(ctx, name, other)
		if failed == nil {
			t.log.Warn("the range of a network is taken: it has another now", "network", name, "was", strings.TrimSpace(rec.Subnet+" "+rec.Subnet6), "is", n.Subnets(), "why", err)
			return nil
		}
		again = failed
	}
	return errors.Join(err, again)
}

// freed are records of the network with other ranges, as few as may be: the stack file
// asks for none of those that it had.
func (rec *Record) freed() (list []Record) {
	is4 := rec.Subnet != "" && rec.Applied.Pool().Subnet == ""
	is6 := rec.Subnet6 != "" && rec.Applied.Pool6().Subnet == ""
	if is6 {
		other := *rec
		other.Subnet6 = ""
		list = append(list, other)
	}
	if is4 {
		other := *rec
		other.Subnet = ""
		list = append(list, other)
	}
	if is4 && is6 {
		other := *rec
		other.Subnet, other.Subnet6 = "", ""
		list = append(list, other)
	}
	return list
}

// Remove removes a network that nothing is attached to.
func (t *Store) Remove(ctx context.Context, name string) error {
	if err := t.nets.RemoveNetwork(ctx, name); err != nil {
		return err
	}
	failpoint.Hit("topology/network-removed")
	t.docs.Delete(bucketNetworks, name)
	return nil
}

// Observe lists the networks of a project, and those named in want.
func (t *Store) Observe(project string, want map[string]bool) (map[string]planner.Network, error) {
	docs, err := t.docs.Load(bucketNetworks)
	if err != nil {
		return nil, err
	}
	out := map[string]planner.Network{}
	for _, n := range t.nets.Networks() {
		var rec Record
		if json.Unmarshal(docs[n.Name], &rec) != nil {
			rec = Record{Project: n.Labels["project"], Key: n.Labels["key"]}
		}
		if rec.Project == project || want[n.Name] {
			out[n.Name] = planner.Network{Name: n.Name, Project: rec.Project, Key: rec.Key, Applied: rec.Applied, Subnet: text(n.Subnet)}
		}
	}
	return out, nil
}

// Info is a network as it is here.
type Info struct {
	Name, Project, Key          string
	Labels                      map[string]string
	Subnet, Gateway, IPRange    string // of IPv4; "" where there is none
	Subnet6, Gateway6, IPRange6 string // of IPv6
	Internal                    bool
	Driver                      string // "" is a bridge
	Version                     string // of the engine that made it
}

// List gives the networks, by name.
func (t *Store) List() ([]Info, error) {
	docs, err := t.docs.Load(bucketNetworks)
	if err != nil {
		return nil, err
	}
	var list []Info
	for _, name := range slices.Sorted(maps.Keys(docs)) {
		var rec Record
		if err := json.Unmarshal(docs[name], &rec); err != nil {
			return nil, fmt.Errorf("cannot read the record of network %s: %w", name, err)
		}
		info := Info{Name: name, Project: rec.Project, Key: rec.Key, Subnet: rec.Subnet, Subnet6: rec.Subnet6, Version: rec.Version}
		if rec.Applied != nil {
			info.Labels, info.Internal, info.Driver = rec.Applied.Labels, rec.Applied.Internal, rec.Applied.Outside()
			within, within6, _ := rangesOf(rec.Applied)
			info.IPRange, info.IPRange6 = text(within), text(within6)
		}
		if n, ok := t.nets.Network(name); ok {
			if info.Subnet = text(n.Subnet); n.Subnet.IsValid() {
				info.Gateway = n.Gateway.String()
			}
			if info.Subnet6 = text(n.Subnet6); n.Subnet6.IsValid() {
				info.Gateway6 = n.Gateway6.String()
			}
		}
		list = append(list, info)
	}
	return list, nil
}
