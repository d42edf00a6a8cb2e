package watch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Reload reads the stack again; mistakes are shown with their places.
func (c *executor) Reload(ctx context.Context) (*spec.Project, []string, error) {
	p, files, err := c.source.Load(ctx, c.Invocation)
	if len(files) == 0 {
		files = c.current().Files
	}
	var shown cli.Exit
	if err != nil && !errors.As(err, &shown) && ctx.Err() == nil {
		fmt.Fprintln(c.Stderr, c.ErrStyle().Red(err.Error()))
	}
	if err == nil && p.Name != c.current().Name {
		err = fmt.Errorf("the project is called %s now and was %s: restart the watch", p.Name, c.current().Name)
		fmt.Fprintln(c.Stderr, c.ErrStyle().Red(err.Error()))
	}
	return p, files, err
}

// Apply brings the stack to a project that was loaded anew: the plan is
// shown, and carried out after a yes if that is asked for.
func (c *executor) Apply(ctx context.Context, p *spec.Project) error {
	mode := c.Progress
	if mode == "auto" || mode == "tty" {
		mode = "plain"
	}
	opts := planner.Options{Services: c.source.Services}
	gone := goneServices(c.current(), p)
	if mode == "plain" || c.ask {
		some, err := c.showPlan(ctx, p, opts, gone)
		if err != nil {
			return err
		}
		if some && c.ask && !c.agrees(ctx, "Apply this?") {
			return loop.ErrDeclined
		}
	}
	if len(gone) > 0 {
		if err := c.lifecycle(ctx, planner.Stop, nil, gone...); err != nil {
			return err
		}
		if err := c.lifecycle(ctx, planner.Remove, nil, gone...); err != nil {
			return err
		}
	}
	c.mu.Lock()
	c.project = p // what is gone from it is removed: the next edit is not told of it again
	c.mu.Unlock()
	err := applyProject(ctx, c.Invocation, c.client, p, opts, cli.Progress{
		Words: display.Words{Done: "is up", Nothing: "is up to date", Failed: "is not up", Silent: true}, Mode: mode, Began: c.Now(),
	})
	var shown cli.Exit
	if errors.As(err, &shown) {
		return errors.New("see above; the next edit retries")
	}
	return err
}

// agrees asks a question that is no loss to say no to.
func (c *executor) agrees(ctx context.Context, question string) bool {
	if c.confirm != nil {
		return c.confirm(ctx, question)
	}
	yes, err := c.Confirm(ctx, question)
	return err == nil && yes
}

// showPlan prints what an edit of the stack's files would change, and says
// whether that is anything.
func (c *executor) showPlan(ctx context.Context, p *spec.Project, opts planner.Options, gone []string) (some bool, err error) {
	plan, err := c.Plan(ctx, c.client, cli.Application{Project: p, Options: opts, Timeout: -1})
	if err != nil {
		return false, err
	}
	for _, name := range gone {
		fmt.Fprintf(c.Stderr, " %s %s   no longer in the stack file\n", c.ErrStyle().Red("-"), name)
	}
	if !plan.IsEmpty() {
		plan.Orphans = nil // said above, or left alone since the beginning
		if err := display.WritePlan(c.Stderr, plan, "text", c.ErrStyle()); err != nil {
			return false, err
		}
	}
	return !plan.IsEmpty() || len(gone) > 0, nil
}

// showPlanNow shows what the stack's files as they are would change.
func (c *executor) showPlanNow(ctx context.Context) error {
	p, _, err := cli.Source{Services: c.source.Services, Scale: c.source.Scale}.Load(ctx, c.Invocation)
	var shown cli.Exit
	if errors.As(err, &shown) {
		return nil // its mistakes are
	}
	if err != nil {
		return err
	}
	some, err := c.showPlan(ctx, p, planner.Options{Services: c.source.Services}, goneServices(c.current(), p))
	if err == nil && !some {
		fmt.Fprintf(c.Stderr, " %s the stack matches its files\n", c.ErrStyle().Dim("·"))
	}
	return err
}

// goneServices are those that a project had and has no more, not even
// inactive.
func goneServices(old, now *spec.Project) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(old.Services)), func(name string) bool {
		return now.Services[name] != nil || now.Disabled[name] != nil
	})
}
