package planner

import (
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestWhatSaysTheDefaultReplacesNothing: an engine before this one left the keys out that
// it did not know.
func TestWhatSaysTheDefaultReplacesNothing(t *testing.T) {
	for name, c := range map[string]struct {
		want    spec.Service
		replace bool
	}{
		"a label":                       {spec.Service{SecurityOpt: []string{"label:disable"}}, false},
		"no new privileges: false":      {spec.Service{SecurityOpt: []string{"no-new-privileges:false"}}, false},
		"the engine's own filter":       {spec.Service{SecurityOpt: []string{"seccomp=builtin"}}, false},
		"control groups as they are":    {spec.Service{SecurityOpt: []string{"writable-cgroups=false"}}, false},
		"the users of the host":         {spec.Service{UsernsMode: "host"}, false},
		"an IPC namespace of its own":   {spec.Service{IPC: "private"}, false},
		"users of the engine's range":   {spec.Service{UsernsMode: "100000:65536"}, true},
		"no filter":                     {spec.Service{SecurityOpt: []string{"label:disable", "seccomp=unconfined"}}, true},
		"no new privileges":             {spec.Service{SecurityOpt: []string{"no-new-privileges"}}, true},
		"an IPC namespace for others":   {spec.Service{IPC: "shareable"}, true},
		"processes of another":          {spec.Service{PID: "service:db"}, true},
		"control groups that it writes": {spec.Service{SecurityOpt: []string{"writable-cgroups"}}, true},
	} {
		got := diff("a", &Applied{Service: &spec.Service{}}, &Applied{Service: &c.want}, "", spec.Places{})
		if len(got.update) > 0 || len(got.replace) > 0 != c.replace {
			t.Errorf("%s: %v, %v", name, got.replace, got.update)
		}
	}
	privileged := &spec.Service{Privileged: true}
	for opt, replace := range map[string]bool{"writable-cgroups": false, "seccomp=unconfined": false, "writable-cgroups=false": true} {
		got := diff("a", &Applied{Service: privileged}, &Applied{Service: &spec.Service{Privileged: true, SecurityOpt: []string{opt}}}, "", spec.Places{})
		if len(got.replace) > 0 != replace {
			t.Errorf("%s of a privileged one: %v", opt, got.replace)
		}
	}
}

// TestWhatIsNoLimitOfAGroupNeedsAnotherContainer: devices come with it.
func TestWhatIsNoLimitOfAGroupNeedsAnotherContainer(t *testing.T) {
	reserved := &spec.Service{Deploy: &spec.Deploy{Resources: &spec.Resources{
		Limits: &spec.ResourceLimits{Memory: 1 << 30}, Reservations: &spec.ResourceReservations{Devices: []spec.DeviceRequest{{Count: 1}}},
	}}}
	got := diff("a", &Applied{Service: &spec.Service{}}, &Applied{Service: reserved}, "", spec.Places{})
	if len(got.replace) != 1 || len(got.update) != 1 {
		t.Errorf("a device and a limit: %v, %v", got.replace, got.update)
	}
}

// TestTheMachinesOwnPlatformSaysNothing, and what is so anyhow neither.
func TestTheMachinesOwnPlatformSaysNothing(t *testing.T) {
	yes := true
	for platform, replace := range map[string]bool{"linux/amd64": false, "linux/amd64/v2": false, "linux/arm64": true} {
		want := &spec.Service{Platform: platform, Networks: map[string]*spec.ServiceNetwork{"n": {UseServiceNameAlias: &yes}}}
		old := &spec.Service{Networks: map[string]*spec.ServiceNetwork{"n": {}}}
		if got := diff("a", &Applied{Service: old}, &Applied{Service: want}, "linux/amd64", spec.Places{}); len(got.replace) > 0 != replace {
			t.Errorf("%s: %v", platform, got.replace)
		}
	}
}
