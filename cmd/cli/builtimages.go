package cli

import (
	"fmt"
	"slices"

	"github.com/orlop/orlop/builder"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// sayBuiltImages says which images a build that was asked for has found built: no input of theirs has changed, so that the plan has nothing
// of them.
func (inv *Invocation) sayBuiltImages(p *Application, plan *planner.Plan) {
	if inv.IsSilent() || inv.QuietBuild {
		return
	}
	chosen, err := p.Project.Select(p.Options.Services, p.Options.NoDeps)
	if err != nil {
		return // which is told by now
	}
	var names []string
	for _, name := range Builders(p.Project, chosen) {
		isBuilt := func(step *planner.Step) bool {
			return step.Action == planner.Build && step.Name == p.Project.ImageName(name)
		}
		if p.Project.Buildable(name).PullPolicy != "always" && !slices.ContainsFunc(plan.Steps, isBuilt) {
			names = append(names, name)
		}
	}
	switch {
	case len(names) == 0:
	case inv.Progress == "plain": // which has the words of Compose, and the instructions
		inv.sayUnchanged(p, names)
	case !plan.IsEmpty() || !p.Options.BuildOnly: // else it is the verdict
		fmt.Fprintln(inv.Stderr, " "+display.Words{Of: names}.Sentence("", "is built already: no input changed"))
	}
}

// sayUnchanged shows the instructions of builds that need not run. BuildKit is not asked, so that it is not said to have them cached.
func (inv *Invocation) sayUnchanged(p *Application, names []string) {
	width := 0
	for _, name := range names {
		width = max(width, len(name))
	}
	for _, name := range names {
		for _, text := range builder.UnchangedInstructions(p.Project, name) {
			fmt.Fprintf(inv.Stderr, " · %-9s %-*s unchanged, not run: %s\n", "build", width, name, display.Printable(inv.Mask.Text(text)))
		}
		fmt.Fprintf(inv.Stderr, " Image %s Built\n", p.Project.ImageName(name))
	}
}
