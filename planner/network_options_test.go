package planner

import (
	"errors"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// An option that says what is so without it is no reason to make a network anew, in
// whatever words: an engine before this one kept none of them.
func TestOptionsThatMakeANetworkAnew(t *testing.T) {
	yes := true
	plain := &spec.Network{Name: "n"}
	for _, same := range []map[string]string{
		nil, {spec.OptICC: "1"}, {spec.OptMasquerade: "true", spec.OptHostBinding: "0.0.0.0", spec.OptInhibitIPv4: "false", spec.OptGatewayMode: spec.GatewayNAT},
	} {
		if !SameNetwork(plain, &spec.Network{Name: "n", DriverOpts: same, EnableIPv4: &yes}) {
			t.Errorf("%v makes another network", same)
		}
	}
	for key, value := range map[string]string{
		spec.OptICC: "0", spec.OptMasquerade: "false", spec.OptHostBinding: "127.0.0.1", spec.OptInhibitIPv4: "true", spec.OptGatewayMode: spec.GatewayIsolated,
		spec.OptMTU: "1400", spec.OptBridgeName: "br0", spec.OptInterfacePrefix: "lan",
	} {
		want := &spec.Network{Name: "n", DriverOpts: map[string]string{key: value}}
		if SameNetwork(plain, want) {
			t.Errorf("%s: %s makes no other network", key, value)
		}
		if reasons := compareNetworks("networks.n", plain, want, spec.Places{}); len(reasons) != 1 {
			t.Errorf("%s: the reasons are %v", key, reasons)
		}
	}
	if aux := (&spec.Network{Name: "n", IPAM: &spec.IPAM{Config: []spec.IPAMPool{{AuxAddresses: map[string]string{"a": "10.0.0.2"}}}}}); SameNetwork(plain, aux) {
		t.Error("addresses of others make no other network")
	}
}

// What an external network is becomes known with the machine.
func TestNoPortsOnExternalNetworksOutside(t *testing.T) {
	project := func(networks ...string) *spec.Project {
		s := &spec.Service{Name: "web", Image: "a", Ports: []spec.Port{{Target: 80, Published: "8080", Protocol: "tcp"}}, Networks: map[string]*spec.ServiceNetwork{}}
		for _, key := range networks {
			s.Networks[key] = nil
		}
		return &spec.Project{
			Name: "p", Services: map[string]*spec.Service{"web": s},
			Networks: map[string]*spec.Network{"lan": {Name: "lan", External: true}, "other": {Name: "other", External: true}, "own": {Name: "p_own"}},
			Places:   spec.PlacesOf(map[string]spec.Place{"services.web.ports": {File: "stack.yaml", Line: 4, Column: 5}}),
		}
	}
	observed := &Observed{Networks: map[string]Network{
		"lan": {Name: "lan", Applied: &spec.Network{Driver: spec.DriverMacvlan}}, "other": {Name: "other", Applied: &spec.Network{Driver: spec.DriverBridge}},
	}}
	_, err := Converge(project("lan"), observed, Options{})
	if outside, ok := errors.AsType[*spec.OutsideError](err); !ok || outside.Network != "lan" || !strings.HasPrefix(err.Error(), "stack.yaml:4:5: services.web.ports: ") {
		t.Errorf("on a macvlan alone: %v", err)
	}
	for _, also := range []string{"other", "own"} {
		if _, err := Converge(project("lan", also), observed, Options{}); err != nil {
			t.Errorf("on %s too: %v", also, err)
		}
	}
	quiet := project("lan")
	quiet.Services["web"].Ports = nil
	if _, err := Converge(quiet, observed, Options{}); err != nil {
		t.Errorf("without ports: %v", err)
	}
}

// Notes of a port are for who reads the file.
func TestNotesOfPortsChangeNothing(t *testing.T) {
	with := func(p spec.Port) *Applied {
		p.Target, p.Published, p.Protocol = 80, "8080", "tcp"
		return &Applied{Service: &spec.Service{Ports: []spec.Port{p}}}
	}
	plain := with(spec.Port{Mode: "ingress"})
	if c := diff("web", plain, with(spec.Port{Mode: "host", Name: "http", AppProtocol: "http"}), "", spec.Places{}); len(c.update)+len(c.replace) > 0 {
		t.Errorf("they change %v, %v", c.update, c.replace)
	}
	if c := diff("web", plain, with(spec.Port{HostIP: "127.0.0.1"}), "", spec.Places{}); len(c.update) != 1 {
		t.Errorf("an address changes %v", c.update)
	}
}

// Families of addresses: one that is written as it is by default is no other network.
func TestFamiliesThatMakeANetworkAnew(t *testing.T) {
	yes, no := true, false
	plain := &spec.Network{Name: "n"}
	if !SameNetwork(plain, &spec.Network{Name: "n", EnableIPv4: &yes, EnableIPv6: &no}) {
		t.Error("what is so by default makes another network")
	}
	for want, n := range map[string]*spec.Network{
		"networks.n.enable_ipv6: false -> true": {Name: "n", EnableIPv6: &yes},
		"networks.n.enable_ipv4: true -> false": {Name: "n", EnableIPv4: &no},
	} {
		reasons := compareNetworks("networks.n", plain, n, spec.Places{})
		if len(reasons) != 1 || reasons[0].Path+": "+reasons[0].From+" -> "+reasons[0].To != want {
			t.Errorf("the reasons are %v, want %s", reasons, want)
		}
	}
}

// Options of a network outside of the machine, by the names of its driver.
func TestOptionsOfNetworksOutside(t *testing.T) {
	lan := func(driver string, options map[string]string) *spec.Network {
		return &spec.Network{Name: "n", Driver: driver, DriverOpts: options}
	}
	plain := lan(spec.DriverMacvlan, map[string]string{spec.OptParent: "eth0"})
	for want, n := range map[string]*spec.Network{
		"": lan(spec.DriverMacvlan, map[string]string{spec.OptParent: "eth0", spec.OptICC: "false"}), // of a bridge
		"networks.n.driver_opts.parent: \"eth0\" -> \"eth1\"": lan(spec.DriverMacvlan, map[string]string{spec.OptParent: "eth1"}),
		"networks.n.driver_opts.macvlan_mode:  -> \"vepa\"":   lan(spec.DriverMacvlan, map[string]string{spec.OptParent: "eth0", spec.OptMacvlanMode: "vepa"}),
		"networks.n.driver: \"macvlan\" -> \"ipvlan\"":        lan(spec.DriverIPvlan, map[string]string{spec.OptParent: "eth0"}),
	} {
		got := ""
		for _, r := range compareNetworks("networks.n", plain, n, spec.Places{}) {
			got += r.Path + ": " + r.From + " -> " + r.To
		}
		if got != want {
			t.Errorf("the reasons are %q, want %q", got, want)
		}
	}
}

// Ranges that are spelled otherwise are the same.
func TestRangesThatMakeANetworkAnew(t *testing.T) {
	of := func(driver string, c ...spec.IPAMPool) *spec.Network {
		return &spec.Network{Name: "n", IPAM: &spec.IPAM{Driver: driver, Config: c}}
	}
	plain := of("",
		spec.IPAMPool{Subnet: "10.7.0.0/24", IPRange: "10.7.0.128/25", Gateway: "10.7.0.1"},
		spec.IPAMPool{Subnet: "fd07::/64", Gateway: "fd07::1", AuxAddresses: map[string]string{"router": "fd07::2"}})
	if !SameNetwork(plain, of("default",
		spec.IPAMPool{Subnet: "10.7.0.9/24", IPRange: "10.7.0.129/25", Gateway: "10.7.0.1"},
		spec.IPAMPool{Subnet: "FD07:0::3/64", Gateway: "fd07:0::1", AuxAddresses: map[string]string{"router": "fd07:0:0::2"}})) {
		t.Error("other spellings make another network")
	}
	if !SameNetwork(&spec.Network{Name: "n"}, of("default")) {
		t.Error("no range makes another network")
	}
	for of, c := range map[string]spec.IPAMPool{
		"subnet":   {Subnet: "10.8.0.0/24", IPRange: "10.7.0.128/25", Gateway: "10.7.0.1"},
		"ip_range": {Subnet: "10.7.0.0/24", IPRange: "10.7.0.0/25", Gateway: "10.7.0.1"},
		"gateway":  {Subnet: "10.7.0.0/24", IPRange: "10.7.0.128/25", Gateway: "10.7.0.2"},
	} {
		want := &spec.Network{Name: "n", IPAM: &spec.IPAM{Config: []spec.IPAMPool{c, plain.IPAM.Config[1]}}}
		if reasons := compareNetworks("networks.n", plain, want, spec.Places{}); len(reasons) != 1 || reasons[0].Path != "networks.n.ipam.config" {
			t.Errorf("another %s: the reasons are %v", of, reasons)
		}
	}
	if plain.IPAM.Config[0].Subnet != "10.7.0.0/24" || plain.IPAM.Driver != "" {
		t.Error("the comparison changed what it compared")
	}
}
