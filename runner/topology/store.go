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
	SetRange(name string, within netip.Prefix) error
	Reserve(owner string, fixed map[string][]netip.Addr)
	LeaveAlone(netns string)
}

// Store is the declared networks of an engine.
type Store struct {
	nets Networks
	docs Documents
	log  *slog.Logger
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
	// Containers is how many were to be on it when it was made.
	Containers int `json:"containers,omitempty"`
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
	return t.nets.CheckNetwork(ns)
}

// Ensure makes a network as it was applied and keeps its record.
func (t *Store) Ensure(ctx context.Context, name string, rec Record) (network.Network, error) {
	ns, err := specOf(name, rec)
	if err != nil {
		return network.Network{}, err
	}
	n, err := t.nets.EnsureNetwork(ctx, ns)
	if err != nil {
		return n, err
	}
	failpoint.Hit("topology/network-made")
	rec.Subnet = n.Subnet.String()
	t.save(name, rec)
	return n, nil
}

func specOf(name string, rec Record) (ns network.Spec, err error) {
	want := rec.Applied
	within, err := rangeOf(want)
	if err != nil {
		return ns, fmt.Errorf("networks.%s.ipam: %w", rec.Key, err)
	}
	ns = network.Spec{Name: name, Internal: want.Internal, Range: within, Containers: rec.Containers, Labels: map[string]string{"project": rec.Project, "key": rec.Key}}
	o := want.Options()
	ns.Bridge, ns.Options = o.Name, network.Options{
		MTU: o.MTU, InterfacePrefix: o.InterfacePrefix, Isolated: o.Isolated, NoMasquerade: o.NoMasquerade, NoAddress: o.NoAddress,
	}
	if o.HostBinding != "" {
		if ns.HostBinding, err = netip.ParseAddr(o.HostBinding); err != nil {
			return ns, fmt.Errorf("networks.%s.driver_opts: %q is not an IP address", rec.Key, o.HostBinding)
		}
	}
	if ns.Aux, err = auxOf(want); err != nil {
		return ns, fmt.Errorf("networks.%s.ipam: %w", rec.Key, err)
	}
	subnet, gateway := cmp.Or(want.Pool().Subnet, rec.Subnet), want.Pool().Gateway
	if subnet != "" {
		if ns.Subnet, err = netip.ParsePrefix(subnet); err != nil {
			return ns, fmt.Errorf("networks.%s.ipam: %q is not a subnet", rec.Key, subnet)
		}
	}
	if gateway != "" {
		if ns.Gateway, err = netip.ParseAddr(gateway); err != nil {
			return ns, fmt.Errorf("networks.%s.ipam: %q is not an IP address", rec.Key, gateway)
		}
	}
	return ns, nil
}

// auxOf are the addresses of a network that no container is to have.
func auxOf(n *spec.Network) (list []netip.Addr, err error) {
	aux := n.Pool().AuxAddresses
	for _, name := range slices.Sorted(maps.Keys(aux)) {
		addr, err := netip.ParseAddr(aux[name])
		if err != nil {
			return nil, fmt.Errorf("%q is not an IP address", aux[name])
		}
		list = append(list, addr)
	}
	return list, nil
}

// rangeOf is the part of its subnet that a network hands addresses out of; the
// zero Prefix is all.
func rangeOf(n *spec.Network) (netip.Prefix, error) {
	text := n.Pool().IPRange
	if text == "" {
		return netip.Prefix{}, nil
	}
	within, err := netip.ParsePrefix(text)
	if err != nil {
		return within, fmt.Errorf("ip_range %q is not an address range", text)
	}
	return within, nil
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
			within, err := rangeOf(rec.Applied)
			if err == nil {
				err = t.nets.SetRange(name, within)
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
	if err == nil || rec.Subnet == "" || rec.hasFixedRange() {
		return err
	}
	was := rec.Subnet
	rec.Subnet = ""
	n, again := t.Ensure(ctx, name, rec)
	if again != nil {
		return errors.Join(err, again)
	}
	t.log.Warn("the range of a network is taken: it has another now", "network", name, "was", was, "is", n.Subnet, "why", err)
	return nil
}

// hasFixedRange says that the stack file asks for a range.
func (rec *Record) hasFixedRange() bool {
	return rec.Applied.Pool().Subnet != ""
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
			out[n.Name] = planner.Network{Name: n.Name, Project: rec.Project, Key: rec.Key, Applied: rec.Applied, Subnet: n.Subnet.String()}
		}
	}
	return out, nil
}

// Info is a network as it is here.
type Info struct {
	Name, Project, Key       string
	Labels                   map[string]string
	Subnet, Gateway, IPRange string
	Internal                 bool
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
		info := Info{Name: name, Project: rec.Project, Key: rec.Key, Subnet: rec.Subnet}
		if rec.Applied != nil {
			info.Labels, info.Internal = rec.Applied.Labels, rec.Applied.Internal
			if within, _ := rangeOf(rec.Applied); within.IsValid() {
				info.IPRange = within.String()
			}
		}
		if n, ok := t.nets.Network(name); ok {
			info.Subnet, info.Gateway = n.Subnet.String(), n.Gateway.String()
		}
		list = append(list, info)
	}
	return list, nil
}
