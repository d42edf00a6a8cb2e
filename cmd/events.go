package cmd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

func (a *app) eventsCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "events [SERVICE...]",
		Short: "Follow what happens to containers and scheduled jobs",
		Example: "  orlop events         create, start, health, die, oom, ... as they happen\n" +
			"  orlop events --json  a line of JSON each, in Compose's words",
		ValidArgsFunction: a.completeServices,
		RunE:              func(c *cobra.Command, args []string) error { return a.events(c.Context(), args, asJSON) },
	}
	c.Flags().BoolVar(&asJSON, "json", false, "as lines of JSON")
	return c
}

// eventLine is what happened to a container, as "events --json" prints it.
type eventLine struct {
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"`
	Action     string            `json:"action"`
	ID         string            `json:"id"`
	Service    string            `json:"service"`
	Attributes map[string]string `json:"attributes"`
}

func (l eventLine) String() string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(l.Attributes)) {
		parts = append(parts, k+"="+display.Printable(l.Attributes[k]))
	}
	return fmt.Sprintf("%s %s %s %s (%s)", l.Time.Format("2006-01-02 15:04:05.000000"), l.Type, l.Action, l.ID, strings.Join(parts, ", "))
}

func (a *app) events(ctx context.Context, services []string, asJSON bool) error {
	enc := json.NewEncoder(a.Stdout)
	enc.SetEscapeHTML(false)
	show := func(l eventLine) {
		if asJSON {
			_ = enc.Encode(l)
		} else {
			fmt.Fprintln(a.Stdout, l)
		}
	}
	return a.WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		seen := &history{stack: s, services: services, states: map[string]planner.Container{}, now: a.Now}
		return cli.AcrossEngines(ctx, func() error { return followEvents(ctx, client, seen, show) })
	})
}

// followEvents is events under one engine.
func followEvents(ctx context.Context, client *api.Client, seen *history, show func(eventLine)) error {
	stream, err := client.Watch(ctx, &api.ObserveRequest{Project: seen.stack.Name, Jobs: true})
	for err == nil {
		var m *api.ContainerChange
		if m, err = stream.Recv(); err != nil {
			break
		}
		var lines []eventLine
		lines, err = seen.apply(m)
		for _, l := range lines {
			show(l)
		}
	}
	return err
}

// history is what is known of the containers: events are what is new to it.
// What an engine that comes back tells first is held against what the one
// before it told last.
type history struct {
	stack    cli.Stack
	services []string
	now      func() time.Time
	states   map[string]planner.Container
	begun    bool // the states at the beginning are known
	present  []string
}

// apply takes in a change and gives what happened.
func (h *history) apply(m *api.ContainerChange) ([]eventLine, error) {
	if m.Synced {
		gone := h.vanished()
		h.begun, h.present = true, nil
		return gone, nil
	}
	if m.Job != nil {
		return h.jobLines(m.Job), nil
	}
	c, err := m.Container.Planner()
	if err != nil {
		return nil, err
	}
	if len(h.services) > 0 && !slices.Contains(h.services, c.Service) {
		return nil, nil
	}
	before, known := h.states[c.ID]
	if m.Initial {
		h.present = append(h.present, c.ID)
	}
	if m.Removed {
		delete(h.states, c.ID)
		return h.lines(&c, append(since(&before, &c, h.now()), happening{"destroy", h.now(), nil})), nil
	}
	h.states[c.ID] = c
	switch {
	case !h.begun:
		return nil, nil
	case !known:
		first := planner.Container{ID: c.ID, State: planner.Created}
		return h.lines(&c, append([]happening{{"create", c.CreatedAt, nil}}, since(&first, &c, h.now())...)), nil
	}
	what := since(&before, &c, h.now())
	if c.Unsent != "" && before.Unsent == "" {
		what = append(what, happening{"log_lost", h.now(), map[string]string{"reason": c.Unsent}})
	}
	return h.lines(&c, what), nil
}

