package watch

import (
	"context"
	"fmt"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
)

// absence says why no container of a service runs, with the last lines of the
// one that ran last.
func (c *executor) absence(ctx context.Context, service string) error {
	containers, err := cli.Observe(ctx, c.client, cli.Stack{Name: c.current().Name})
	if err != nil {
		return err
	}
	last := lastOf(containers, service)
	absent := &loop.OutputError{Message: absenceText(service, last), Of: loop.ErrAbsent}
	if last == nil || last.State == planner.Created {
		return absent
	}
	req := &api.LogsRequest{Project: c.current().Name, Services: []string{service}, Containers: []string{last.ID}, Tail: pastLines}
	if !last.StartedAt.IsZero() {
		req.SinceUnixNs = last.StartedAt.UnixNano()
	}
	kept := &display.Tail{Most: pastLines}
	err = cli.ReadLines(ctx, c.client, req, kept.Piece)
	if ctx.Err() != nil {
		return cli.Cause(ctx, err)
	}
	absent.Lines = kept.Lines() // none where they can't be read: the logs are named
	return absent
}

// lastOf is the container of a service that ran last, or nil.
func lastOf(containers []planner.Container, service string) (last *planner.Container) {
	for i := range containers {
		k := &containers[i]
		if k.Service == service && !k.OneOff && (last == nil || k.ExitedAt.After(last.ExitedAt)) {
			last = k
		}
	}
	return last
}

// absenceText is in words why the last container of a service does not run,
// and what to do.
func absenceText(service string, last *planner.Container) string {
	switch {
	case last == nil:
		return "has no container. Bring it up with: orlop up -d " + service
	case last.State == planner.Created:
		return fmt.Sprintf("%s was never started. Start it with: orlop start %s", display.Replica(last), service)
	case last.Stopped:
		return fmt.Sprintf("%s was stopped. Start it with: orlop start %s", display.Replica(last), service)
	}
	text := fmt.Sprintf("%s %s", display.Replica(last), display.StateNote(last))
	if last.State == planner.Exited && !last.StartedAt.IsZero() {
		text += " after " + display.Seconds(max(0, last.ExitedAt.Sub(last.StartedAt)))
	}
	return text + ". See: orlop logs " + service
}
