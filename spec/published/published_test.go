package published

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func port(published, address, protocol string) spec.Port {
	return spec.Port{Published: published, HostIP: address, Protocol: protocol, Target: 80}
}

func TestPortsOfTheMachineThatAreWantedTwice(t *testing.T) {
	three := 3
	for name, c := range map[string]struct {
		a, b     spec.Service
		external bool
		want     string
	}{
		"another port":        {a: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("81", "", "tcp")}}},
		"the same":            {a: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}, want: "services.b.ports[0]: port 80/tcp of this machine is taken: service a publishes it"},
		"another protocol":    {a: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("80", "", "udp")}}},
		"another address":     {a: spec.Service{Ports: []spec.Port{port("80", "127.0.0.1", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("80", "127.0.0.2", "tcp")}}},
		"all addresses":       {a: spec.Service{Ports: []spec.Port{port("80", "127.0.0.1", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("80", "0.0.0.0", "tcp")}}, want: "service a"},
		"of the other family": {a: spec.Service{Ports: []spec.Port{port("80", "::1", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("80", "0.0.0.0", "tcp")}}},
		"no address":          {a: spec.Service{Ports: []spec.Port{port("80", "::1", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}, want: "service a"},
		"a range":             {a: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("80-90", "", "tcp")}}},
		"any":                 {a: spec.Service{Ports: []spec.Port{port("", "", "tcp"), port("0", "", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("0", "", "tcp")}}},
		"one service twice":   {a: spec.Service{Ports: []spec.Port{port("80", "", "tcp"), port("80", "", "")}}, want: "services.a.ports[1]: port 80/tcp of this machine is taken: the service publishes it twice"},
		"the host's network":  {a: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}, b: spec.Service{NetworkMode: "host", Ports: []spec.Port{port("80", "", "tcp")}}},
		"replicas":            {a: spec.Service{Scale: &three, Ports: []spec.Port{port("80", "", "tcp")}}, want: "3 replicas cannot share port 80/tcp"},
		"sctp":                {a: spec.Service{Ports: []spec.Port{port("3868", "", "sctp")}}, b: spec.Service{Ports: []spec.Port{port("3868", "", "sctp")}}, want: "services.b.ports[0]: port 3868/sctp of this machine is taken: service a publishes it"},
		"sctp beside tcp":     {a: spec.Service{Ports: []spec.Port{port("3868", "", "sctp")}}, b: spec.Service{Ports: []spec.Port{port("3868", "", "tcp")}}},
		"replicas of sctp":    {a: spec.Service{Scale: &three, Ports: []spec.Port{port("3868", "", "sctp")}}, want: "3 replicas cannot share port 3868/sctp"},
		"replicas of a range": {a: spec.Service{Scale: &three, Ports: []spec.Port{port("80-82", "", "tcp")}}},
		"of a short range":    {a: spec.Service{Scale: &three, Ports: []spec.Port{port("", "", "tcp"), port("80-81", "", "")}}, want: "services.a.ports[1]: 3 replicas cannot share the 2 ports 80-81/tcp of this machine: publish a range of 3"},
		"on the host":         {a: spec.Service{Scale: &three, NetworkMode: "host", Ports: []spec.Port{port("80-81", "", "tcp")}}},
		"scaled to none":      {a: spec.Service{Scale: new(int), Ports: []spec.Port{port("80", "", "tcp")}}, b: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}},
		"a network that may say where": {a: spec.Service{Networks: map[string]*spec.ServiceNetwork{"n": nil}, Ports: []spec.Port{port("80", "", "tcp")}},
			b: spec.Service{Ports: []spec.Port{port("80", "", "tcp")}}, external: true},
	} {
		p := &spec.Project{Services: map[string]*spec.Service{"a": &c.a, "b": &c.b}, Networks: map[string]*spec.Network{"n": {External: c.external}}}
		var got []string
		for _, e := range Twice(p, []string{"a", "b"}) {
			got = append(got, e.Error())
		}
		if text := strings.Join(got, "\n"); (c.want == "") != (text == "") || !strings.Contains(text, c.want) {
			t.Errorf("%s: got %q, want %q", name, text, c.want)
		}
	}
}

// TestOneAfterTheOtherMayHaveAPort: what waits for the end of another is not beside it.
func TestOneAfterTheOtherMayHaveAPort(t *testing.T) {
	after := func(condition string, names ...string) map[string]spec.Dependency {
		out := map[string]spec.Dependency{}
		for _, name := range names {
			out[name] = spec.Dependency{Condition: condition, Required: true}
		}
		return out
	}
	const started, completed = "service_started", spec.ServiceCompleted
	for name, c := range map[string]struct {
		web, mid map[string]spec.Dependency
		scale    int
		want     int
	}{
		"beside it":                      {want: 1},
		"after its start":                {web: after(started, "certs"), want: 1},
		"after its end":                  {web: after(completed, "certs")},
		"after one that is after it":     {web: after(started, "mid"), mid: after(completed, "certs")},
		"after the end of such a one":    {web: after(completed, "mid"), mid: after(completed, "certs")},
		"after the end of one beside it": {web: after(completed, "mid"), mid: after(started, "certs"), want: 1},
		"in a circle":                    {web: after(started, "mid"), mid: after(started, "web"), want: 1},
		"and with replicas":              {web: after(completed, "certs"), scale: 2, want: 1},
	} {
		p := &spec.Project{Services: map[string]*spec.Service{
			"certs": {Ports: []spec.Port{port("80", "", "tcp")}}, "mid": {DependsOn: c.mid},
			"web": {Ports: []spec.Port{port("80", "127.0.0.1", "tcp")}, DependsOn: c.web},
		}}
		if c.scale > 0 {
			p.Services["web"].Scale = &c.scale
		}
		for _, order := range [][]string{{"certs", "mid", "web"}, {"web", "mid", "certs"}} {
			if got := Twice(p, order); len(got) != c.want {
				t.Errorf("%s: in the order %v: %v", name, order, got)
			}
		}
	}
}
