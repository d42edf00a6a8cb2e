// Package events tells what happens to the containers and scheduled jobs of a stack, and what has happened lately.
package events

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner/happening"
)

// Options are which events are told, and how.
type Options struct {
	JSON         bool
	Since, Until string
}

// teller tells of events for an invocation.
type teller struct{ *cli.Invocation }

// eventText is an event for people.
func eventText(l happening.Line) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(l.Attributes)) {
		parts = append(parts, k+"="+display.Printable(l.Attributes[k]))
	}
	return fmt.Sprintf("%s %s %s %s (%s)", l.Time.Format("2006-01-02 15:04:05.000000"), l.Type, l.Action, l.ID, strings.Join(parts, ", "))
}

// Run tells of what happens to containers and scheduled jobs of services, or of the whole stack.
func Run(ctx context.Context, inv *cli.Invocation, services []string, f Options) error {
	a := &teller{inv}
	since, err := cli.Moment("since", f.Since, a.Now())
	if err != nil {
		return err
	}
	until, err := cli.Moment("until", f.Until, a.Now())
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	seen := &history{services: services, known: happening.Known{Now: a.Now}, show: func(l happening.Line) {
		if f.JSON {
			_ = enc.Encode(l)
		} else {
			fmt.Fprintln(a.Stdout, eventText(l))
		}
	}}
	return a.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		seen.project = s.Name
		if f.Since != "" || f.Until != "" {
			seen.recall = &api.PastRequest{Project: s.Name, SinceUnixNs: since}
		}
		if f.Until != "" {
			seen.until = time.Unix(0, until)
			var cancel context.CancelFunc
			ctx, cancel = context.WithDeadlineCause(ctx, seen.until, errUntil)
			defer cancel()
			if !seen.until.After(a.Now()) {
				ctx = context.WithoutCancel(ctx)
				return a.sayForgotten(seen.past(ctx, client))
			}
		}
		err := cli.Cause(ctx, cli.AcrossEngines(ctx, func() error { return a.followEvents(ctx, client, seen) }))
		if errors.Is(context.Cause(ctx), errUntil) {
			return nil
		}
		return err
	})
}

// errUntil ends what is followed until a time.
var errUntil = errors.New("the time is over")

// followEvents is events under one engine. What happened before comes once the states are
// known that what follows is held against: what both tell of comes once.
func (a *teller) followEvents(ctx context.Context, client *api.Client, seen *history) error {
	stream, err := client.Watch(ctx, &api.ObserveRequest{Project: seen.project, Jobs: true})
	for err == nil {
		var m *api.ContainerChange
		if m, err = stream.Recv(); err != nil {
			break
		}
		if err = seen.apply(m); err == nil && m.Synced && seen.recall != nil {
			err = a.sayForgotten(seen.past(ctx, client))
		}
	}
	return err
}

// sayForgotten says that there was more than the engine remembers.
func (a *teller) sayForgotten(cut bool, err error) error {
	if err == nil && cut {
		a.SayWarnings([]string{"older events are left out: the engine remembers the last ones, and none of before it was started"})
	}
	return err
}

// history is what is known of a project, and what was shown of it.
type history struct {
	project  string
	services []string
	known    happening.Known
	show     func(happening.Line)
	recall   *api.PastRequest // nil: nothing of the past, or it was shown
	until    time.Time        // zero: no end
	recalled []happening.Line // that may be told again
}

// past shows what the engine remembers. cut says that there was more.
func (h *history) past(ctx context.Context, client *api.Client) (cut bool, err error) {
	reply, err := client.History.Past(ctx, h.recall)
	if err != nil {
		return false, err
	}
	h.recall = nil
	for _, e := range reply.Happenings {
		l := happening.Line{Time: time.Unix(0, e.TimeUnixNs).UTC(), Type: e.Type, Action: e.Action, ID: e.Id, Service: e.Service, Attributes: e.Attributes}
		h.recalled = append(h.recalled, l)
		if h.until.IsZero() || !l.Time.After(h.until) {
			h.tell(l)
		}
	}
	return reply.Cut, nil
}

// apply takes in a change and shows what happened.
func (h *history) apply(m *api.ContainerChange) error {
	var lines []happening.Line
	switch {
	case m.Synced:
		lines = h.known.Synced()
	case m.Job != nil:
		lines = []happening.Line{jobLine(h.project, m.Job)}
	default:
		c, err := m.Container.Planner()
		if err != nil {
			return err
		}
		c.Project = h.project
		lines = h.known.Apply(c, m.Initial, m.Removed)
	}
	for _, l := range lines {
		if !slices.ContainsFunc(h.recalled, func(other happening.Line) bool { return l.Same(&other) }) {
			h.tell(l)
		}
	}
	return nil
}

// tell shows an event, if it is one of the services asked for.
func (h *history) tell(l happening.Line) {
	if len(h.services) == 0 || slices.Contains(h.services, l.Service) {
		h.show(l)
	}
}

// jobLine is what happened to a job that the engine runs.
func jobLine(project string, e *api.JobEvent) happening.Line {
	attributes := map[string]string{"project": project, "fire": time.UnixMilli(e.FireUnixMs).UTC().Format(time.RFC3339)}
	if e.Container != "" {
		attributes["name"], attributes["exitCode"] = e.Container, strconv.Itoa(int(e.ExitCode))
	}
	if e.Text != "" {
		attributes["reason"] = e.Text
	}
	return happening.Line{Time: time.UnixMilli(e.AtUnixMs).UTC(), Type: "job", Action: e.Action, ID: e.Job, Service: e.Job, Attributes: attributes}
}
