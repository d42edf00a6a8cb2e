package planner_test

import (
	"testing"

	. "github.com/orlop/orlop/planner"

	"github.com/orlop/orlop/spec"
)

// TestWhatAContainerMounts holds what has the say of a target: the service itself,
// then services of the stack, then what is known with a container alone.
func TestWhatAContainerMounts(t *testing.T) {
	mount := func(source, target string) spec.Mount {
		return spec.Mount{Type: spec.MountVolume, Source: source, Target: target}
	}
	p := &spec.Project{Services: map[string]*spec.Service{
		"a": {Volumes: []spec.Mount{mount("one", "/one"), mount("two", "/two"), mount("", "/anonymous")}},
		"b": {VolumesFrom: []string{"a:ro"}, Volumes: []spec.Mount{mount("own", "/two")}},
		"c": {VolumesFrom: []string{"b", "container:x"}, Tmpfs: []string{"/one:size=1m"}},
	}}
	p.InheritVolumes()
	names := map[string]string{"one": "p_one", "two": "p_two", "own": "p_own"}
	borrowed := []Mounted{{Mount: mount("", "/two"), Volume: "far"}, {Mount: mount("", "/far"), Volume: "far"}}
	for service, want := range map[string]map[string]string{
		"a": {"/one": "p_one", "/two": "p_two", "/anonymous": "", "/far": "far"},
		"b": {"/one": "p_one ro", "/two": "p_own", "/far": "far"},
		"c": {"/two": "p_own", "/far": "far"},
	} {
		got := map[string]string{}
		for _, m := range (&Applied{Service: p.Services[service], Volumes: names, Borrowed: borrowed}).Mounts() {
			got[m.Target] = m.Volume
			if m.ReadOnly {
				got[m.Target] += " ro"
			}
		}
		for target := range want {
			if got[target] != want[target] || len(got) != len(want) {
				t.Errorf("%s has at %s %q, want %q; all are %v", service, target, got[target], want[target], got)
			}
		}
	}
}
