package ports

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestPortsAreTriedInTheirOrder(t *testing.T) {
	for _, c := range []struct {
		port       string
		kept       int
		isInstance bool
		want       []int
	}{
		{"8080", 0, false, []int{8080}},
		{"", 0, false, []int{0}},
		{"", 4711, false, []int{4711}},
		{"8000-8002", 0, false, []int{8000, 8001, 8002}},
		{"8080", 0, true, []int{8080, 0}},
		{"8080", 4711, true, []int{4711, 8080, 0}},
		{"8080", 8080, true, []int{8080, 0}},
		{"8000-8001", 8001, true, []int{8001, 8000, 0}},
		{"", 4711, true, []int{4711, 0}},
	} {
		b := binding{port: c.port}
		if got := slices.Collect(b.candidates(c.kept, c.isInstance)); !slices.Equal(got, c.want) {
			t.Errorf("port %q, kept %d, instance %t: tried are %v, want %v", c.port, c.kept, c.isInstance, got, c.want)
		}
	}
}

func TestOnlyAPortThatAnotherHasIsTaken(t *testing.T) {
	for err, want := range map[error]bool{
		&keeper.PortError{Errno: int(syscall.EADDRINUSE), Holder: "x"}:          true,
		fmt.Errorf("so: %w", &keeper.PortError{Errno: int(syscall.EADDRINUSE)}): true,
		&keeper.PortError{Errno: int(syscall.EADDRNOTAVAIL)}:                    false,
		errors.New("the keeper is gone"):                                        false,
	} {
		if isTaken(err) != want {
			t.Errorf("isTaken(%v) is %t", err, !want)
		}
	}
}

