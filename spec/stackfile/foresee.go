package stackfile

import (
	"maps"
	"slices"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/published"
)

// foresee warns of what the plan of an up refuses: the file is as Compose accepts it.
func (l *loader) foresee(p *spec.Project) {
	if !l.opts.Foresee {
		return
	}
	for _, e := range published.Twice(p, slices.Sorted(maps.Keys(p.Services))) {
		l.Report(spec.Diagnostic{Severity: spec.Warning, Path: e.Path, Place: e.Place, Message: e.Text()})
	}
}
