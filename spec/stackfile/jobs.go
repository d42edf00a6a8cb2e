package stackfile

import (
	"fmt"
	"slices"

	"github.com/orlop/orlop/spec"
)

// jobs checks what jobs have to do with services.
func (v *validator) jobs() {
	jobs := v.tree.value("jobs")
	if jobs == nil || jobs.kind != mapNode {
		return
	}
	for _, f := range jobs.fields {
		at, path := &node{at: f.at, width: f.width}, "jobs."+f.key
		if v.find(f.key) != nil {
			v.l.fail(at, path, fmt.Sprintf("%q is the name of a service too", f.key), "names of services and jobs are unique")
		}
		if f.value.kind == mapNode && f.value.value("triggers") == nil {
			v.l.fail(at, path, "triggers is missing", "write triggers: and manual: or schedule:")
		}
		deps := f.value.value("depends_on")
		if deps == nil {
			continue
		}
		for _, d := range withoutBad(deps.fields) {
			if v.find(d.key) == nil && jobs.value(d.key) == nil && !v.incomplete {
				v.l.fail(&node{at: d.at, width: d.width}, path+".depends_on", fmt.Sprintf("no service or job named %q", d.key),
					spec.DidYouMean(d.key, slices.Concat(fieldNames(v.services), fieldNames(jobs))))
			}
		}
	}
}
