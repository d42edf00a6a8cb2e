package engine

import (
	"encoding/json"
	"slices"

	"github.com/orlop/orlop/planner"
)

// bucketWarned keeps what plans that failed have warned of: what a step has changed since
// may have taken the warning away, and not what it warned of.
const bucketWarned = "warned" // project -> JSON list

// lastTry is said before what the plan before has warned of.
const lastTry = "of the last try: "

// remind adds to a plan of the whole stack what the one before, which failed, has warned of and this one
// does not. It is masked, as it is kept.
func (e *Engine) remind(plan *planner.Plan) {
	var before []string
	if json.Unmarshal(e.store.Get(bucketWarned, plan.Project), &before) != nil {
		return
	}
	for _, w := range before {
		if !slices.Contains(plan.Warnings, w) {
			plan.Warnings = append(plan.Warnings, lastTry+w)
		}
	}
}

// keepWarned notes what a plan of the whole stack has warned of, if it failed, with the project's secrets
// hidden: it reaches the disk. warned are the plan's own.
func (e *Engine) keepWarned(project string, warned []string, failed bool, hide func(string) string) {
	if !failed {
		e.store.Delete(bucketWarned, project)
		return
	}
	var before []string
	_ = json.Unmarshal(e.store.Get(bucketWarned, project), &before) // a damaged one says nothing
	for _, w := range warned {
		if w = hide(w); !slices.Contains(before, w) {
			before = append(before, w)
		}
	}
	if doc, err := json.Marshal(before); err == nil && len(before) > 0 {
		e.store.Save(bucketWarned, project, doc)
	}
}
