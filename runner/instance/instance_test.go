package instance

import (
	"maps"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

// documents are kept in memory: an engine's store, for one bucket.
type documents map[string][]byte

func (d documents) Save(_, key string, value []byte)       { d[key] = value }
func (d documents) Delete(_, key string)                   { delete(d, key) }
func (d documents) Load(string) (map[string][]byte, error) { return maps.Clone(d), nil }

// open opens the instances of a store, as a new engine does.
func open(t *testing.T, docs documents) *Book {
	t.Helper()
	b, err := Open(docs, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func nothing(string) bool { return false }

func TestAnInstanceKeepsItsPortsAcrossEngines(t *testing.T) {
	store := documents{}
	b := open(t, store)
	b.Note(Instance{Project: "shop"})
	b.Note(Instance{Project: "shop-a", WorkingDir: "/w", Name: "a"})
	b.KeepPort("shop-a", "shop-a/web/1/tcp//8080/80", 4711)
	b.KeepPort("shop", "shop/web/1/tcp//8080/80", 8080)

	b = open(t, store)
	b.Note(Instance{Project: "shop-a", WorkingDir: "/w", Name: "a"})
	if port, ok := b.Port("shop-a", "shop-a/web/1/tcp//8080/80"); port != 4711 || !ok {
		t.Errorf("the port is %d, instance %t", port, ok)
	}
	if _, ok := b.Port("shop", "shop/web/1/tcp//8080/80"); ok {
		t.Error("the stack itself counts as an instance")
	}
	if list := b.List(); len(list) != 1 || list[0].Name != "a" || list[0].WorkingDir != "/w" {
		t.Errorf("instances are %+v", list)
	}
}

func TestAnInstanceIsForgottenWithTheLastOfIt(t *testing.T) {
	store := documents{}
	b := open(t, store)
	b.Note(Instance{Project: "shop-a", Name: "a"})
	left := &planner.Observed{Volumes: map[string]planner.Volume{"shop-a_data": {Project: "shop-a"}}}
	b.Forget("shop-a", left, nothing)
	if len(b.List()) != 1 {
		t.Fatal("an instance with data was forgotten")
	}
	others := &planner.Observed{Networks: map[string]planner.Network{"world": {Project: "other"}}}
	b.Forget("shop-a", others, nothing)
	if len(b.List()) != 0 || len(open(t, store).List()) != 0 {
		t.Error("an instance that nothing is left of is kept")
	}
}

func TestWhatIsKeptOfAnInstance(t *testing.T) {
	store := documents{"broken": []byte("{")}
	now := time.Unix(1_700_000_000, 0).UTC()
	b, err := Open(store, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	b.Note(Instance{Project: "shop-b", Name: "b", Files: []string{"stack.yaml"}, Images: []string{"web:b"}})
	b.Note(Instance{Project: "shop-a", Name: "a", Images: []string{"web:a"}})
	created := now
	now = now.Add(time.Hour)
	b.Note(Instance{Project: "shop-a", Name: "a", Images: []string{"db:a", "web:a"}})
	b.Use("shop-b")
	b.Use("shop")
	list := b.List()
	if len(list) != 2 || list[0].Project != "shop-a" || list[1].Project != "shop-b" {
		t.Fatalf("there are %+v", list)
	}
	if a := list[0]; !a.Created.Equal(created) || !a.Used.Equal(now) || len(a.Images) != 2 {
		t.Errorf("the one that was applied twice is %+v", a)
	}
	if !list[1].Used.Equal(now) {
		t.Errorf("a use is not noted: %+v", list[1])
	}
	list[1].Files[0] = "changed"
	if b.List()[1].Files[0] != "stack.yaml" {
		t.Error("a reader changes what is kept")
	}
	here := func(ref string) bool { return ref == "web:a" }
	if got := b.Images("shop-a", here); len(got) != 1 || got[0] != "web:a" {
		t.Errorf("its images are %v", got)
	}
	b.Forget("shop-a", &planner.Observed{}, here)
	if len(b.List()) != 2 {
		t.Error("an instance with images is forgotten")
	}
	b.Forget("shop-b", &planner.Observed{Containers: []planner.Container{{}}}, here)
	if len(b.List()) != 2 {
		t.Error("an instance with containers is forgotten")
	}
}
