package up

import (
	"context"
	"errors"
	"fmt"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// waiting is a display that knows what has not ended yet.
type waiting struct{ board *display.Board }

func (w *waiting) Plan(p *planner.Plan)   { w.board.SetPlan(p) }
func (w *waiting) Event(e planner.Event)  { w.board.Apply(e) }
func (w *waiting) Finish(display.Summary) {}
func (w *waiting) Abort()                 {}

// sayWaiting tells whom an up has waited for in vain, and how they stood.
func (u *run) sayWaiting(ctx context.Context, w *waiting) {
	if _, isLate := errors.AsType[*cli.NotReady](context.Cause(ctx)); !isLate {
		return
	}
	for _, line := range w.board.Unfinished(u.Now()) {
		fmt.Fprintln(u.Stderr, line)
	}
}
