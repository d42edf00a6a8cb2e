package planner_test

import (
	"strings"
	"testing"

	. "github.com/orlop/orlop/planner"
)

// What is on record of a container and is not there any more is given back, and
// what can't be is started anew; the plan says why.
func TestWhatIsLostIsMended(t *testing.T) {
	p := load(t, "services: {web: {image: web, ports: ['8080:80']}, side: {image: web, network_mode: 'service:web'}}")
	w := newWorld()
	up, err := Converge(p, &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, up)
	web := -1
	for i, k := range w.observed.Containers {
		if k.Service == "web" {
			web = i
		}
	}
	for name, test := range map[string]struct {
		lose func(o *Observed, k *Container)
		opts Options
		step string
		why  string
	}{
		"a port":    {func(_ *Observed, k *Container) { k.Lost = []string{"nothing listens"} }, Options{}, "update web/1", "nothing listens"},
		"a network": {func(o *Observed, _ *Container) { loseNetwork(o, "its bridge is down") }, Options{}, "update-network default", "its bridge is down"},
		"a process": {func(_ *Observed, k *Container) { k.Dead = "its shim hangs" }, Options{}, "restart web/1", "its shim hangs"},
		"a start":   {func(_ *Observed, k *Container) { k.State, k.Error = Restarting, "no room" }, Options{}, "start web/1", "it does not run: no room"},
		"a port, in a plan that changes nothing": {
			func(_ *Observed, k *Container) { k.Lost = []string{"nothing listens"} }, Options{NoRecreate: true}, "update web/1", "nothing listens",
		},
	} {
		o := w.observed
		o.Containers = append([]Container(nil), o.Containers...)
		test.lose(&o, &o.Containers[web])
		plan, err := Converge(p, &o, test.opts)
		if err != nil {
			t.Fatal(err)
		}
		s := plan.Step(test.step)
		if s == nil || len(s.Reasons) == 0 || !strings.Contains(s.Reasons[0].Text, test.why) {
			t.Errorf("%s is not mended:\n%s", name, plan.Text())
		}
	}
	if plan, err := Converge(p, &w.observed, Options{}); err != nil || !plan.IsEmpty() {
		t.Errorf("with nothing lost there is something to do: %v\n%s", err, plan.Text())
	}
}

func loseNetwork(o *Observed, text string) {
	nets := map[string]Network{}
	for name, n := range o.Networks {
		n.Lost = []string{text}
		nets[name] = n
	}
	o.Networks = nets
}

func TestANetworkIsMadeWithRoomForAll(t *testing.T) {
	for _, c := range []struct {
		subnet     string
		containers int
		want       bool
	}{
		{"10.0.0.0/24", 253, true}, {"10.0.0.0/24", 254, false}, {"10.0.0.0/22", 1000, true}, {"", 1000, true}, {"x", 1000, true}, {"fd00::/64", 1000, true},
	} {
		if got := HasRoom(c.subnet, c.containers); got != c.want {
			t.Errorf("room in %q for %d: %t", c.subnet, c.containers, got)
		}
	}
	p := load(t, "services: {web: {image: web}}")
	w := newWorld()
	up, err := Converge(p, &w.observed, Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.apply(t, up)
	o := w.observed
	o.Networks = map[string]Network{}
	for name, n := range w.observed.Networks {
		n.Subnet = "10.0.0.0/24"
		o.Networks[name] = n
	}
	n := 300
	p.Services["web"].Scale = &n
	plan, err := Converge(p, &o, Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := plan.Step("create-network default")
	if s == nil || s.Containers < 300 || !strings.Contains(s.Reasons[0].Text, "10.0.0.0/24 has no room for") {
		t.Errorf("the network stays too small:\n%.600s", plan.Text())
	}
}
