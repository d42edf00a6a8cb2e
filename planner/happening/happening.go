// Package happening tells what happens to containers: events, in Docker's words, are what
// is new of a state to who knows the one before.
package happening

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/orlop/orlop/planner"
)

// Line is something that happened, in Compose's fields.
type Line struct {
	Time       time.Time         `json:"time"`
	Type       string            `json:"type"` // container or job
	Action     string            `json:"action"`
	ID         string            `json:"id"`
	Service    string            `json:"service"`
	Attributes map[string]string `json:"attributes"`
}

// Project is the one that it happened in.
func (l *Line) Project() string { return l.Attributes["project"] }

// Same says that two lines tell of the same event. That a container is gone, or its log not
// sent, is dated by who hears it; either happens to it once.
func (l *Line) Same(other *Line) bool {
	if l.Type != other.Type || l.ID != other.ID || l.Action != other.Action {
		return false
	}
	return l.Action == "destroy" || l.Action == "log_lost" || l.Time.Equal(other.Time) && l.Attributes["fire"] == other.Attributes["fire"]
}

// Known is what is known of containers. What an engine that comes back tells first is held
// against what the one before it told last. The zero value knows none.
type Known struct {
	Now func() time.Time

	states  map[string]planner.Container
	begun   bool // the states at the beginning are known
	present []string
}

// Apply takes in a state and gives what happened; initial says that it is one of those that
// are told first.
func (k *Known) Apply(c planner.Container, initial, removed bool) []Line {
	if k.states == nil {
		k.states = map[string]planner.Container{}
	}
	before, known := k.states[c.ID]
	if initial {
		k.present = append(k.present, c.ID)
	}
	if removed {
		delete(k.states, c.ID)
		if !known {
			return nil // it is told already
		}
		return lines(&c, append(since(&before, &c), moment{"destroy", k.Now(), nil}))
	}
	if known && isOlder(&c, &before) {
		return nil
	}
	k.states[c.ID] = c
	switch {
	case !k.begun:
		return nil
	case !known:
		first := planner.Container{ID: c.ID, State: planner.Created}
		return lines(&c, append([]moment{{"create", c.CreatedAt, nil}}, since(&first, &c)...))
	}
	what := since(&before, &c)
	if c.Unsent != "" && before.Unsent == "" {
		what = append(what, moment{"log_lost", k.Now(), map[string]string{"reason": c.Unsent}})
	}
	return lines(&c, what)
}

// isOlder says that a state is one from before another: who asks and who is told may be
// heard in another order.
func isOlder(c, known *planner.Container) bool {
	probed := func(c *planner.Container) time.Time {
		if c.LastProbe == nil {
			return time.Time{}
		}
		return c.LastProbe.At
	}
	was := []time.Time{known.StartedAt, known.ExitedAt, known.FrozenAt, known.SignalledAt, known.UpdatedAt, probed(known)}
	for i, at := range []time.Time{c.StartedAt, c.ExitedAt, c.FrozenAt, c.SignalledAt, c.UpdatedAt, probed(c)} {
		if !at.Equal(was[i]) {
			return at.Before(was[i])
		}
	}
	return known.State == planner.Exited && c.State == planner.Stopping
}

// Synced is told that all first states were told, and gives the ends of the containers that
// went away meanwhile.
func (k *Known) Synced() []Line {
	var out []Line
	for _, id := range slices.Sorted(maps.Keys(k.states)) {
		if c := k.states[id]; !slices.Contains(k.present, id) {
			delete(k.states, id)
			out = append(out, lines(&c, []moment{{"destroy", k.Now(), nil}})...)
		}
	}
	k.begun, k.present = true, nil
	return out
}

func lines(c *planner.Container, list []moment) []Line {
	var out []Line
	for _, what := range list {
		attributes := map[string]string{
			"name": c.Name, "image": Image(c, c.Project), "project": c.Project, "number": strconv.Itoa(c.Number),
		}
		if c.OneOff {
			attributes["oneoff"] = "true"
		}
		maps.Copy(attributes, what.more)
		out = append(out, Line{
			Time: what.at.UTC(), Type: "container", Action: what.action, ID: c.ID, Service: c.Service, Attributes: attributes,
		})
	}
	return out
}

// Image is the reference of a container's image.
func Image(c *planner.Container, project string) string {
	if c.Applied != nil && c.Applied.Service != nil && c.Applied.Service.Image != "" {
		return c.Applied.Service.Image
	}
	return project + "-" + c.Service
}
