package builder

import (
	"slices"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestTheImagesThatStagesStartFrom(t *testing.T) {
	version := "3"
	p := &spec.Project{Name: "shop", Services: map[string]*spec.Service{
		"base": {Name: "base", Build: &spec.Build{}},
		"web": {Name: "web", Build: &spec.Build{
			Args:               map[string]*string{"V": &version},
			AdditionalContexts: map[string]string{"common": "service:base", "pinned": "docker-image://debian:12"},
			DockerfileInline: "ARG V=2\nFROM node:$V AS deps\nFROM deps AS more\nFROM more AS most\nFROM Most\nFROM scratch\nFROM common\nFROM pinned\n" +
				"FROM ghcr.io/a/b@sha256:" + zeros + "\nCOPY --from=golang /x /x\n",
		}},
		"broken": {Name: "broken", Build: &spec.Build{DockerfileInline: "FROM"}},
	}}
	want := []string{
		"docker.io/library/node:3", "docker.io/library/shop-base:latest", "docker.io/library/debian:12", "ghcr.io/a/b@sha256:" + zeros,
	}
	if got := Parents(p, "web"); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if got := Parents(p, "broken"); got != nil {
		t.Errorf("a Dockerfile with a mistake starts from %q", got)
	}
}

const zeros = "0000000000000000000000000000000000000000000000000000000000000000"
