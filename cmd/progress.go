package cmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec/secret"
)

// progressStream is the stream of Apply, Down and Lifecycle.
type progressStream interface {
	Recv() (*api.Progress, error)
}

// outcome is how a progress ended.
type outcome struct {
	plan     *planner.Plan
	verdict  *api.Verdict
	warnings []string // of steps, each once
}

// show feeds a display from a stream until the verdict. A verdict against us
// is an exit whose reason stands on the screen already. addresses is asked
// once something was changed; it may be nil.
func (a *app) show(ctx context.Context, stream progressStream, w words, services int, addresses func() []string) (outcome, error) {
	d := a.watchedDisplay(w, services)
	var o outcome
	for o.verdict == nil {
		m, err := stream.Recv()
		if err == nil {
			a.sayNotice(m.GetNotice())
			o.take(m, d, a.mask)
		}
		if err == nil && m.GetPlan() != nil && a.lend != nil {
			err = a.lend(o.plan)
		}
		if err != nil {
			d.abort()
			if errors.Is(err, io.EOF) {
				err = api.ErrLost
			}
			return o, cause(ctx, err)
		}
	}
	if o.plan == nil {
		// Nothing could be planned: there is one reason and no tree.
		d.abort()
		if o.verdict.Ok {
			return o, nil
		}
		return o, errors.New(or(o.verdict.Error, "the engine refused without a reason"))
	}
	s := summary{words: w, verdict: o.verdict, took: a.world.Now().Sub(a.began), services: services}
	if addresses != nil && o.verdict.Ok && !o.verdict.UpToDate && !o.plan.IsEmpty() {
		s.addresses = addresses()
	}
	if w.silent && o.verdict.Ok && o.plan.IsEmpty() {
		d.abort()
		return o, nil
	}
	d.finish(s)
	a.sayWarnings(o.warnings)
	if !o.verdict.Ok {
		return o, exit{ExitFailure}
	}
	return o, nil
}

// sayNotice tells whom the command waits for, or whose work it ends.
func (a *app) sayNotice(text string) {
	if text != "" && (a.progress != "quiet" || a.hushed) && a.progress != "json" {
		fmt.Fprintln(a.world.Stderr, " "+a.errStyle().dim(text))
	}
}

// sayWarnings tells what steps had to warn of.
func (a *app) sayWarnings(warnings []string) {
	if a.progress == "quiet" || a.progress == "json" {
		return
	}
	for _, w := range warnings {
		fmt.Fprintln(a.world.Stderr, a.errStyle().yellow(" ! "+printable(w)))
	}
}

// watchedDisplay is the display on the screen, folded and annotated where a CI
// system reads it, and those that look on.
func (a *app) watchedDisplay(w words, services int) display {
	d := a.newDisplay(w, services)
	flow := a.newWorkflow()
	if w.fold != "" {
		d = &folded{d, flow, w.fold}
	}
	all := displays{d}
	if a.loaded != nil && flow.github {
		all = append(all, &annotator{a.loaded, flow})
	}
	return append(all, a.lookers...)
}

// take takes a message in. What it shows is masked here, before any display or
// record has seen it.
func (o *outcome) take(m *api.Progress, d display, mask *secret.Mask) {
	switch of := m.Of.(type) {
	case *api.Progress_Plan:
		o.plan = of.Plan.Planner()
		d.plan(o.plan.Masked(mask.Text))
	case *api.Progress_Event:
		e := of.Event.Planner().Masked(mask.Text)
		if e.Kind == planner.Warned && !slices.Contains(o.warnings, e.Text) {
			o.warnings = append(o.warnings, e.Text)
		}
		d.event(e)
	case *api.Progress_Verdict:
		o.verdict = of.Verdict
		o.verdict.Error = mask.Text(o.verdict.Error)
	}
}

// timeout is a stop timeout as the protocol carries it: negative is unset.
func timeout(secondsFlag int) (ms int64, has bool) {
	if secondsFlag < 0 {
		return 0, false
	}
	return int64(secondsFlag) * int64(time.Second/time.Millisecond), true
}