func TestAPortErrorNamesWhoHoldsThePort(t *testing.T) {
	for want, err := range map[string]error{
		"cannot publish 80/tcp for web: held by api/2 of shop: stop it, or publish another port, as in \"81:8080\"":            &keeper.PortError{Reason: "in use", Holder: "shop/api/2/tcp//80/8080"},
		"cannot publish 80/tcp for web: held by run 0123456789ab of shop: stop it, or publish another port, as in \"81:8080\"": &keeper.PortError{Reason: "in use", Holder: "shop/0123456789ab/0/tcp//80/8080"},
		"cannot publish 80/tcp for web: held by container box: stop it, or publish another port, as in \"81:8080\"":            &keeper.PortError{Reason: "in use", Holder: "container.box/0123456789ab/0/tcp//80/8080"},
		"cannot publish 80/tcp for web: held by nginx (process 812): stop it, or publish another port, as in \"81:8080\"":      &keeper.PortError{Reason: "in use", Process: "nginx", PID: 812},
		"cannot publish 80/tcp for web: in use: publish another port, as in \"81:8080\"":                                       &keeper.PortError{Reason: "in use", Errno: int(syscall.EADDRINUSE)},
	} {
		if got := (&Error{Service: "web", Port: "80", Target: 8080, Proto: "tcp", Err: err}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestAnotherPortIsAsNarrow: who does as the hint says publishes to nobody else than before.
func TestAnotherPortIsAsNarrow(t *testing.T) {
	for name, c := range map[string]struct {
		host, port, proto, want string
	}{
		"all":             {"", "5432", "tcp", `publish another port, as in "5433:5432"`},
		"loopback":        {"127.0.0.1", "5432", "tcp", `publish another port, as in "127.0.0.1:5433:5432"`},
		"IPv6":            {"::1", "5432", "tcp", `publish another port, as in "[::1]:5433:5432"`},
		"UDP":             {"10.0.0.1", "53", "udp", `publish another port, as in "10.0.0.1:54:5432/udp"`},
		"the last":        {"127.0.0.1", "65535", "tcp", `publish another port, as in "127.0.0.1:65534:5432"`},
		"a range":         {"127.0.0.1", "8000-8010", "tcp", `publish a longer range, or another, as in "127.0.0.1:8011-8021:5432"`},
		"a range of IPv6": {"fe80::1", "8000-8010", "sctp", `publish a longer range, or another, as in "[fe80::1]:8011-8021:5432/sctp"`},
		"the last range":  {"", "65000-65535", "tcp", `publish another range, as in "64464-64999:5432"`},
		"any":             {"127.0.0.1", "", "tcp", "the machine has no free port: stop what has them"},
	} {
		e := &Error{Service: "db", Port: c.port, Target: 5432, Proto: c.proto, Err: &keeper.PortError{Reason: "in use", Errno: int(syscall.EADDRINUSE)}}
		if c.host != "" {
			e.Host = netip.MustParseAddr(c.host)
		}
		if got := e.Error(); !strings.HasSuffix(got, ": in use: "+c.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
	ports := &somePorts{held: map[string]uint16{"p/db/1/tcp//5432/5432": 5432}}
	_, err := New(ports, nobody{}).Publish(t.Context(), Owner{Project: "p", Service: "web", Number: 1, Ports: []spec.Port{{Target: 5432, Published: "5432", HostIP: "127.0.0.1"}}}, nil)
	if err == nil || !strings.Contains(err.Error(), `"127.0.0.1:5433:5432"`) {
		t.Errorf("it says %v", err)
	}
}

// somePorts are published ports by key. A listener that is given up is closed
// by its own replica as soon as another has found it in its way.
type somePorts struct {
	held  map[string]uint16
	quick bool // the replica is always faster
}

func (p *somePorts) Listen(_ context.Context, at keeper.Port) (netip.AddrPort, error) {
	for key, port := range p.held {
		if port == at.Port {
			if p.quick {
				delete(p.held, key)
			}
			return netip.AddrPort{}, &keeper.PortError{Port: at, Errno: int(syscall.EADDRINUSE), Holder: key}
		}
	}
	p.held[at.Key] = at.Port
	return netip.AddrPortFrom(netip.IPv4Unspecified(), at.Port), nil
}

func (p *somePorts) Close(_ context.Context, key string) error {
	delete(p.held, key)
	return nil
}

func (p *somePorts) Ports(context.Context) ([]keeper.PortState, error) {
	var list []keeper.PortState
	for key, port := range p.held {
		bound := netip.AddrPortFrom(netip.IPv4Unspecified(), port)
		list = append(list, keeper.PortState{Port: keeper.Port{Key: key, Proto: keeper.TCP, Port: port}, Bound: bound})
	}
	return list, nil
}

func (*somePorts) Route(context.Context, string, keeper.Route) error           { return nil }
func (*somePorts) Drain(context.Context, string, keeper.Patience) (int, error) { return 0, nil }

// nobody has no instances.
type nobody struct{}

func (nobody) Port(string, string) (int, bool) { return 0, false }
func (nobody) KeepPort(string, string, int)    {}

func TestAPortIsTakenOverFromWhoGivesItUp(t *testing.T) {
	publishing := func(ports ...string) (list []spec.Port) {
		for _, p := range ports {
			list = append(list, spec.Port{Target: 80, Published: p, Protocol: "tcp"})
		}
		return list
	}
	for name, c := range map[string]struct {
		other *planner.Step // what the plan does to the one that has the port
		quick bool
		taken bool
	}{
		"removed":                    {&planner.Step{Action: planner.Remove}, false, true},
		"moves to another port":      {&planner.Step{Action: planner.Update, Applied: &planner.Applied{Service: &spec.Service{Ports: publishing("81")}}}, false, true},
		"and is faster":              {&planner.Step{Action: planner.Update, Applied: &planner.Applied{Service: &spec.Service{Ports: publishing("81")}}}, true, true},
		"keeps it":                   {&planner.Step{Action: planner.Update, Applied: &planner.Applied{Service: &spec.Service{Ports: publishing("80")}}}, false, false},
		"is not touched by the plan": {nil, false, false},
	} {
		plan := &planner.Plan{}
		if c.other != nil {
			c.other.Service, c.other.Number = "old", 1
			plan.Steps = append(plan.Steps, c.other)
		}
		ports := &somePorts{held: map[string]uint16{"p/old/1/tcp//80/80": 80}, quick: c.quick}
		_, err := New(ports, nobody{}).Publish(t.Context(), Owner{Project: "p", Service: "new", Number: 1, Ports: publishing("80")}, plan)
		if c.taken != (err == nil) {
			t.Errorf("the other %s: %v", name, err)
		}
		if err != nil && !strings.Contains(err.Error(), "cannot publish 80/tcp for new") {
			t.Errorf("the other %s: %v", name, err)
		}
	}
}

// TestAPortOfAContainerThatHasEndedIsTakenOver, in a plan and outside of one: what comes
// after it may have the same.
func TestAPortOfAContainerThatHasEndedIsTakenOver(t *testing.T) {
	for _, plan := range []*planner.Plan{nil, {}} {
		for _, ended := range []bool{true, false} {
			ports := &somePorts{held: map[string]uint16{"p/certs/1/tcp//80/80": 80, "p/other/1/tcp//81/81": 81}}
			o := Owner{Project: "p", Service: "web", Number: 1, Ports: []spec.Port{{Target: 80, Published: "80", Protocol: "tcp"}}}
			o.Ended = func(key string) bool { return ended && strings.HasPrefix(key, "p/certs/1/") }
			_, err := New(ports, nobody{}).Publish(t.Context(), o, plan)
			if ended != (err == nil) || len(ports.held) != 2 || ports.held["p/other/1/tcp//81/81"] == 0 {
				t.Errorf("it has ended: %t: %v, %v", ended, err, ports.held)
			}
		}
	}
}

func TestWhatNobodyListensOnIsNamed(t *testing.T) {
	o := Owner{Project: "shop", Service: "web", Number: 1, Ports: []spec.Port{{Target: 80, Published: "8080"}, {Target: 53, Protocol: "udp"}}}
	list, err := o.bindings()
	if err != nil {
		t.Fatal(err)
	}
	if got := o.Unbound(map[string]bool{list[0].key: true, list[1].key: true}); len(got) > 0 {
		t.Errorf("with all there: %v", got)
	}
	if got := o.Unbound(map[string]bool{list[0].key: true}); len(got) != 1 || got[0] != "nothing listens on the host for its port 53/udp" {
		t.Errorf("without one: %v", got)
	}
}
