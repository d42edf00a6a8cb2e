package settings

import (
	"strings"
	"testing"
)

// TestMistakesAreAllToldWithTheirPlaces: and with no word of Go.
func TestMistakesAreAllToldWithTheirPlaces(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"policy: {", ":1: not valid YAML: did not find expected node content"},
		{"policy:\n  forbd: [privileged]\n", `:2:3: policy: unknown key "forbd": did you mean "forbid"?`},
		{"policy:\n  forbid: 7\n", `:2:11: policy.forbid: expected a list, not "7"`},
		{"polisy: {}\n", `:1:1: unknown key "polisy": did you mean "policy"?`},
		{"zz: 1\n", `:1:1: unknown key "zz": there are registries, address_pools, published_ports, security, policy, default_runtime, runtimes, gc, userns_remap, trust`},
		{"gc: {images: {unused_for: 3 days, keep: -1}, cache: {keep: much}}\n", `:1:27: gc.images.unused_for: "3 days" is not a duration: write one such as 720h` + "\nPATH:1:41: " + `gc.images.keep: "-1" is not a size: write one such as 40gb` + "\nPATH:1:60: " + `gc.cache.keep: "much" is not a size: write one such as 40gb`},
		{"address_pools:\n  a: b\n", ":2:3: address_pools: expected a list, not a mapping"},
		{"address_pools:\n  - 10.0.0.0/8\n  - 10.99.0.0\n", `:3:5: address_pools[1]: "10.99.0.0" is not a range of addresses: write one such as 10.89.0.0/16`},
		{"address_pools: [[a]]\n", ":1:17: address_pools[0]: expected a text, not a list"},
		{"registries:\n  a: b\n", `:2:6: registries.a: expected a mapping, not "b"`},
		{"registries: [a]\n", ":1:13: registries: expected a mapping, not a list"},
		{"registries:\n  a: {http: maybe}\n", `:2:13: registries.a.http: expected true or false, not "maybe"`},
		{"security: [hardened]\n", ":1:11: security: expected a text, not a list"},
		{"published_ports: kernal\n", `:1:18: published_ports: no such word as "kernal": did you mean "kernel"?`},
		{"default_runtime: crun\n", `:1:18: default_runtime: no such word as "crun": there are orlop, runc`},
		{"security: harden\n", `:1:11: security: no such word as "harden": did you mean "hardened"?`},
		{"policy: {forbid: [privileged, host_mounts]}\n", `:1:31: policy.forbid[1]: no such word as "host_mounts": did you mean "host_mount"?`},
		{"runtimes: {crun: {path: crun}}\n", `:1:25: runtimes.crun.path: "crun" is not the full path of a program`},
		{"runtimes: {crun: {pat: crun}}\n", `:1:19: runtimes.crun: unknown key "pat": did you mean "path"?`},
		{"userns_remap: [a]\n", ":1:15: userns_remap: expected a text, not a list"},
		{"userns_remap: 1:2\n", ":1:15: userns_remap: a container needs 65536 users, and 1:2 are 2: write FIRST:SIZE, such as 100000:65536"},
		{"trust: {redis: {require: sined-by}}\n", `:1:26: trust."redis".require: no such word as "sined-by": did you mean "signed-by"?`},
		{"trust:\n  \"*\": {require: signed-by}\n  a/*: {requir: nothing}\n", `:3:9: trust.a/*: unknown key "requir": did you mean "require"?` + "\n" + `PATH:2:8: trust."*": signed by whom? name keys: [FILE] or certificates: [FILE]` + "\n" + `PATH:3:8: trust."a/*": it does not begin with a registry, such as docker.io/` + "\n" + `PATH:3:8: trust."a/*": require is missing: there are nothing, pinned, refuse, signed-by`},
		{"- a\n", ":1:1: expected a mapping, not a list"},
		{"security: default\nsecurity: hardened\n", `:2:1: key "security" is given twice`},
		{"registries:\n  a: {htp: true}\n  b: {insecure: 3}\n", `:2:7: registries.a: unknown key "htp": did you mean "http"?` + "\n" + `PATH:3:17: registries.b.insecure: expected true or false, not "3"`},
		{"polcy: {}\nsecurity: hard\n", `:1:1: unknown key "polcy": did you mean "policy"?` + "\n" + `PATH:2:11: security: no such word as "hard": there are default, hardened`},
		{"security: no\naddress_pools: [x]\n", `:2:17: address_pools[0]: "x" is not a range of addresses: write one such as 10.89.0.0/16` + "\n" + `PATH:1:11: security: no such word as "no": there are default, hardened`},
	} {
		root := settingsFile(t, c.text)
		_, err := Load(root)
		want := Path(root) + strings.ReplaceAll(c.want, "PATH", Path(root))
		if err == nil || err.Error() != want {
			t.Errorf("%q\n got %v\nwant %s", c.text, err, want)
		}
	}
}

func TestSettingsMayNameThingsTwice(t *testing.T) {
	s, err := Load(settingsFile(t, "registries:\n  a: &same {http: true}\n  b: *same\nuserns_remap:\n"))
	if err != nil || !s.Registries["b"].HTTP {
		t.Errorf("%+v, %v", s, err)
	}
}
