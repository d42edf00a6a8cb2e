// Package ports publishes the ports of containers: listeners that the keeper
// holds, which are bound, led to whoever has them, parked and drained. Which port
// a listener has is decided here; when it is led somewhere is not.
package ports

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// A published port belongs to a replica's place (project, service, number),
// not to a container: the listener stays while one container follows another,
// and connections that come in between wait.

// Listeners are the listeners of published ports, which the keeper holds;
// *keeper.Conn and *keeper.Holdings have some.
type Listeners interface {
	Listen(ctx context.Context, p keeper.Port) (netip.AddrPort, error)
	Route(ctx context.Context, key string, r keeper.Route) error
	Drain(ctx context.Context, key string, patience keeper.Patience) (busy int, err error)
	Close(ctx context.Context, key string) error
	Ports(ctx context.Context) ([]keeper.PortState, error)
}

// Kept are the ports that instances of a stack were given once.
type Kept interface {
	// Port is that of a listener, 0 if none; known says that the project is an
	// instance at all.
	Port(project, key string) (port int, known bool)
	KeepPort(project, key string, port int)
}

// Table is the published ports of an engine.
type Table struct {
	listeners Listeners
	kept      Kept

	mu    sync.Mutex
	aside map[string]bool // keys of listeners that can't be had here, which nobody misses
}

// New is the table of the ports that the keeper holds.
func New(l Listeners, kept Kept) *Table {
	return &Table{listeners: l, kept: kept, aside: map[string]bool{}}
}

// Owner is a container as far as its ports go.
type Owner struct {
	Project   string
	Service   string
	Number    int
	OneOff    string // a one-off's short ID, for it has a place of its own; "" for a replica
	Ports     []spec.Port
	HostIP    string            // where those are bound that name no address; "" is everywhere
	Published []planner.Binding // that it has

	// Ended says that the container which has a listener has done its work: its port is
	// another's who asks for it. Nil: none has.
	Ended func(key string) bool

	// Warn is told of a port that is left aside; may be nil.
	Warn func(error)
}

// Place begins the key of each listener of the owner's place.
func (o *Owner) Place() string {
	if o.OneOff != "" {
		return place(o.Project, o.OneOff, 0)
	}
	return place(o.Project, o.Service, o.Number)
}

func place(project, service string, number int) string {
	return project + "/" + service + "/" + strconv.Itoa(number) + "/"
}

// binding is one listener of a place.
type binding struct {
	key    string
	host   netip.Addr
	port   string // "", a number or a range
	target int
	proto  string
}

// bindings lists the listeners that the owner's ports ask for; without a host
// address it is all of the host's, on IPv4 and IPv6.
func (o *Owner) bindings() ([]binding, error) {
	var list []binding
	for _, p := range o.Ports {
		var host netip.Addr
		hostIP := cmp.Or(p.HostIP, o.HostIP)
		if hostIP != "" {
			var err error
			if host, err = netip.ParseAddr(strings.Trim(hostIP, "[]")); err != nil {
				return nil, fmt.Errorf("services.%s.ports: %q is not an IP address", o.Service, hostIP)
			}
		}
		proto := cmp.Or(p.Protocol, "tcp")
		key := o.Place() + proto + "/" + hostIP + "/" + p.Published + "/" + strconv.Itoa(p.Target)
		port := p.Published
		if strings.Trim(port, "0-") == "" {
			port = "" // 0 is any that is free
		}
		list = append(list, binding{key: key, host: host, port: port, target: p.Target, proto: proto})
	}
	return list, nil
}

