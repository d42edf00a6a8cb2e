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

// TestARuleIsForARepositoryNotForASpelling: see the risk.
//
// Risk supply chain: the image of a registry that a rule is for is named by another spelling of it
// Held: the rule is for it all the same
func TestARuleIsForARepositoryNotForASpelling(t *testing.T) {
	refuse := Rule{Require: Refuse}
	for _, c := range []struct {
		pattern string
		names   []string
	}{
		{"registry.example/*", []string{"registry.example/a", "Registry.example/shop/api:1", "registry.example:443/shop/api:1", "REGISTRY.EXAMPLE:0443/a", "registry.example:80/a"}},
		{"Registry.example/*", []string{"registry.example/a"}}, {"registry.example:443/*", []string{"registry.example/a"}},
		{"registry.example:443/shop/*", []string{"registry.example/shop/a"}}, {"registry.example:5000/*", []string{"Registry.example:05000/a"}},
		{"docker.io/*", []string{"redis:7", "registry-1.docker.io/library/redis:7", "index.docker.io/me/a", "Docker.io/me/a", "registry.hub.docker.com/me/a", "registry-1.docker.io:443/me/a"}},
		{"index.docker.io/*", []string{"redis", "docker.io/me/a"}}, {"docker.io/library/*", []string{"redis", "registry-1.docker.io/redis"}},
		{"registry-1.docker.io/me/*", []string{"me/a"}}, {"redis", []string{"Index.docker.io/redis:7", "registry-1.docker.io/library/redis"}},
		{"REGISTRY/*", []string{"REGISTRY/a", "Registry:443/a"}},
		{"[::1]:5000/*", []string{"[0:0:0:0:0:0:0:1]:5000/a"}}, {"[::1]/*", []string{"[::1]:443/a"}}, {"127.0.0.1/*", []string{"[::ffff:7f00:1]/a"}},
	} {
		p := Policy{c.pattern: refuse}
		if err := p.Check(nowhere); err != nil {
			t.Errorf("%s: %v", c.pattern, err)
		}
		for _, name := range c.names {
			if r, err := p.Of(name); err != nil || r.Require != Refuse {
				t.Errorf("%s of %s: %+v, %v", c.pattern, name, r, err)
			}
		}
	}
	for pattern, name := range map[string]string{"registry.example:5000/*": "registry.example/a", "docker.io/me/*": "docker.io/library/me", "registry.example/*": "registry.example.org/a"} {
		if r, err := (Policy{pattern: refuse}).Of(name); err != nil || r.Require != Nothing {
			t.Errorf("%s of %s: %+v, %v", pattern, name, r, err)
		}
	}
	for _, pattern := range []string{"bad host.x/*", "host.example:x/*", "host.example/Shop/*", "host.example//*", "/*"} {
		if err := (Policy{pattern: refuse}).Check(nowhere); err == nil {
			t.Errorf("%s is accepted, and never matches", pattern)
		}
	}
	if err := (Policy{"index.docker.io/*": refuse, "docker.io/*": refuse}).Check(nowhere); err == nil || !strings.Contains(err.Error(), "it means the same as") {
		t.Errorf("%v", err)
	}
}
