package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/planner"
)

// sayKeptImages says which images a pull has left as they are here, beside those that it has pulled.
func (inv *Invocation) sayKeptImages(p *Application, plan *planner.Plan) {
	if inv.IsSilent() || inv.QuietPull || plan.IsEmpty() {
		return
	}
	chosen, err := p.Project.Select(p.Options.Services, p.Options.NoDeps)
	if err != nil {
		return // which is told by now
	}
	said := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(chosen.Services)) {
		s := chosen.Services[name]
		isPulled := func(step *planner.Step) bool { return step.Action == planner.Pull && step.Name == s.Image }
		if s.Build != nil || s.Image == "" || said[s.Image] || slices.ContainsFunc(plan.Steps, isPulled) {
			continue
		}
		said[s.Image] = true
		fmt.Fprintf(inv.Stderr, " - %-9s %-17s is here already, and pull_policy is %s\n", "pull", s.Image, cmp.Or(p.Options.Pull, s.PullPolicy))
	}
}
