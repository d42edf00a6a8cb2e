package ports

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/keeper/sctp"
	"github.com/orlop/orlop/spec"
)

// TestPortsOfAKernelWithoutSCTP: each is told with its place, before anything is begun.
func TestPortsOfAKernelWithoutSCTP(t *testing.T) {
	ofSCTP := spec.Port{Target: 3868, Published: "3868", Protocol: spec.ProtocolSCTP}
	p := &spec.Project{
		Services: map[string]*spec.Service{
			"hss": {Ports: []spec.Port{{Target: 80, Published: "80", Protocol: "tcp"}, ofSCTP}},
			"off": {Ports: []spec.Port{ofSCTP}, Scale: new(int)},
			"far": {Ports: []spec.Port{ofSCTP}, NetworkMode: "host"},
		},
		Places: spec.PlacesOf(map[string]spec.Place{"services.hss.ports[1]": {File: "stack.yaml", Line: 7, Column: 9}}),
	}
	if err := check(p, func() error { return nil }); err != nil {
		t.Error(err)
	}
	err := check(p, func() error { return sctp.ErrMissing })
	const want = "stack.yaml:7:9: services.hss.ports[1]: it can't be published: this kernel has no SCTP: load the module sctp (modprobe sctp)"
	if err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "far") || strings.Contains(err.Error(), "off") {
		t.Errorf("it says %v", err)
	}
}
