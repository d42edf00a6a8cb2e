package privilege

import (
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestWhatARemoteStackAsksFor is told apart from what the user's own files do, key by key.
// Its own files are not the host's; those of the project are.
//
// Risk remote include: a remote stack mounts its own files, the project's and the host's; the user's file asks for more in the same service
// Held: each is listed with who wrote it; what it brought itself is not
func TestWhatARemoteStackAsksFor(t *testing.T) {
	theirs, own := spec.Place{File: "oci://r.test/app:1: compose.yaml", Line: 3}, spec.Place{File: "stack.yaml", Line: 3}
	p := &spec.Project{
		Remotes: []*spec.Remote{{Name: "oci://r.test/app:1", Dir: "/cache/d"}},
		Services: map[string]*spec.Service{"web": {Privileged: true, CapAdd: []string{"NET_ADMIN"}, Build: &spec.Build{Context: "/cache/d/web", Dockerfile: "Dockerfile"}, Volumes: []spec.Mount{
			{Type: spec.MountBind, Source: "/cache/d/conf"}, {Type: spec.MountBind, Source: "/p/src"}, {Type: spec.MountBind, Source: "/etc"}, {Type: spec.MountBind, Source: "/p/own"},
		}}},
		Places: spec.PlacesOf(map[string]spec.Place{
			"services.web": theirs, "services.web.privileged": theirs, "services.web.cap_add[0]": own, "services.web.volumes[0]": theirs, "services.web.volumes[1]": theirs,
			"services.web.volumes[2]": theirs, "services.web.volumes[3]": own,
		}),
	}
	got := map[string]string{}
	for _, r := range Of(p, "/p") {
		got[r.Path] = r.Remote
		if r.Path == "services.web.volumes[1]" && r.Text != "reads and writes a path of the project's directory, which is yours and not the remote stack's" {
			t.Errorf("of the project's directory is said that it %s", r.Text)
		}
	}
	want := map[string]string{
		"services.web.privileged": "oci://r.test/app:1", "services.web.cap_add[0]": "", "services.web.volumes[1]": "oci://r.test/app:1", "services.web.volumes[2]": "oci://r.test/app:1",
	}
	for path, remote := range want {
		if is, ok := got[path]; !ok || is != remote {
			t.Errorf("%s is of %q, %t; want %q", path, is, ok, remote)
		}
	}
	if len(got) != len(want) {
		t.Errorf("listed are %v", got)
	}
}

// TestARemoteStackHasItsOwnFilesAlone: those of another one are the host's to it; the user
// may name all.
//
// Risk remote include: a remote stack mounts and builds from what another was fetched to, by its absolute path
// Held: it is listed as a path of the host
func TestARemoteStackHasItsOwnFilesAlone(t *testing.T) {
	for by, want := range map[string]int{"oci://r.test/a:1: compose.yaml": 0, "oci://evil.test/b:1: compose.yaml": 3, "stack.yaml": 0} {
		p := &spec.Project{
			Remotes: []*spec.Remote{{Name: "oci://r.test/a:1", Dir: "/cache/a"}, {Name: "oci://evil.test/b:1", Dir: "/cache/b"}, {Name: "oci://r.test/a:2", Dir: "/cache/a"}},
			Services: map[string]*spec.Service{"web": {
				Volumes: []spec.Mount{{Type: spec.MountBind, Source: "/cache/a/conf", ReadOnly: true}},
				Build:   &spec.Build{Context: "/cache/a", Dockerfile: "Dockerfile", CacheFrom: []string{"type=local,src=/cache/a/x"}},
			}},
			Places: spec.PlacesOf(map[string]spec.Place{"services.web": {File: by, Line: 3}}),
		}
		if got := Of(p, "/p"); len(got) != want {
			t.Errorf("by %s: listed are %v", by, got)
		}
	}
}

// TestAPartOfAValueIsARemoteStacks: the user's file adds to what it says, and the whole
// stands where the user's file does.
func TestAPartOfAValueIsARemoteStacks(t *testing.T) {
	p := &spec.Project{
		Remotes: []*spec.Remote{{Name: "oci://r.test/app:1", Dir: "/cache/d"}},
		Volumes: map[string]*spec.Volume{"v": {DriverOpts: map[string]string{"type": "none", "o": "bind", "device": "/etc"}}},
		Places: spec.PlacesOf(map[string]spec.Place{
			"volumes.v.driver_opts": {File: "stack.yaml", Line: 1}, "volumes.v.driver_opts.o": {File: "stack.yaml", Line: 1},
			"volumes.v.driver_opts.device": {File: "oci://r.test/app:1: compose.yaml", Line: 1},
		}),
	}
	if got := Of(p, "/p"); len(got) != 1 || got[0].Remote != "oci://r.test/app:1" {
		t.Errorf("listed are %v", got)
	}
}
