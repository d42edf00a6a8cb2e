package runner

import (
	"errors"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/supervisor"
)

// TestANameIsOneContainers: but for who takes another's place.
func TestANameIsOneContainers(t *testing.T) {
	r := alone(t)
	there := of(planner.Running, "")
	there.Name, there.Number = "shop-web-1", 1
	r.newContainer(there, nil, false)
	record := func(id, project, service string, number int, oneOff bool) *supervisor.Record {
		rec := *of(planner.Created, "")
		rec.ID, rec.Name, rec.Project, rec.Service, rec.Number, rec.OneOff = id, "shop-web-1", project, service, number, oneOff
		return &rec
	}
	for name, c := range map[string]struct {
		rec  *supervisor.Record
		free bool
	}{
		"its replacement":        {record("n1", there.Project, there.Service, 1, false), true},
		"another replica":        {record("n2", there.Project, there.Service, 2, false), false},
		"a run of the service":   {record("n3", there.Project, there.Service, 1, true), false},
		"another project's":      {record("n4", "blog", there.Service, 1, false), false},
		"another service's":      {record("n5", there.Project, "other", 1, false), false},
		"the replacement, again": {record("n6", there.Project, there.Service, 1, false), true},
	} {
		release, err := r.claimName(c.rec)
		if (err == nil) != c.free {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			release()
			continue
		}
		taken, ok := errors.AsType[*NameError](err)
		if !ok || taken.Project != there.Project || taken.OneOff != c.rec.OneOff {
			t.Errorf("%s: %+v", name, err)
		}
	}
}

// TestANameIsKeptWhileItsContainerIsMade: two commands at once get one of it.
func TestANameIsKeptWhileItsContainerIsMade(t *testing.T) {
	r := alone(t)
	first, second := of(planner.Created, ""), of(planner.Created, "")
	first.ID, first.Name, first.Service = "a", "db", "db"
	second.ID, second.Name, second.Service = "b", "db", "other"
	release, err := r.claimName(first)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.claimName(second); err == nil {
		t.Error("a name is given twice")
	}
	release()
	release() // once more is once
	free, err := r.claimName(second)
	if err != nil {
		t.Fatal(err)
	}
	release() // the first one's is over: it takes nothing of the second
	if _, err := r.claimName(first); err == nil {
		t.Error("who has given a name back takes another's along")
	}
	free()
}
