package runner

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/spec"
)

// createNetwork makes a network, or makes one anew whose settings changed: the
// project's containers are replaced by later steps of the plan, and those of
// others attached again, or here where the plan does not know of them.
func (r *Runner) createNetwork(ctx context.Context, o *Order, s *planner.Step) (planner.Result, error) {
	if _, ok := r.nets.Network(s.Name); ok {
		if err := r.dropNetwork(ctx, o, s.Name); err != nil {
			return planner.Result{}, err
		}
	}
	n, err := r.ensureNetwork(ctx, s.Name, networkRecord{Project: o.Project, Key: s.Resource, Applied: s.Network})
	if err != nil {
		return planner.Result{}, err
	}
	for _, id := range r.nets.Detached(s.Name) {
		planned := slices.ContainsFunc(o.Plan.Steps, func(s *planner.Step) bool { return s.Action == planner.AttachNetwork && s.Container == id })
		if !planned {
			if err := r.attachNetwork(ctx, s.Name, id); err != nil {
				r.log.Warn("cannot bring a container back to its network", "container", id, "network", s.Name, "error", err)
			}
		}
	}
	return planner.Result{Text: n.Subnet.String()}, nil
}

// attachNetwork brings a container that runs back to a network that was made anew.
func (r *Runner) attachNetwork(ctx context.Context, network, id string) error {
	c := r.lookup(id)
	if c == nil {
		return nil // it was removed meanwhile
	}
	if err := c.op.Lock(ctx); err != nil {
		return err
	}
	defer c.op.Unlock()
	moved, err := r.nets.Attach(ctx, c.id, network)
	if err != nil || !moved {
		return err
	}
	state, ok := r.nets.Sandbox(c.id)
	if !ok {
		return fmt.Errorf("internal error: the network of %s is gone", c.name)
	}
	fresh := c.snapshot()
	names := addressesOf(&fresh, state)
	if _, err := r.etcMounts(&fresh, names); err != nil {
		return err
	}
	c.apply(connected{addresses: fresh.Addresses})
	c.route()
	return nil
}

// dropNetwork removes a network that is to be made anew. The project's own
// containers are stopped: nothing could reach them, and the plan replaces them.
// Those of others run on, and are detached.
func (r *Runner) dropNetwork(ctx context.Context, o *Order, name string) error {
	for _, p := range r.Containers("") {
		c := r.lookup(p.ID)
		if c == nil || p.Applied == nil || !slices.Contains(slices.Collect(maps.Values(p.Applied.Networks)), name) {
			continue
		}
		if err := c.op.Lock(ctx); err != nil {
			return err
		}
		var err error
		if c.project == o.Project {
			err = r.stopAndDisconnect(ctx, c, o.Grace)
		} else {
			err = r.nets.Detach(ctx, c.id, name)
		}
		c.op.Unlock()
		if err != nil {
			return err
		}
	}
	return r.removeNetwork(ctx, name)
}

// ensureNetwork makes a network as it was applied and keeps its record.
func (r *Runner) ensureNetwork(ctx context.Context, name string, rec networkRecord) (network.Network, error) {
	want := rec.Applied
	within, err := rangeOf(want)
	if err != nil {
		return network.Network{}, fmt.Errorf("networks.%s.ipam: %w", rec.Key, err)
	}
	ns := network.Spec{Name: name, Internal: want.Internal, Range: within, Labels: map[string]string{"project": rec.Project, "key": rec.Key}}
	subnet, gateway := rec.Subnet, ""
	if want.IPAM != nil && len(want.IPAM.Config) > 0 {
		subnet, gateway = want.IPAM.Config[0].Subnet, want.IPAM.Config[0].Gateway
	}
	if subnet != "" {
		if ns.Subnet, err = netip.ParsePrefix(subnet); err != nil {
			return network.Network{}, fmt.Errorf("networks.%s.ipam: %q is no subnet", rec.Key, subnet)
		}
	}
	if gateway != "" {
		if ns.Gateway, err = netip.ParseAddr(gateway); err != nil {
			return network.Network{}, fmt.Errorf("networks.%s.ipam: %q is no address", rec.Key, gateway)
		}
	}
	n, err := r.nets.EnsureNetwork(ctx, ns)
	if err != nil {
		return n, err
	}
	rec.Subnet = n.Subnet.String()
	r.saveNetwork(name, rec)
	return n, nil
}

// rangeOf is the part of its subnet that a network hands addresses out of; the
// zero Prefix is all.
func rangeOf(n *spec.Network) (netip.Prefix, error) {
	if n.IPAM == nil || len(n.IPAM.Config) == 0 || n.IPAM.Config[0].IPRange == "" {
		return netip.Prefix{}, nil
	}
	text := n.IPAM.Config[0].IPRange
	within, err := netip.ParsePrefix(text)
	if err != nil {
		return within, fmt.Errorf("ip_range %q is no range of addresses", text)
	}
	return within, nil
}

// relabelNetwork notes the labels that a network has now. All else is as it was
// made.
func (r *Runner) relabelNetwork(name string, want *spec.Network) error {
	docs, err := r.store.Load(bucketNetworks)
	if err != nil {
		return err
	}
	var rec networkRecord
	if err := json.Unmarshal(docs[name], &rec); err != nil {
		return fmt.Errorf("cannot read the record of network %s: %w", name, err)
	}
	if rec.Applied == nil {
		rec.Applied = &spec.Network{Name: name}
	}
	rec.Applied.Labels = want.Labels
	r.saveNetwork(name, rec)
	return nil
}

// guests are the containers of other projects than the given one that are on a
// network.
func (r *Runner) guests(project, network string) (out []planner.Guest) {
	r.mu.Lock()
	var others []*container
	for _, c := range r.containers {
		if c.project != project {
			others = append(others, c)
		}
	}
	r.mu.Unlock()
	for _, c := range others {
		state, ok := r.nets.Sandbox(c.id)
		if _, on := state.Addresses[network]; !ok || !on {
			continue
		}
		rec := c.snapshot()
		g := planner.Guest{Project: c.project, Container: c.id, Resource: fmt.Sprintf("%s/%d", rec.Service, rec.Number)}
		if rec.OneOff {
			g.Resource = rec.Name
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b planner.Guest) int { return strings.Compare(a.String(), b.String()) })
	return out
}
