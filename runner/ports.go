package runner

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// A published port belongs to a replica's place (project, service, number),
// not to a container: the listener stays while one container follows another,
// and connections that come in between wait.

// portPrefix is the part of a port's key that names the replica.
func portPrefix(project, service string, number int) string {
	return project + "/" + service + "/" + strconv.Itoa(number) + "/"
}

// portPrefix names the place that the ports of a container belong to. A one-off
// has one of its own.
func (rec *record) portPrefix() string {
	if rec.OneOff {
		return portPrefix(rec.Project, rec.ID[:12], 0)
	}
	return portPrefix(rec.Project, rec.Service, rec.Number)
}

// binding is one listener of a replica.
type binding struct {
	key    string
	host   netip.Addr
	port   string // "", a number or a range
	target int
	proto  string
}

// bindings lists the listeners that a service's ports ask for; without a host
// address it is all of the host's, on IPv4 and IPv6.
func bindings(rec *record) ([]binding, error) {
	var list []binding
	prefix := rec.portPrefix()
	for _, p := range rec.Applied.Service.Ports {
		var host netip.Addr
		if p.HostIP != "" {
			var err error
			if host, err = netip.ParseAddr(strings.Trim(p.HostIP, "[]")); err != nil {
				return nil, fmt.Errorf("services.%s.ports: %q is no address", rec.Service, p.HostIP)
			}
		}
		proto := p.Protocol
		if proto == "" {
			proto = "tcp"
		}
		if proto == spec.ProtocolSCTP {
			continue // nothing forwards it yet, which the load has said
		}
		key := prefix + proto + "/" + p.HostIP + "/" + p.Published + "/" + strconv.Itoa(p.Target)
		list = append(list, binding{key: key, host: host, port: p.Published, target: p.Target, proto: proto})
	}
	return list, nil
}

// publish binds the ports of a container and parks their connections until
// it is ready. Listeners that its predecessor had and that it has not are
// closed; those that it shares are kept as they are. A port that another
// replica holds and gives up in the same plan is taken from it; o is nil
// outside of plans.
func (r *Runner) publish(ctx context.Context, o *Order, c *container) error {
	now := c.snapshot()
	list, err := bindings(&now)
	if err != nil || len(list) == 0 && len(now.Published) == 0 && now.OneOff {
		return err
	}
	states, err := r.ports(ctx, &now)
	if err != nil {
		return err
	}
	wanted := map[string]bool{}
	var bound []planner.Binding
	for _, b := range list {
		wanted[b.key] = true
		port, ok := states[b.key]
		if !ok {
			if port, err = r.bind(ctx, o, &now, b); err != nil {
				return err
			}
		}
		hosts := []string{b.host.String()}
		if !b.host.IsValid() {
			hosts = []string{"0.0.0.0", "::"}
		}
		for _, h := range hosts {
			bound = append(bound, planner.Binding{HostIP: h, HostPort: port, Target: b.target, Protocol: b.proto})
		}
	}
	for key := range states {
		if !wanted[key] {
			if err := r.Ports.Close(ctx, key); err != nil {
				return err
			}
		}
	}
	if len(bound) > 0 || len(now.Published) > 0 {
		c.apply(published{bindings: bound})
	}
	return nil
}

// bind binds one listener, and takes the port from replicas of the plan that
// will not have it any more when it is carried out. They may give it up by
// themselves in the same moment, so it is tried again whoever closed it.
func (r *Runner) bind(ctx context.Context, o *Order, rec *record, b binding) (int, error) {
	port, err := r.listen(ctx, rec, b)
	if err == nil || !isTaken(err) || o == nil || o.Plan == nil {
		return port, err
	}
	all, lost := r.Ports.Ports(ctx)
	if lost != nil {
		return 0, err
	}
	for _, p := range all {
		if p.Proto == b.proto && strconv.Itoa(int(p.Bound.Port())) == b.port && o.gives(p.Key) {
			_ = r.Ports.Close(ctx, p.Key) // its replica may have been faster
		}
	}
	return r.listen(ctx, rec, b)
}

// gives says whether the plan takes a listener from the replica that has it.
func (o *Order) gives(key string) bool {
	for _, s := range o.Plan.Steps {
		if s.Service == "" || !strings.HasPrefix(key, portPrefix(o.Project, s.Service, s.Number)) {
			continue
		}
		switch s.Action {
		case planner.Remove:
			return true
		case planner.Update, planner.Replace:
			list, err := bindings(&record{metadata: metadata{Project: o.Project, Service: s.Service, Number: s.Number, Applied: s.Applied}})
			return err == nil && !slices.ContainsFunc(list, func(b binding) bool { return b.key == key })
		}
	}
	return false
}

// ports are the listeners that the replica has now: key -> port.
func (r *Runner) ports(ctx context.Context, rec *record) (map[string]int, error) {
	all, err := r.Ports.Ports(ctx)
	if err != nil {
		return nil, err
	}
	prefix := rec.portPrefix()
	out := map[string]int{}
	for _, p := range all {
		if strings.HasPrefix(p.Key, prefix) {
			out[p.Key] = int(p.Bound.Port())
		}
	}
	return out, nil
}