// jobLines is what happened to a job that the engine runs.
func (h *history) jobLines(e *api.JobEvent) []eventLine {
	if len(h.services) > 0 && !slices.Contains(h.services, e.Job) {
		return nil
	}
	attributes := map[string]string{"project": h.stack.Name, "fire": time.UnixMilli(e.FireUnixMs).UTC().Format(time.RFC3339)}
	if e.Container != "" {
		attributes["name"], attributes["exitCode"] = e.Container, strconv.Itoa(int(e.ExitCode))
	}
	if e.Text != "" {
		attributes["reason"] = e.Text
	}
	return []eventLine{{Time: time.UnixMilli(e.AtUnixMs).UTC(), Type: "job", Action: e.Action, ID: e.Job, Service: e.Job, Attributes: attributes}}
}

// vanished are the containers that went away while no engine was there.
func (h *history) vanished() []eventLine {
	var out []eventLine
	for _, id := range slices.Sorted(maps.Keys(h.states)) {
		if !slices.Contains(h.present, id) {
			c := h.states[id]
			delete(h.states, id)
			out = append(out, h.lines(&c, []happening{{"destroy", h.now(), nil}})...)
		}
	}
	return out
}

func (h *history) lines(c *planner.Container, list []happening) []eventLine {
	var out []eventLine
	for _, what := range list {
		attributes := map[string]string{
			"name": c.Name, "image": display.ImageText(c, h.stack.Name), "project": h.stack.Name, "number": strconv.Itoa(c.Number),
		}
		if c.OneOff {
			attributes["oneoff"] = "true"
		}
		maps.Copy(attributes, what.more)
		out = append(out, eventLine{
			Time: what.at.UTC(), Type: "container", Action: what.action, ID: c.ID, Service: c.Service, Attributes: attributes,
		})
	}
	return out
}

// happening is one event, without the words about its container.
type happening struct {
	action string
	at     time.Time
	more   map[string]string
}

// since is what happened to a container between two of its states, in Docker's
// words. Changes that follow fast may come as one: a process that ended and was
// started again in between has both. What has no time of its own has that when it is heard.
func since(before, now *planner.Container, at time.Time) []happening {
	var out []happening
	started := now.StartedAt.After(before.StartedAt)
	wasUp := before.State == planner.Running || before.State == planner.Stopping
	if now.ExitedAt.After(before.ExitedAt) && (wasUp || started || now.State == planner.Exited || now.State == planner.Restarting) {
		if now.ExitedAt.After(now.StartedAt) && started {
			out = append(out, happening{"start", now.StartedAt, nil})
			started = false
		}
		if now.OOMKilled {
			out = append(out, happening{"oom", now.ExitedAt, nil})
		}
		out = append(out, happening{"die", now.ExitedAt, map[string]string{"exitCode": strconv.Itoa(now.ExitCode)}})
	}
	// The process may have ended before it is known that it is over with that.
	if now.Stopped && now.State == planner.Exited && (wasUp || before.State == planner.Restarting || started) {
		out = append(out, happening{"stop", now.ExitedAt, nil})
	}
	if now.Paused != before.Paused && !(before.Paused && now.ExitedAt.After(before.ExitedAt)) {
		out = append(out, happening{map[bool]string{true: "pause", false: "unpause"}[now.Paused], at, nil})
	}
	if started {
		out = append(out, happening{"start", now.StartedAt, nil})
		if now.Restarts > before.Restarts || before.State == planner.Restarting {
			out = append(out, happening{"restart", now.StartedAt, map[string]string{"restarts": strconv.Itoa(now.Restarts)}})
		}
	}
	if now.Health != before.Health && (now.Health == planner.Healthy || now.Health == planner.Unhealthy) {
		at := now.StartedAt
		more := map[string]string{"health": string(now.Health)}
		if p := now.LastProbe; p != nil {
			at = p.At.Add(p.Took)
			more["output"] = strings.TrimSpace(p.Output)
		}
		out = append(out, happening{"health_status: " + string(now.Health), at, more})
	}
	return out
}
