package planner

import (
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// diffOf is diff, but that a label which goes along with each line of the log, or that a
// secret or config may speak of, does not change in place.
func diffOf(service string, old, want *Applied, machine string, places spec.Places) change {
	ch := diff(service, old, want, machine, places)
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
