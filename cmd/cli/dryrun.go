package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"

	controlapi "github.com/moby/buildkit/api/services/control"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// A dry run prints what a verb would do, and does nothing. What the engine plans it plans
// without carrying it out; every other call that changes something is refused below.

// foreseen are the calls of a dry run. Of Down, Lifecycle, Collect and Prune the request says
// that it is one; a session lends the caller's logins to those that ask a registry.
func foreseen() []string {
	return []string{
		api.Engine_Status_FullMethodName, api.Engine_Plan_FullMethodName, api.Engine_Observe_FullMethodName, api.Engine_Projects_FullMethodName,
		api.Engine_Watch_FullMethodName, api.Engine_Logs_FullMethodName, api.Engine_Images_FullMethodName, api.Engine_Volumes_FullMethodName,
		api.Engine_Networks_FullMethodName, api.Files_Sizes_FullMethodName, api.Volumes_Sizes_FullMethodName, api.Images_Prune_FullMethodName, controlapi.Control_DiskUsage_FullMethodName, api.Engine_Stats_FullMethodName, api.Containers_List_FullMethodName, api.Containers_Inspect_FullMethodName, api.Images_Describe_FullMethodName, api.Images_Removal_FullMethodName, api.History_Past_FullMethodName, api.Vault_Entries_FullMethodName,
		api.Vault_Content_FullMethodName, api.Registry_Resolve_FullMethodName, api.Signatures_Verify_FullMethodName, api.Signatures_Admit_FullMethodName, controlapi.Control_Session_FullMethodName, api.Files_Changes_FullMethodName, api.Engine_Down_FullMethodName, api.Engine_Lifecycle_FullMethodName, api.Engine_Collect_FullMethodName,
	}
}

// mayForesee refuses a call that a dry run must not make.
func (inv *Invocation) mayForesee(method string) error {
	if slices.Contains(foreseen(), method) {
		return nil
	}
	return fmt.Errorf("orlop %s has no dry run: nothing was done", inv.Verb)
}

// Foretell prints a plan that is not carried out; nothing says what an empty one means.
func (inv *Invocation) Foretell(p *planner.Plan, w display.Words) error {
	p = p.Masked(inv.Mask.Text)
	inv.LeaveOrphans(p)
	format := "text"
	if inv.Progress == "json" {
		format = "json"
	}
	if p.IsEmpty() && len(p.Orphans)+len(p.Warnings) == 0 && format == "text" {
		fmt.Fprintln(inv.Stdout, " "+w.Sentence(p.Project, w.Nothing))
	} else if err := display.WritePlan(inv.Stdout, p, format, inv.StyleOf(inv.Stdout)); err != nil {
		return err
	}
	inv.SayNotice("dry run: nothing was done")
	return nil
}

// Foresay prints lines that say what would be done: "+ volume data".
func (inv *Invocation) Foresay(lines ...string) {
	for _, line := range lines {
		fmt.Fprintln(inv.Stdout, " "+display.Printable(line))
	}
	inv.SayNotice("dry run: nothing was done")
}

// foresee is Show of what only says its plan.
func (inv *Invocation) foresee(ctx context.Context, stream ProgressStream, how Progress) (Outcome, error) {
	var o Outcome
	for o.Verdict == nil {
		m := receive(stream)
		if m.err != nil {
			return o, Cause(ctx, m.err)
		}
		if m.plan != nil {
			o.Plan = m.plan
		}
		o.Verdict = m.verdict
	}
	if o.Plan == nil {
		return o, errors.New(o.Verdict.Error)
	}
	return o, inv.Foretell(o.Plan, how.Words)
}

// foreseeApply is Apply of what is only planned.
func (inv *Invocation) foreseeApply(ctx context.Context, client *api.Client, p Application, how Progress) (Outcome, error) {
	plan, err := inv.Plan(ctx, client, p)
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Plan: plan, Verdict: &api.Verdict{Ok: true, UpToDate: plan.IsEmpty()}}, inv.Foretell(plan, how.Words)
}
