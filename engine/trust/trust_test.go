package trust

import (
	"strings"
	"testing"
)

func nowhere(keys ...string) string { return strings.Join(keys, "/") }

// TestTheLongestPatternDecides, by whole parts of a name: who registers a name that only begins alike gets no rule of
// another's.
func TestTheLongestPatternDecides(t *testing.T) {
	p := Policy{
		"*": {Require: Refuse}, "redis": {Require: Pinned}, "docker.io/*": {Require: Nothing},
		"registry.example/shop/*":      {Require: SignedBy, Keys: []string{"/key"}},
		"registry.example/shop/open/*": {Require: Nothing}, "localhost:5000/*": {Require: Nothing}, "registry.example/shop/open/not": {Require: Refuse},
	}
	if err := p.Check(nowhere); err != nil {
		t.Fatal(err)
	}
	p.Place(nowhere)
	for name, want := range map[string]string{
		"redis:7": "redis", "docker.io/library/redis@sha256:" + strings.Repeat("a", 64): "redis", "nginx": "docker.io/*", "docker.io/me/redis:1": "docker.io/*",
		"registry.example/shop/api:1": "registry.example/shop/*", "registry.example/shop": "*", "registry.example/shops/api": "*",
		"registry.example/shop/open/a:1": "registry.example/shop/open/*", "registry.example/shop/open/not:1": "registry.example/shop/open/not",
		"registry.example.org/shop/api": "*", "localhost:5000/a": "localhost:5000/*", "localhost:50001/a": "*",
	} {
		r, err := p.Of(name)
		if err != nil || r.Pattern != want || r.Place != "trust/"+want {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
	}
	if r, err := p.Of("not a name"); err == nil || r.Require != Refuse {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := (Policy{}).Of("redis"); err != nil || r.Require != Nothing {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestMistakesOfAPolicy(t *testing.T) {
	for _, c := range []struct {
		pattern string
		rule    Rule
		want    string
	}{
		{"a*", Rule{Require: Nothing}, `trust/a*: trust."a*": a "*" stands at the end alone, behind a "/": REGISTRY/* or REGISTRY/PATH/*`},
		{"a.b/*/c", Rule{Require: Nothing}, `trust/a.b/*/c: trust."a.b/*/c": a "*" stands at the end alone, behind a "/": REGISTRY/* or REGISTRY/PATH/*`},
		{"shop/*", Rule{Require: Nothing}, `trust/shop/*: trust."shop/*": it does not begin with a registry, such as docker.io/`},
		{"redis:7", Rule{Require: Nothing}, `trust/redis:7: trust."redis:7": it is the name of one image: rules are for repositories, which have no tag and no digest`},
		{"*", Rule{}, `trust/*: trust."*": require is missing: there are nothing, pinned, refuse, signed-by`},
		{"*", Rule{Require: "signed_by"}, `trust/*/require: trust."*".require: no such word as "signed_by": did you mean "signed-by"?`},
		{"*", Rule{Require: SignedBy}, `trust/*: trust."*": signed by whom? name keys: [FILE] or certificates: [FILE]`},
		{"*", Rule{Require: Pinned, Keys: []string{"/a"}}, `trust/*: trust."*": keys and certificates are those of require: signed-by, and this is require: pinned`},
		{"*", Rule{Require: SignedBy, Keys: []string{"/a", "b"}}, `trust/*/keys/1: trust."*".keys[1]: "b" is not the full path of a file`},
	} {
		err := Policy{c.pattern: c.rule}.Check(nowhere)
		if err == nil || err.Error() != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.pattern, err, c.want)
		}
	}
	err := Policy{"redis": {Require: Pinned}, "docker.io/library/redis": {Require: Nothing}}.Check(nowhere)
	if err == nil || !strings.Contains(err.Error(), "it means the same as") {
		t.Errorf("%v", err)
	}
}
