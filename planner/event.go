package planner

import (
	"context"
	"time"
)

// Outcome is how a step ended.
type Outcome string

// The outcomes and the phases of a step, as Event.Kind.
const (
	Started    Outcome = "started"
	Progressed Outcome = "progress"
	Warned     Outcome = "warning" // it goes on, and its text is something to know
	Done       Outcome = "done"
	Unchanged  Outcome = "unchanged" // nothing had to be done after all
	Failed     Outcome = "failed"
	Skipped    Outcome = "skipped" // something that it needs failed
	Cancelled  Outcome = "cancelled"
)

// Event is what happened to a step, when. It is the only thing that a display
// reads.
type Event struct {
	Time     time.Time     `json:"time"`
	Step     string        `json:"step,omitempty"`
	Action   Action        `json:"action,omitempty"`
	Resource string        `json:"resource,omitempty"`
	Service  string        `json:"service,omitempty"`
	Kind     Outcome       `json:"kind"`
	Took     time.Duration `json:"took,omitempty"`    // of a step that ended, in nanoseconds
	Text     string        `json:"text,omitempty"`    // what is being done, or the outcome, in a few words
	Lines    []string      `json:"lines,omitempty"`   // the output that explains a failure
	Current  int64         `json:"current,omitempty"` // of Total, in bytes
	Total    int64         `json:"total,omitempty"`
	Cause    string        `json:"cause,omitempty"` // of Skipped: the step that failed
	Part     *Part         `json:"part,omitempty"`  // of Progressed: a piece of the work that has ended
}

// Masked is the event with hide applied to all that may hold a value of the
// user's.
func (e Event) Masked(hide func(string) string) Event {
	e.Text, e.Lines = hide(e.Text), masked(e.Lines, hide)
	if e.Part != nil {
		part := *e.Part
		part.Name, part.Error = hide(part.Name), hide(part.Error)
		e.Part = &part
	}
	return e
}

// Part is a piece of a step's work, such as one instruction of a Dockerfile.
type Part struct {
	Name   string    `json:"name"`
	Began  time.Time `json:"began"`
	Ended  time.Time `json:"ended"`
	Cached bool      `json:"cached,omitempty"`
	Error  string    `json:"error,omitempty"`
}

// Executor carries out one step. It reports progress through note, which may be
// called from any goroutine until Execute returns. A result of Unchanged says
// that nothing had to be done; "" stands for Done.
type Executor interface {
	Execute(ctx context.Context, step *Step, note func(Event)) (Result, error)
}

// Result is what an executor says of a step that succeeded.
type Result struct {
	Outcome Outcome
	Text    string
}

// StepError is a step that failed, with its cause.
type StepError struct {
	Step *Step
	Err  error
}

func (e *StepError) Error() string { return e.Step.Resource + ": " + e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }
