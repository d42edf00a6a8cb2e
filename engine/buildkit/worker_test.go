package buildkit

import (
	"reflect"
	"slices"
	"testing"

	"github.com/moby/buildkit/worker/base"
)

// What a worker is made of is known: one that BuildKit adds must be thought about, as its
// own way to a worker on containerd is not taken.
func TestTheWorkerHasAllThatBuildKitKnows(t *testing.T) {
	set := []string{
		"ID", "Root", "Labels", "Platforms", "NetworkProviders", "Executor", "Snapshotter", "ContentStore", "Applier", "Differ", "ImageStore",
		"RegistryHosts", "LeaseManager", "GarbageCollect", "MetadataStore", "MountPoolRoot", "ResourceMonitor",
	}
	unset := map[string]string{
		"GCPolicy":        "the engine's gc prunes",
		"BuildkitVersion": "of the program, which nameBuildKit says",
		"ProxyProvider":   "a proxy that steps would ask for, see workerOpt",
		"IdentityMapping": "builds have the users of the machine",
		"ParallelismSem":  "the plan bounds what runs at once",
		"CDIManager":      "steps get no devices",
	}
	for _, f := range reflect.VisibleFields(reflect.TypeFor[base.WorkerOpt]()) {
		_, isUnset := unset[f.Name]
		if slices.Contains(set, f.Name) == isUnset {
			t.Errorf("nobody has decided about %s", f.Name)
		}
	}
}
