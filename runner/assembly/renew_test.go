package assembly

import (
	"strings"
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/spec"
)

// TestOwnersThatCannotBeMappedAreTold: without the container's user namespace its files would
// be nobody's, and no one would know why.
func TestOwnersThatCannotBeMappedAreTold(t *testing.T) {
	dir := t.TempDir()
	s := &spec.Service{UsernsMode: (&spec.IDMap{UID: 100000, GID: 100000, Size: 65536}).String(), Volumes: []spec.Mount{{Type: spec.MountBind, Source: dir, Target: "/files"}}}
	score := 0
	doc := &specs.Spec{Process: &specs.Process{OOMScoreAdj: &score}, Linux: &specs.Linux{}, Mounts: []specs.Mount{{Destination: "/files", Type: "bind", Source: dir, Options: []string{"rbind", "ridmap"}}}}
	rec := &supervisor.Record{Metadata: supervisor.Metadata{Service: "web", Netns: "/nosuch/netns", Applied: &planner.Applied{Service: s}}}
	if _, err := (&Maker{}).Renew(doc, rec); err == nil || !strings.Contains(err.Error(), "user namespace can't be opened") {
		t.Errorf("it was told %v", err)
	}
	s.Volumes[0].Source = "/nosuch/source" // that it is gone is for the start to tell
	if _, err := (&Maker{}).Renew(doc, rec); err != nil {
		t.Errorf("of one that is gone: %v", err)
	}
}
