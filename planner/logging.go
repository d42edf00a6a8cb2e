package planner

import (
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// diffOf is diff, but for what depends on how a container's lines are logged: options
// without effect change nothing, and a label that goes along with each line, or that a
// secret or config may speak of, does not change in place.
func diffOf(service string, old, want *Applied, machine string, places spec.Places) change {
	ch := diff(service, loggedPlainly(old), loggedPlainly(want), machine, places)
	var update []Reason
	for _, r := range ch.update {
		name, isLabel := strings.CutPrefix(r.Path, "services."+service+".labels.")
		if isLabel && (want.Service.Logging.SpeaksOfLabel(name) || len(want.Templates) > 0) {
			ch.replace = append(ch.replace, r)
		} else {
			update = append(update, r)
		}
	}
	ch.update = slices.Clip(update)
	return ch
}

// loggedPlainly is what a container is made from, without options of its logging that
// have no effect.
func loggedPlainly(a *Applied) *Applied {
	if a == nil || a.Service == nil || a.Service.Logging == nil {
		return a
	}
	made, s := *a, *a.Service
	s.Logging = s.Logging.Effective()
	made.Service = &s
	return &made
}
