package supervisor

import (
	"errors"
	"testing"
)

// TestANameIsOneContainers: but for who takes another's place.
func TestANameIsOneContainers(t *testing.T) {
	var claims Claims
	there := Record{Metadata: Metadata{ID: "there", Name: "shop-web-1", Project: "shop", Service: "web", Number: 1}}
	all := func() []Record { return []Record{there} }
	record := func(id, project, service string, number int, oneOff bool) *Record {
		return &Record{Metadata: Metadata{ID: id, Name: "shop-web-1", Project: project, Service: service, Number: number, OneOff: oneOff}}
	}
	for name, c := range map[string]struct {
		rec  *Record
		free bool
	}{
		"its replacement":        {record("n1", there.Project, there.Service, 1, false), true},
		"another replica":        {record("n2", there.Project, there.Service, 2, false), false},
		"a run of the service":   {record("n3", there.Project, there.Service, 1, true), false},
		"another project's":      {record("n4", "blog", there.Service, 1, false), false},
		"another service's":      {record("n5", there.Project, "other", 1, false), false},
		"the replacement, again": {record("n6", there.Project, there.Service, 1, false), true},
	} {
		release, err := claims.Claim(c.rec, all)
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
	var claims Claims
	none := func() []Record { return nil }
	first := &Record{Metadata: Metadata{ID: "a", Name: "db", Service: "db"}}
	second := &Record{Metadata: Metadata{ID: "b", Name: "db", Service: "other"}}
	release, err := claims.Claim(first, none)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := claims.Claim(second, none); err == nil {
		t.Error("a name is given twice")
	}
	release()
	release() // once more is once
	free, err := claims.Claim(second, none)
	if err != nil {
		t.Fatal(err)
	}
	release() // the first one's is over: it takes nothing of the second
	if _, err := claims.Claim(first, none); err == nil {
		t.Error("who has given a name back takes another's along")
	}
	free()
}
