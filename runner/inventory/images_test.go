package inventory

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/supervisor"
)

// As with Docker: a name is one of several, or the last one, which containers keep; an ID is all of them.
func TestWhatARemovalOfAnImageTakes(t *testing.T) {
	in := func(states ...planner.State) (list []supervisor.Record) {
		for _, state := range states {
			list = append(list, supervisor.Record{Metadata: supervisor.Metadata{Name: "web-" + string(state)}, Status: supervisor.Status{State: state}})
		}
		return list
	}
	byName := func(ref string) []supervisor.Record {
		return []supervisor.Record{{Metadata: supervisor.Metadata{Name: "old", Image: ref}}}
	}
	for name, c := range map[string]struct {
		names  string
		isName bool
		users  []supervisor.Record
		force  bool
		want   string // names, or what is in the error
	}{
		"a name":                                  {"a", true, nil, false, "a"},
		"one of two":                              {"a b", true, nil, false, "a"},
		"one of two of what runs":                 {"a b", true, in(planner.Running), false, "a"},
		"the last of a container's":               {"a", true, in(planner.Exited), false, "container web-exited is made of it (remove that first, or use --force)"},
		"by force":                                {"a", true, in(planner.Exited), true, "a"},
		"by force of what runs, which has it":     {"a", true, in(planner.Running), true, "a"},
		"an ID":                                   {"a", false, nil, false, "a"},
		"an ID of two names":                      {"a b", false, nil, false, "has 2 names, a among them: say which, or use --force for all"},
		"both by force":                           {"a b", false, nil, true, "a b"},
		"an ID of a container's":                  {"a", false, in(planner.Exited), false, "container web-exited is made of it (remove that first, or use --force)"},
		"by its ID by force":                      {"a b", false, in(planner.Exited), true, "a b"},
		"not of what runs":                        {"a", false, in(planner.Exited, planner.Running), true, "container web-running is made of it, and runs"},
		"nor of what comes back":                  {"a", false, in(planner.Restarting), true, "container web-restarting is made of it, and runs"},
		"a name that is all that a container has": {"docker.io/library/a:1 b", true, byName("a:1"), false, "container old is made of it"},
		"another one than that":                   {"docker.io/library/a:1 b", true, byName("b"), false, "docker.io/library/a:1"},
		"the last name of what a container has by its own": {"docker.io/library/a:1", true, byName("a:1"), false, "container old is made of it"},
	} {
		all := strings.Fields(c.names)
		names, err := untagged("x", all, c.isName, c.users, c.force)
		got := strings.Join(names, " ")
		if err != nil {
			got = err.Error()
		}
		if err == nil && got != c.want || err != nil && !strings.Contains(got, c.want) || !slices.Equal(all, strings.Fields(c.names)) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// A container of which nobody knows the digest of its image is one of those that has its name.
func TestWhoIsMadeOfAnImage(t *testing.T) {
	of := func(name, ref string, applied *planner.Applied) supervisor.Record {
		return supervisor.Record{Metadata: supervisor.Metadata{Name: name, Image: ref, Applied: applied}}
	}
	all := []supervisor.Record{
		of("digest", "a", &planner.Applied{Image: "sha256:1"}),
		of("moved", "a", &planner.Applied{Image: "sha256:2"}),
		of("before", "a", nil),
		of("blank", "a:latest", &planner.Applied{}),
		of("other", "b", nil),
	}
	for _, c := range []struct{ names, want string }{{"docker.io/library/a:latest", "before blank digest"}, {"docker.io/library/c:1", "digest"}, {"", "digest"}} {
		var got []string
		for _, rec := range usersOf(all, "sha256:1", strings.Fields(c.names)) {
			got = append(got, rec.Name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("of %q: %q", c.names, got)
		}
	}
}

func TestWhatWasRemovedBeforeAnErrorIsTold(t *testing.T) {
	removed, err := Removed{Names: []string{"a", "b", "c"}, Digest: "sha256:1"}.by(func(name string) error {
		if name == "b" {
			return errors.New("it is held")
		}
		return nil
	})
	if err == nil || !slices.Equal(removed.Names, []string{"a"}) || removed.Digest != "" {
		t.Errorf("%v, %v", removed, err)
	}
}
