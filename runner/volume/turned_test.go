package volume

import (
	"maps"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// TestTurned: what a source is now, by what it was when the container was made. One that is
// gone is made as a directory, so only where it was one.
func TestTurned(t *testing.T) {
	dir := rootfs(t, map[string]string{"file": "x", "dir/file": "x"})
	for now, turned := range map[string]map[string]string{
		"file": {"directory": planner.SourceFile},
		"dir":  {"file": planner.SourceDirectory},
		"gone": {"directory": planner.SourceGone},
	} {
		for _, before := range []string{"", planner.SourceFile, planner.SourceDirectory, planner.SourceGone} {
			a := &planner.Applied{Service: &spec.Service{Volumes: []spec.Mount{{Type: spec.MountBind, Source: dir + "/" + now, Target: "/x"}}}}
			was := map[string]string{"/x": before}
			if before == "" { // a container of an engine that noted none
				was = nil
			}
			want := map[string]string{}
			if turned[before] != "" {
				want["/x"] = turned[before]
			}
			if before == planner.SourceGone && now != "gone" {
				continue // no container is made of what is gone
			}
			if got := Turned(a, was, nil); !maps.Equal(got, want) {
				t.Errorf("it was %q, and is %s: %v, want %v", before, now, got, want)
			}
			if got := Turned(a, was, []string{"/x"}); len(got) > 0 {
				t.Errorf("what was left out has turned: %v", got)
			}
		}
	}
}