// listen binds one listener: the port, the first free one of a range, or any.
// That of an instance keeps the port that it was given once, and gives way
// where another has the one that the stack file wants.
func (r *Runner) listen(ctx context.Context, rec *record, b binding) (int, error) {
	kept, isInstance := r.instances.port(rec.Project, b.key)
	if !isInstance && b.port == "" {
		kept = b.before(rec)
	}
	var err error
	for port := range b.candidates(kept, isInstance) {
		if port == 0 && err != nil && b.port != "" && !isTaken(err) {
			break // another port would not help
		}
		var addr netip.AddrPort
		addr, err = r.Ports.Listen(ctx, keeper.Port{Key: b.key, Proto: b.proto, Addr: b.host, Port: uint16(port)})
		if err != nil {
			continue
		}
		if isInstance && !rec.OneOff {
			r.instances.keepPort(rec.Project, b.key, int(addr.Port()))
		}
		return int(addr.Port()), nil
	}
	return 0, &PortError{Service: rec.Service, Port: b.port, Target: b.target, Proto: b.proto, Err: err}
}

// candidates are the ports to try, in their order: the one that the listener
// had, those that the stack file wants, and 0 for any that is free.
func (b *binding) candidates(kept int, isInstance bool) iter.Seq[int] {
	return func(yield func(int) bool) {
		if kept != 0 && !yield(kept) {
			return
		}
		from, to, _ := strings.Cut(b.port, "-")
		low := atoi(from)
		high := max(low, atoi(to))
		for port := low; port <= high && b.port != ""; port++ {
			if port != kept && !yield(port) {
				return
			}
		}
		if isInstance || b.port == "" && kept == 0 {
			yield(0)
		}
	}
}

func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// isTaken says that a port could not be published because another has it.
func isTaken(err error) bool {
	held, ok := errors.AsType[*keeper.PortError](err)
	return ok && syscall.Errno(held.Errno) == syscall.EADDRINUSE
}

// before is the port that a listener for any free port had, so that it has
// the same again; 0 if there was none.
func (b *binding) before(rec *record) int {
	for _, p := range rec.Published {
		if p.Target == b.target && p.Protocol == b.proto {
			return p.HostPort
		}
	}
	return 0
}

// PortError is a port that can't be published.
type PortError struct {
	Service string
	Port    string
	Target  int
	Proto   string
	Place   spec.Place
	Err     error
}

func (e *PortError) Error() string {
	at := ""
	if e.Place.Line > 0 {
		at = " (" + e.Place.String() + ")"
	}
	port := e.Port
	if port == "" {
		port = "any port"
	}
	cause := e.Err.Error()
	if held, ok := errors.AsType[*keeper.PortError](e.Err); ok {
		cause = held.Reason
		switch {
		case held.Holder != "":
			cause = "held by " + holder(held.Holder)
		case held.PID != 0:
			cause = fmt.Sprintf("held by %s (process %d)", held.Process, held.PID)
		}
	}
	return fmt.Sprintf("cannot publish %s/%s for %s%s: %s", port, e.Proto, e.Service, at, cause)
}

// holder names the replica that a listener's key speaks of; see portPrefix.
func holder(key string) string {
	parts := strings.SplitN(key, "/", 4)
	switch {
	case len(parts) < 4:
		return key
	case parts[2] == "0": // one-off
		return "run " + parts[1] + " of " + parts[0]
	}
	return parts[1] + "/" + parts[2] + " of " + parts[0]
}

func (e *PortError) Unwrap() error { return e.Err }

// unpublish closes the listeners of a replica, unless another container has
// its place.
func (r *Runner) unpublish(ctx context.Context, c *container) {
	rec := c.snapshot()
	if rec.OneOff && len(rec.Published) == 0 {
		return
	}
	r.mu.Lock()
	for _, other := range r.containers {
		if other == c || other.isRemoving() {
			continue
		}
		if its := other.snapshot(); its.portPrefix() == rec.portPrefix() {
			r.mu.Unlock()
			return
		}
	}
	r.mu.Unlock()
	states, err := r.ports(ctx, &rec)
	if err != nil {
		r.log.Warn("cannot list published ports", "container", c.name, "error", err)
		return
	}
	for key := range states {
		if err := r.Ports.Close(ctx, key); err != nil {
			r.log.Warn("cannot close a published port", "container", c.name, "port", key, "error", err)
		}
	}
}

// route leads the container's ports to it once it is ready: at once without
// a health check, else when it is known to be healthy or not to be.
func (c *container) route() {
	c.mu.Lock()
	s := &c.state
	health, addresses := s.Health, s.Addresses
	running := c.task != nil && s.State == planner.Running
	published := len(s.Published) > 0 && !c.pending // while it is, they are another's
	c.mu.Unlock()
	if !published || !running {
		return
	}
	c.lead(addresses, health == planner.Starting)
}

// unroute parks the ports of a container that is to come back, and lets
// connections fail where nothing is to come.
func (c *container) unroute(again bool) {
	c.mu.Lock()
	published := len(c.state.Published) > 0 && !c.state.removing && !c.yields && !c.pending
	c.mu.Unlock()
	if published {
		c.lead(nil, again)
	}
}

// lead points each port of the container at the addresses.
func (c *container) lead(addresses []string, parked bool) {
	rec := c.snapshot()
	list, err := bindings(&rec)
	if err != nil {
		return
	}
	for _, b := range list {
		var backends []netip.AddrPort
		for _, a := range addresses {
			if addr, err := netip.ParseAddr(a); err == nil {
				backends = append(backends, netip.AddrPortFrom(addr, uint16(b.target)))
				break
			}
		}
		if err := c.r.Ports.Route(c.r.ctx, b.key, keeper.Route{Backends: backends, Parked: parked}); err != nil && c.r.ctx.Err() == nil {
			c.r.log.Warn("cannot route a published port", "container", c.name, "port", b.key, "error", err)
		}
	}
}
