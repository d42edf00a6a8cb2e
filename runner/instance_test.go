package runner

import (
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

// instancesIn opens the instances of a store, as a new engine does.
func instancesIn(t *testing.T, store Store) *Runner {
	t.Helper()
	r := &Runner{Config: Config{Now: time.Now}, store: store}
	r.instances.store = store
	if err := r.instances.load(); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAnInstanceKeepsItsPortsAcrossEngines(t *testing.T) {
	store := newMemory()
	r := instancesIn(t, store)
	r.NoteInstance(&Order{Project: "shop"}, "", nil)
	r.NoteInstance(&Order{Project: "shop-a", WorkingDir: "/w"}, "a", nil)
	r.instances.keepPort("shop-a", "shop-a/web/1/tcp//8080/80", 4711)
	r.instances.keepPort("shop", "shop/web/1/tcp//8080/80", 8080)

	r = instancesIn(t, store)
	r.NoteInstance(&Order{Project: "shop-a", WorkingDir: "/w"}, "a", nil)
	if port, ok := r.instances.port("shop-a", "shop-a/web/1/tcp//8080/80"); port != 4711 || !ok {
		t.Errorf("the port is %d, instance %t", port, ok)
	}
	if _, ok := r.instances.port("shop", "shop/web/1/tcp//8080/80"); ok {
		t.Error("the stack itself counts as an instance")
	}
	if list := r.Instances(); len(list) != 1 || list[0].Name != "a" || list[0].WorkingDir != "/w" {
		t.Errorf("instances are %+v", list)
	}
}

func TestAnInstanceIsForgottenWithTheLastOfIt(t *testing.T) {
	store := newMemory()
	r := instancesIn(t, store)
	r.NoteInstance(&Order{Project: "shop-a"}, "a", nil)
	left := &planner.Observed{Volumes: map[string]planner.Volume{"shop-a_data": {Project: "shop-a"}}}
	r.ForgetInstance(t.Context(), "shop-a", left)
	if len(r.Instances()) != 1 {
		t.Fatal("an instance with data was forgotten")
	}
	others := &planner.Observed{Networks: map[string]planner.Network{"world": {Project: "other"}}}
	r.ForgetInstance(t.Context(), "shop-a", others)
	if len(r.Instances()) != 0 || len(instancesIn(t, store).Instances()) != 0 {
		t.Error("an instance that nothing is left of is kept")
	}
}
