package engine

import (
	"os"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/privilege"
)

// TestSettingsGovernProjects: the profile and the policy of engine.yaml hold for
// what is planned, applied and run.
//
// Risk remote include: a stack of somebody else asks for more than it needs
// Held: an engine's policy refuses it before anything is changed, with the place and what to ask for
func TestSettingsGovernProjects(t *testing.T) {
	d := newDesk(t)
	if err := os.MkdirAll(d.cfg.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	set := func(text string) {
		t.Helper()
		if err := os.WriteFile(settings.Path(d.cfg.Root), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	req := &api.ApplyRequest{
		WorkingDir: "/src", Places: []byte(`{"services.web.privileged":{"file":"stack.yaml","line":3,"column":5}}`),
		Project: []byte(`{"name":"p","services":{"web":{"image":"x","privileged":true},"db":{"image":"x"},"own":{"image":"x","x-orlop-security":"default"}}}`),
	}
	set("security: hardened\n")
	j, err := d.decode(req)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"web": "", "db": spec.SecurityHardened, "own": spec.SecurityDefault} {
		if got := j.project.Services[name].Security; got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	set("policy: {forbid: [privileged]}\n")
	for _, call := range []func() error{
		func() error { _, err := d.Plan(d.ctx, req); return err },
		func() error { _, err := d.decode(req); return err },
	} {
		if err := call(); err == nil || !strings.Contains(err.Error(), "stack.yaml:3:5: services.web.privileged: true is forbidden on this engine") {
			t.Errorf("it says %v", err)
		}
	}
	for text, want := range map[string]string{
		"policy: {forbid: [priviledged]}\n": `no such word as "priviledged": did you mean "privileged"?`,
		"policy: {forbids: []}\n":           `unknown key "forbids"`,
		"security: strong\n":                `security: no such word as "strong"`,
	} {
		set(text)
		if _, err := d.decode(req); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// TestThePolicyKnowsWhatWasFetched: a remote stack's own directory is not the host's, and
// the project's is not the remote stack's.
func TestThePolicyKnowsWhatWasFetched(t *testing.T) {
	d := newDesk(t)
	if err := os.MkdirAll(d.cfg.Root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(settings.Path(d.cfg.Root), []byte("policy: {forbid: [host_mount]}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for source, isForbidden := range map[string]bool{"/cache/d/conf": false, "/cache/other": true, "/src/data": true} {
		req := &api.ApplyRequest{
			WorkingDir: "/src", Places: []byte(`{"services.web.volumes[0]":{"file":"oci://r.test/app:1: compose.yaml","line":3,"column":5}}`),
			RemoteDirs: map[string]string{"oci://r.test/app:1": "/cache/d"},
			Project:    []byte(`{"name":"p","services":{"web":{"image":"x","volumes":[{"type":"bind","source":"` + source + `","target":"/x"}]}}}`),
		}
		if _, err := d.decode(req); (err != nil) != isForbidden {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// The policy knows of an external network what the engine knows.
func TestThePolicySeesWhereExternalNetworksLead(t *testing.T) {
	lookup := func(name string) (network.Network, bool) {
		return network.Network{Name: name, Options: network.Options{Driver: map[string]string{"lan": network.Macvlan}[name], Parent: "eth0"}}, name != "gone"
	}
	p := &spec.Project{Name: "p", Networks: map[string]*spec.Network{
		"lan": {Name: "lan", External: true}, "own": {Name: "own", External: true}, "gone": {Name: "gone", External: true}, "nothing": nil,
	}, Services: map[string]*spec.Service{"web": {Name: "web", Networks: map[string]*spec.ServiceNetwork{"lan": nil, "own": nil, "gone": nil}}}}
	err := privilege.Check(topology.AsKnown(p, lookup), "/src", []privilege.Kind{privilege.HostNetwork}, "engine.yaml", "/root", "/state")
	if err == nil || !strings.Contains(err.Error(), "services.web.networks.lan") || strings.Contains(err.Error(), "networks.own") {
		t.Errorf("it says %v", err)
	}
	if p.Networks["lan"].Driver != "" {
		t.Error("the project itself is changed")
	}
}