// Publish binds the ports of a container and parks their connections until they
// are led to it. Listeners that its predecessor had and that it has not are
// closed; those that it shares are kept as they are. A port that another replica
// holds and gives up in the plan, which may be nil, is taken from it. Without a plan the
// container was made before: a port of SCTP is warned of and left aside where the kernel
// or the keeper has none.
func (t *Table) Publish(ctx context.Context, o Owner, plan *planner.Plan) ([]planner.Binding, error) {
	list, err := o.bindings()
	if err != nil || len(list) == 0 && len(o.Published) == 0 && o.OneOff != "" {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, publishTimeout, errSilent)
	defer cancel()
	states, err := t.bound(ctx, o)
	if err != nil {
		return nil, err
	}
	var all []planner.Binding
	for _, b := range list {
		port, ok := states[b.key]
		delete(states, b.key)
		if !ok {
			if port, err = t.bindOrLeave(ctx, o, b, plan); err != nil {
				return nil, err
			}
			if port == 0 {
				continue
			}
		}
		hosts := []string{b.host.String()}
		if !b.host.IsValid() {
			hosts = []string{"0.0.0.0", "::"}
		}
		for _, h := range hosts {
			all = append(all, planner.Binding{HostIP: h, HostPort: port, Target: b.target, Protocol: b.proto})
		}
	}
	failpoint.Hit("ports/bound")
	for key := range states {
		if err := t.listeners.Close(ctx, key); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// bindOrLeave binds one listener; 0 is one that is left aside.
func (t *Table) bindOrLeave(ctx context.Context, o Owner, b binding, plan *planner.Plan) (int, error) {
	port, err := t.bind(ctx, o, b, plan)
	isAside := plan == nil && o.OneOff == "" && b.proto == keeper.SCTP && isMissing(err)
	t.mu.Lock()
	if delete(t.aside, b.key); isAside {
		t.aside[b.key] = true
	}
	t.mu.Unlock()
	if !isAside {
		return port, err
	}
	if o.Warn != nil {
		o.Warn(err)
	}
	return 0, nil
}

func (t *Table) isAside(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.aside[key]
}

// Unbound says which ports of an owner nobody listens on, of those that are
// listened on by their keys: "nothing listens on port 8080".
func (o *Owner) Unbound(open map[string]bool) []string {
	list, err := o.bindings()
	if err != nil {
		return nil
	}
	var out []string
	for _, b := range list {
		if !open[b.key] {
			out = append(out, fmt.Sprintf("nothing listens on the host for its port %d/%s", b.target, b.proto))
		}
	}
	return out
}

// Open are the keys of all listeners, and of those that are left aside.
func (t *Table) Open(ctx context.Context) (map[string]bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, leadTimeout, errSilent)
	defer cancel()
	all, err := t.listeners.Ports(ctx)
	open := map[string]bool{}
	for _, p := range all {
		open[p.Key] = true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.Copy(open, t.aside)
	return open, err
}

// bind binds one listener, and takes the port from replicas of the plan that
// will not have it any more when it is carried out, and from what has ended. They may give it up by
// themselves in the same moment, so it is tried again whoever closed it.
func (t *Table) bind(ctx context.Context, o Owner, b binding, plan *planner.Plan) (int, error) {
	port, err := t.listen(ctx, o, b)
	if err == nil || !isTaken(err) || plan == nil && o.Ended == nil {
		return port, err
	}
	all, lost := t.listeners.Ports(ctx)
	if lost != nil {
		return 0, err
	}
	want := b.port
	if want == "" { // any, which is what it had before, also by another key
		want = strconv.Itoa(b.before(o.Published))
	}
	for _, p := range all {
		if p.Proto == b.proto && strconv.Itoa(int(p.Bound.Port())) == want && (gives(plan, o.Project, p.Key) || o.Ended != nil && o.Ended(p.Key)) {
			_ = t.listeners.Close(ctx, p.Key) // its replica may have been faster
		}
	}
	return t.listen(ctx, o, b)
}

// gives says whether a plan takes a listener from the replica that has it.
func gives(plan *planner.Plan, project, key string) bool {
	if plan == nil {
		return false
	}
	for _, s := range plan.Steps {
		if s.Service == "" || !strings.HasPrefix(key, place(project, s.Service, s.Number)) {
			continue
		}
		switch s.Action {
		case planner.Remove:
			return true
		case planner.Update, planner.Replace:
			if mode := s.Applied.Service.NetworkMode; mode == "host" || mode == "none" {
				return true
			}
			next := Owner{Project: project, Service: s.Service, Number: s.Number, Ports: s.Applied.Service.Ports, HostIP: s.Applied.HostIP}
			list, err := next.bindings()
			return err == nil && !slices.ContainsFunc(list, func(b binding) bool { return b.key == key })
		}
	}
	return false
}

// bound are the listeners that the owner's place has now: key -> port.
func (t *Table) bound(ctx context.Context, o Owner) (map[string]int, error) {
	all, err := t.listeners.Ports(ctx)
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, p := range all {
		if strings.HasPrefix(p.Key, o.Place()) {
			out[p.Key] = int(p.Bound.Port())
		}
	}
	return out, nil
}

// listen binds one listener: the port, that of the replica or the first free one of a
// range, or any.
// That of an instance keeps the port that it was given once, and gives way
// where another has the one that the stack file wants.
func (t *Table) listen(ctx context.Context, o Owner, b binding) (int, error) {
	kept, isInstance := t.kept.Port(o.Project, b.key)
	switch {
	case isInstance:
	case b.port == "":
		kept = b.before(o.Published)
	case o.OneOff == "":
		kept = b.ofReplica(o.Number)
	}
	var err error
	for port := range b.candidates(kept, isInstance) {
		if port == 0 && err != nil && b.port != "" && !isTaken(err) {
			break // another port would not help
		}
		var addr netip.AddrPort
		addr, err = t.listeners.Listen(ctx, keeper.Port{Key: b.key, Proto: b.proto, Addr: b.host, Port: uint16(port)})
		if err != nil {
			continue
		}
		if isInstance && o.OneOff == "" {
			t.kept.KeepPort(o.Project, b.key, int(addr.Port()))
		}
		return int(addr.Port()), nil
	}
	return 0, &Error{Service: o.Service, Host: b.host, Port: b.port, Target: b.target, Proto: b.proto, Err: err}
}

// candidates are the ports to try, in their order: the one that the listener
// had, those that the stack file wants, and 0 for any that is free.
func (b *binding) candidates(kept int, isInstance bool) iter.Seq[int] {
	return func(yield func(int) bool) {
		if kept != 0 && !yield(kept) {
			return
		}
		from, to, _ := strings.Cut(b.port, "-")
		low, _ := strconv.Atoi(from)
		high, _ := strconv.Atoi(to) // 0 where there is one port alone
		high = max(low, high)
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

// ofReplica is the port of a range that a replica has if it is free: the first one the
// first, whoever of them comes first. It is 0 where there is no range, or it is too short.
func (b *binding) ofReplica(number int) int {
	from, to, _ := strings.Cut(b.port, "-")
	low, _ := strconv.Atoi(from)
	high, _ := strconv.Atoi(to)
	if port := low + number - 1; number > 0 && port <= high {
		return port
	}
	return 0
}

// before is the port that a listener for any free port had, so that it has
// the same again; 0 if there was none.
func (b *binding) before(published []planner.Binding) int {
	for _, p := range published {
		if p.Target == b.target && p.Protocol == b.proto {
			return p.HostPort
		}
	}
	return 0
}

// Unpublish closes the listeners of a place.
func (t *Table) Unpublish(ctx context.Context, o Owner) error {
	t.mu.Lock()
	maps.DeleteFunc(t.aside, func(key string, _ bool) bool { return strings.HasPrefix(key, o.Place()) })
	t.mu.Unlock()
	states, err := t.bound(ctx, o)
	if err != nil {
		return err
	}
	var errs []error
	for key := range states {
		if err := t.listeners.Close(ctx, key); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	return errors.Join(errs...)
}

// Lead points each port of a container at an address; the zero one is none. While
// it is parked, connections wait. A keeper that does not answer is waited for
// within leadTimeout.
func (t *Table) Lead(ctx context.Context, o Owner, to netip.Addr, parked bool) error {
	list, err := o.bindings()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, leadTimeout, errSilent)
	defer cancel()
	var errs []error
	for _, b := range list {
		if t.isAside(b.key) {
			continue
		}
		route := keeper.Route{Parked: parked}
		if to.IsValid() {
			route.Backends = []netip.AddrPort{netip.AddrPortFrom(to, uint16(b.target))}
		}
		if err := t.listeners.Route(ctx, b.key, route); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", b.key, err))
		}
	}
	return errors.Join(errs...)
}

// leadTimeout bounds how long a container's supervision, which leads its ports, is
// held up: the answer takes well below a millisecond.
const leadTimeout = 5 * time.Second

// publishTimeout bounds how long a start is held up by a keeper that does not
// answer; to look for a free port in a long range takes some milliseconds.
const publishTimeout = 15 * time.Second

var errSilent = errors.New("the keeper does not answer")

// Drain waits until the keeper knows of no request under way by the TCP ports of
// a container. The error tells of those that are, still.
func (t *Table) Drain(ctx context.Context, o Owner, patience keeper.Patience) error {
	list, err := o.bindings()
	if err != nil {
		return err
	}
	errs := make([]error, len(list))
	var all sync.WaitGroup
	for i, b := range list {
		if b.proto != keeper.TCP {
			continue
		}
		all.Go(func() {
			busy, err := t.listeners.Drain(ctx, b.key, patience)
			if err == nil && busy > 0 {
				err = fmt.Errorf("%d under way", busy)
			}
			if err != nil {
				errs[i] = fmt.Errorf("%s: %w", b.key, err)
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// Targets are the container's own ports that TCP ports lead to.
func (o *Owner) Targets() []uint16 {
	list, err := o.bindings()
	if err != nil {
		return nil
	}
	var out []uint16
	for _, b := range list {
		if b.proto == keeper.TCP {
			out = append(out, uint16(b.target))
		}
	}
	return out
}
