package stackfile

import (
	"fmt"
	"slices"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
)

// jobs checks what jobs have to do with services.
func (v *validator) jobs() {
	jobs := v.root.Value("jobs")
	if jobs == nil || jobs.Kind != tree.MapNode {
		return
	}
	for _, f := range jobs.Fields {
		at, path := &tree.Node{At: f.At, Width: f.Width}, "jobs."+f.Key
		if v.find(f.Key) != nil {
			v.l.Fail(at, path, fmt.Sprintf("%q is the name of a service too", f.Key), "names of services and jobs are unique")
		}
		if f.Value.Kind == tree.MapNode && f.Value.Value("triggers") == nil {
			v.l.Fail(at, path, "triggers is missing", "write triggers: and manual: or schedule:")
		}
		deps := f.Value.Value("depends_on")
		if deps == nil {
			continue
		}
		for _, d := range withoutBad(deps.Fields) {
			if v.find(d.Key) == nil && jobs.Value(d.Key) == nil && !v.incomplete {
				v.l.Fail(&tree.Node{At: d.At, Width: d.Width}, path+".depends_on", fmt.Sprintf("no service or job named %q", d.Key),
					spec.DidYouMean(d.Key, slices.Concat(fieldNames(v.services), fieldNames(jobs))))
			}
		}
	}
}
