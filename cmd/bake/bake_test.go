package bake

import (
	"encoding/json"
	"testing"

	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/spec"
)

// TestABakeFile holds what Compose's build --print prints of the same stack.
func TestABakeFile(t *testing.T) {
	text := func(s string) *string { return &s }
	p := &spec.Project{
		Name: "shop", Secrets: map[string]*spec.Secret{"token": {Environment: "TOKEN"}, "key": {File: "/src/key"}},
		Services: map[string]*spec.Service{
			"a.b": {Build: &spec.Build{Context: "/src", Dockerfile: "Dockerfile.ab", Args: map[string]*string{"X": text("${Y}"), "Z": nil}, Platforms: []string{"linux/amd64", "linux/arm64"}}},
			"a_b": {Image: "ab:1", Build: &spec.Build{
				Context: "https://example.com/ab.git", Dockerfile: "D", AdditionalContexts: map[string]string{"base": "service:a.b"}, Tags: []string{"ab:latest"},
				Secrets: []spec.FileMount{{Source: "token", Target: "t"}, {Source: "key"}}, Provenance: "mode=max", ExtraHosts: []string{"h=1.1.1.1", "h=::1"},
				Ulimits: map[string]*spec.Ulimit{"nofile": {Soft: 1, Hard: 2}, "nproc": {Single: 3}},
			}},
			"db": {Image: "db"},
		},
	}
	chosen := &spec.Project{Services: map[string]*spec.Service{"a_b": p.Services["a_b"]}}
	o := cli.BuildOptions{Pull: true, Args: map[string]*string{"X": text("given")}, Over: builder.Over{SBOM: "true", SSH: map[string]*string{"default": nil}}}
	got, err := json.Marshal(fileOf(p, chosen, o))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"group":{"default":{"targets":["a_b_"]}},"target":{` +
		`"a_b":{"context":"/src","dockerfile":"/src/Dockerfile.ab","args":{"X":"given"},"tags":["shop-a.b"],"ssh":["default="],"platforms":["linux/amd64","linux/arm64"],"pull":true,` +
		`"output":["type=image,push=false"],"attest":["type=sbom"]},` +
		`"a_b_":{"context":"https://example.com/ab.git","contexts":{"base":"target:a_b"},"dockerfile":"D","args":{"X":"given"},"tags":["ab:latest","ab:1"],` +
		`"secret":["id=t,type=env,env=TOKEN","id=key,type=file,src=/src/key"],"ssh":["default="],"pull":true,"ulimits":["nofile=1:2","nproc=3"],` +
		`"extra-hosts":{"h":"1.1.1.1,::1"},"output":["type=docker"],"attest":["type=provenance,mode=max","type=sbom"]}}}`
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
