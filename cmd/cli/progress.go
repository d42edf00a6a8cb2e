package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/secret"
)

// ProgressStream is the stream of Apply, Down and Lifecycle.
type ProgressStream interface {
	Recv() (*api.Progress, error)
}

// message is what a progress says next. One field is set.
type message struct {
	notice  string
	plan    *planner.Plan
	event   *planner.Event
	verdict *api.Verdict
	err     error // the stream has ended before the verdict
}

// receive reads the next message of a stream. Nothing else knows how plans and
// events cross the socket.
func receive(stream ProgressStream) message {
	m, err := stream.Recv()
	if errors.Is(err, io.EOF) {
		err = api.ErrLost
	}
	if err != nil {
		return message{err: err}
	}
	switch of := m.Of.(type) {
	case *api.Progress_Plan:
		return message{plan: of.Plan.Planner()}
	case *api.Progress_Event:
		event := of.Event.Planner()
		return message{event: &event}
	case *api.Progress_Verdict:
		return message{verdict: of.Verdict}
	}
	return message{notice: m.GetNotice()}
}

// Progress says how a progress is shown.
type Progress struct {
	Words    display.Words
	Services int                       // that the verb is about
	Project  *spec.Project             // whose files failures are annotated in; may be nil
	Began    time.Time                 // zero: when the command did
	Mode     string                    // of the display; empty: the settings'
	Tracer   *display.Tracer           // nil: the invocation's
	Beside   []display.Display         // see it too
	Lend     func(*planner.Plan) error // connects what a plan's builds and pulls need; may be nil
	// Seen is what is to be said of the containers once all went well; it may be nil.
	Seen func() Sight
	// Interrupted tells of an interrupt, in place of one line.
	Interrupted func()
}

// unfinished says what was not reached when the user interrupted it.
func (p *Progress) unfinished(o *Outcome) string {
	if o.Plan == nil {
		return "nothing was changed"
	}
	return p.Words.Sentence(o.Plan.Project, p.Words.Failed)
}

// Outcome is how a progress ended.
type Outcome struct {
	Plan     *planner.Plan
	Verdict  *api.Verdict
	Warnings []string // of steps, each once
}

// IsEmpty says that nothing was changed.
func (o *Outcome) IsEmpty() bool { return o.Verdict.UpToDate || o.Plan.IsEmpty() }

// waitingMessages is how many messages wait for the display. What is more waits
// in the engine, which keeps the latest state of each step.
const waitingMessages = 64

// messages reads a stream ahead of what shows it, so that a terminal that
// stands keeps no build session from the engine. The channel ends with a
// verdict or an error.
func messages(stream ProgressStream, lend func(*planner.Plan) error) <-chan message {
	out := make(chan message, waitingMessages)
	go func() {
		for {
			m := receive(stream)
			if m.plan != nil && lend != nil {
				m.err = lend(m.plan)
			}
			out <- m
			if m.err != nil || m.verdict != nil {
				return
			}
		}
	}()
	return out
}

// Show feeds a display from a stream until the verdict. A verdict against us
// is an Exit whose reason stands on the screen already.
func (inv *Invocation) Show(ctx context.Context, stream ProgressStream, how Progress) (Outcome, error) {
	if inv.DryRun {
		return inv.foresee(ctx, stream, how)
	}
	d := inv.newDisplay(&how)
	var o Outcome
	for in := messages(stream, how.Lend); o.Verdict == nil; {
		m := <-in
		if !inv.isHushed(m.event) {
			o.take(m, d, inv.Mask)
		}
		inv.SayNotice(m.notice)
		if m.err != nil {
			d.Abort()
			err := Cause(ctx, m.err)
			switch {
			case !errors.Is(err, ErrInterrupted):
			case how.Interrupted != nil:
				how.Interrupted()
			case !inv.IsSilent():
				fmt.Fprintf(inv.Stderr, " interrupted: %s\n", how.unfinished(&o))
			}
			return o, err
		}
	}
	switch {
	case o.Plan == nil: // nothing could be planned: there is one reason and no tree
		d.Abort()
		if !o.Verdict.Ok {
			return o, errors.New(cmp.Or(o.Verdict.Error, "the engine refused without a reason"))
		}
		return o, nil
	case how.Words.Silent && o.Verdict.Ok && o.Plan.IsEmpty():
		d.Abort()
		return o, nil
	}
	began := how.Began
	if began.IsZero() {
		began = inv.Began
	}
	s := display.Summary{Words: how.Words, Verdict: o.Verdict, Took: inv.Now().Sub(began), Services: how.Services}
	if how.Seen != nil && o.Verdict.Ok {
		seen := how.Seen()
		s.Addresses, s.Ailing = seen.Addresses, seen.Ailing
	}
	d.Finish(s)
	if how.Mode != "quiet" {
		inv.SayWarnings(o.Warnings)
	}
	if !o.Verdict.Ok {
		return o, Exit{ExitFailure}
	}
	return o, nil
}

// isHushed says that an event tells how a build or a pull goes which nobody wants to hear of.
func (s *Settings) isHushed(e *planner.Event) bool {
	switch {
	case e == nil || e.Kind != planner.Progressed && e.Kind != planner.Started:
		return false
	case e.Action == planner.Pull:
		return s.QuietPull
	}
	return e.Action == planner.Build && e.Kind == planner.Progressed && s.QuietBuild
}

// take takes a message in. What it shows is masked here, before any display or
// record has seen it.
func (o *Outcome) take(m message, d display.Display, mask *secret.Mask) {
	switch {
	case m.plan != nil:
		o.Plan = m.plan
		d.Plan(m.plan.Masked(mask.Text))
	case m.event != nil:
		e := m.event.Masked(mask.Text)
		if e.Kind == planner.Warned && !slices.Contains(o.Warnings, e.Text) {
			o.Warnings = append(o.Warnings, e.Text)
		}
		d.Event(e)
	case m.verdict != nil:
		o.Verdict = m.verdict
		o.Verdict.Error = mask.Text(o.Verdict.Error)
	}
}

// StepError is the failure of a step, with the output that explains it.
type StepError struct {
	Text  string
	Lines []string
}

func (e *StepError) Error() string { return e.Text }

// Follow reads a progress to its verdict without a display. It says whether
// any step changed something; the failure of a step is a *StepError. planned
// and event may be nil.
func Follow(ctx context.Context, stream ProgressStream, planned func(*planner.Plan) error, event func(planner.Event)) (changed bool, err error) {
	var failed *planner.Event
	for {
		m := receive(stream)
		switch {
		case m.err != nil:
			return changed, Cause(ctx, m.err)
		case m.plan != nil && planned != nil:
			if err := planned(m.plan); err != nil {
				return false, err
			}
		case m.event != nil:
			changed = changed || m.event.Kind == planner.Done
			if m.event.Kind == planner.Failed && failed == nil {
				failed = m.event
			}
			if event != nil {
				event(*m.event)
			}
		case m.verdict != nil:
			return changed, verdictError(ctx, m.verdict, failed)
		}
	}
}

func verdictError(ctx context.Context, v *api.Verdict, failed *planner.Event) error {
	switch {
	case v.Ok:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case failed != nil:
		return &StepError{Text: failed.Text, Lines: failed.Lines}
	}
	return errors.New(cmp.Or(v.Error, "the engine gave no reason"))
}

// StopTimeout is a stop timeout as the protocol carries it: negative is unset.
func StopTimeout(seconds int) (ms int64, has bool) {
	if seconds < 0 {
		return 0, false
	}
	return int64(seconds) * int64(time.Second/time.Millisecond), true
}
