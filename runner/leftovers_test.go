package runner

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
)

// An engine that was killed leaves pipes with the keeper, of containers that are
// gone and of such that were never started, and directories of probes.
func TestWhatAKilledEngineLeftOfProcessesIsLetGo(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	made, runs := h.add(t, r, of(planner.Created, "no")), of(planner.Running, "no")
	runs.ID, runs.Name, runs.Number = strings.Repeat("1a", 32), "shop-web-2", 2
	lives := h.add(t, r, runs)
	h.procs.run(lives.id)
	pipe, _, err := os.Pipe()
	must(t, err)
	defer pipe.Close()
	for _, id := range []string{made.id, lives.id, "gone"} {
		must(t, h.ports.Keep(t.Context(), pipesPrefix+id, pipe))
	}
	must(t, h.ports.Keep(t.Context(), "dns/other", pipe))
	must(t, os.MkdirAll(filepath.Join(r.fifoDir(lives.id), "probe"), 0o700))
	r.Close()
	next := h.engine(t)
	must(t, next.adopt(next.ctx))
	next.sweep(next.ctx)
	kept, err := h.ports.Kept(t.Context())
	must(t, err)
	if want := []string{"dns/other", pipesPrefix + lives.id}; !slices.Equal(kept, want) {
		t.Errorf("the keeper holds %v, want %v", kept, want)
	}
	if _, err := os.Stat(filepath.Join(r.fifoDir(lives.id), "probe")); err == nil {
		t.Error("the pipes of a probe are left")
	}
	must(t, h.ports.Keep(t.Context(), pipesPrefix+made.id, pipe))
	c := next.lookup(made.id)
	must(t, c.remove(next.ctx, Grace{Set: true}, false))
	if kept, _ := h.ports.Kept(t.Context()); slices.Contains(kept, pipesPrefix+made.id) {
		t.Error("the keeper holds the pipes of a container that was removed")
	}
}
