package builder

import (
	"maps"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// aBuild has something in each of its fields.
func aBuild(t *testing.T, dir string) *spec.Build {
	t.Helper()
	one, key := "1", dir+"/key"
	if err := os.WriteFile(key, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return &spec.Build{
		Context: dir, Dockerfile: "Dockerfile.other", DockerfileInline: "FROM b", Target: "t",
		Args: map[string]*string{"A": &one}, Labels: map[string]string{"l": "1"}, AdditionalContexts: map[string]string{"c": "docker-image://c"},
		Secrets: []spec.FileMount{{Source: "s"}}, SSH: map[string]*string{"id": &key},
		CacheFrom: []string{"type=local,src=a"}, CacheTo: []string{"type=local,dest=a"}, NoCache: true, NoCacheFilter: []string{"a"}, Pull: true,
		Entitlements: []string{spec.EntitledNetwork}, Privileged: true, ExtraHosts: []string{"h=10.0.0.1"}, Network: "none",
		ShmSize: 1, Ulimits: map[string]*spec.Ulimit{"nofile": {Single: 5}}, Tags: []string{"t"},
		Provenance: "true", Platforms: []string{"linux/arm64"}, SBOM: "true",
	}
}

// TestEveryKeyIsInTheFingerprint: a key that is not would change nothing until
// something else does. Those that say how often a build is run make no other image.
func TestEveryKeyIsInTheFingerprint(t *testing.T) {
	dir := tree(t, map[string]string{"Dockerfile": "FROM a", "Dockerfile.other": "FROM b"})
	whole := reflect.ValueOf(*aBuild(t, dir))
	plain := fingerprint(t, &spec.Build{Context: dir}, Options{})
	for i := range whole.NumField() {
		name := whole.Type().Field(i).Name
		if whole.Field(i).IsZero() {
			t.Errorf("%s is not in this test", name)
		}
		b := spec.Build{Context: dir}
		reflect.ValueOf(&b).Elem().Field(i).Set(whole.Field(i))
		isSame := fingerprint(t, &b, Options{}).Sum == plain.Sum
		if want := name == "Context" || name == "NoCache" || name == "Pull"; isSame != want {
			t.Errorf("%s: the fingerprint is the same: %v, want %v", name, isSame, want)
		}
	}
}

// TestWhatStepsRunWith: what a build doesn't say is not sent (TestAttributes).
func TestWhatStepsRunWith(t *testing.T) {
	for name, c := range map[string]struct {
		build spec.Build
		want  map[string]string
	}{
		"a network":       {spec.Build{Network: "none"}, map[string]string{"force-network-mode": "none"}},
		"the default one": {spec.Build{Network: "default"}, nil},
		"a stage anew":    {spec.Build{NoCacheFilter: []string{"a", "b"}}, map[string]string{"no-cache": "a,b"}},
		"all anew":        {spec.Build{NoCacheFilter: []string{"a"}, NoCache: true}, map[string]string{"no-cache": ""}},
		"limits": {spec.Build{ShmSize: 4096, Ulimits: map[string]*spec.Ulimit{"nproc": {Single: 7}, "nofile": {Soft: 1, Hard: 2}, "core": {}, "memlock": {Single: -1}}},
			map[string]string{"shm-size": "4096", "ulimit": "core=0:0,memlock=-1:-1,nofile=1:2,nproc=7:7"}},
		"attestations":                {spec.Build{Provenance: "mode=max", SBOM: "true"}, map[string]string{"attest:provenance": "mode=max", "attest:sbom": ""}},
		"no attestation":              {spec.Build{Provenance: "false", SBOM: "0"}, nil},
		"hosts":                       {spec.Build{ExtraHosts: []string{"a=10.0.0.1", "a=fd00::1", "me=host-gateway"}}, map[string]string{"add-hosts": "a=10.0.0.1,a=fd00::1,me=" + spec.GatewayStandIn}},
		"the host on its own network": {spec.Build{Network: "host", ExtraHosts: []string{"me=host-gateway"}}, map[string]string{"add-hosts": "me=127.0.0.1", "force-network-mode": "host"}},
	} {
		got := map[string]string{}
		stepAttributes(got, Request{Build: &c.build})
		if want := c.want; !maps.Equal(got, want) {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}

func TestAnImageHasItsTagsToo(t *testing.T) {
	req := Request{Tag: "docker.io/library/p-web:latest", Build: &spec.Build{Tags: []string{"p-web", "other:1", "r.example/a", "other:1"}}}
	if got := strings.Join(names(req), " "); got != "docker.io/library/p-web:latest docker.io/library/other:1 r.example/a:latest" {
		t.Error(got)
	}
}
