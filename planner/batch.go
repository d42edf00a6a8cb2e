package planner

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/spec"
)

// Replaced is the condition of an Await between two batches of an update.
const Replaced = "replaced"

// Batch is how far an update of a service, or its rollback, is, and what it may cost
// (Compose Deploy Specification, update_config and rollback_config).
type Batch struct {
	Numbers []int         `json:"numbers"` // of the containers that have been replaced by now
	Of      int           `json:"of"`      // that are to be
	Monitor time.Duration `json:"monitor,omitempty"`
	Delay   time.Duration `json:"delay,omitempty"`
	Ratio   float64       `json:"ratio,omitempty"`   // that may fail
	Goes    bool          `json:"goes,omitempty"`    // on, whatever fails
	Returns bool          `json:"returns,omitempty"` // to what the service was, if more fails
	Undoes  bool          `json:"undoes,omitempty"`  // an update: it is a rollback
	Failed  int           `json:"-"`                 // replacements that have failed
}

// newBatch is the first of an update, or of a rollback, of so many containers.
func newBatch(u *spec.UpdateConfig, of int) Batch {
	b := Batch{Of: of}
	if u != nil {
		b.Monitor, b.Delay, b.Ratio = time.Duration(u.Monitor), time.Duration(u.Delay), u.MaxFailureRatio
		b.Goes = u.FailureAction == spec.FailureContinue
	}
	return b
}

// IsTooMany says that with so many failures the update does not go on.
func (b *Batch) IsTooMany(failed int) bool {
	return !b.Goes && float64(failed) > b.Ratio*float64(b.Of)
}

// Error is why the update does not go on.
func (b *Batch) Error(service string, failed int) error {
	what, becomes := "update", "is paused"
	if b.Undoes {
		what = "rollback"
	}
	if b.Returns {
		becomes = "is taken back"
	}
	return fmt.Errorf("the %s of %s %s: %d of %d failed", what, service, becomes, failed, b.Of)
}

// text says what is between two batches.
func (b *Batch) text(isLast bool) string {
	var parts []string
	if b.Monitor > 0 {
		parts = append(parts, "watched for "+b.Monitor.String())
	}
	if b.Delay > 0 {
		parts = append(parts, b.Delay.String()+" before the next")
	}
	switch {
	case isLast && len(parts) == 0:
		parts = append(parts, "watched until ready")
	case !isLast && b.Delay == 0:
		parts = append(parts, "then the next")
	}
	return strings.Join(parts, ", ")
}

// batches are the steps of an update, or of its rollback, in the order in which they are
// carried out.
type batches struct {
	service string
	config  *spec.UpdateConfig
	batch   Batch
	word    string // what has become of the containers: "replaced"
	path    string // of config
	watched bool   // the last one too, though nothing says for how long
}

// arrange has the steps follow each other as the configuration says. It gives what is between
// them, and after the last; each await has the batch before it.
func (c *converger) arrange(b batches, steps []*Step) (awaits []*Step) {
	size := b.config.Batch(len(steps))
	var ids []string
	var before *Step
	for i := 0; i < len(steps); i += size {
		for _, step := range steps[i:min(i+size, len(steps))] {
			if before != nil {
				step.Needs = compact(append(step.Needs, before.ID))
			}
			ids, b.batch.Numbers = append(ids, step.ID), append(b.batch.Numbers, step.Number)
		}
		done, isLast := b.batch, i+size >= len(steps)
		if isLast {
			done.Delay = 0
		}
		if isLast && done.Monitor == 0 && !b.watched {
			return awaits
		}
		done.Numbers = slices.Clone(done.Numbers)
		before = newAwait(b.service, Replaced, nil)
		before.ID += fmt.Sprintf(" %d of %d %s", len(ids), len(steps), b.word)
		before.Resource = fmt.Sprintf("%s %d of %d", b.service, len(ids), len(steps))
		before.Batch, before.After = &done, compact(slices.Clone(ids))
		before.Reasons = []Reason{{Path: b.path, Text: done.text(isLast), Place: c.project.Places.Nearest(b.path)}}
		awaits = append(awaits, before)
	}
	return awaits
}

// planBatches has the replacements of a service follow each other as its update_config
// says.
func (c *converger) planBatches(name string, s *spec.Service) {
	u := s.Update()
	steps := slices.DeleteFunc(slices.Clone(c.ups[name]), func(step *Step) bool { return step.Action != Replace })
	if u == nil || len(steps) == 0 || c.opts.NoStart {
		return
	}
	back := c.takesBack(name, s, steps)
	b := newBatch(u, len(steps))
	b.Returns = len(back) > 0
	awaits := c.arrange(batches{
		service: name, config: u, batch: b, word: "replaced", path: "services." + name + ".deploy.update_config", watched: b.Returns,
	}, steps)
	for i, await := range awaits {
		isLast := i == len(awaits)-1 && len(await.Batch.Numbers) == len(steps)
		if isLast {
			c.last = append(c.last, await)
		}
		if !isLast || b.Returns { // who depends on the service waits for it
			c.await[await.ID] = await
		}
	}
	if b.Returns {
		c.over[name] = awaits[len(awaits)-1].ID
		c.planRollback(name, s, back, awaits)
	}
}

// placeLast puts what follows the last batch of updates at the end, unless some step waits for it.
func (c *converger) placeLast() {
	for _, step := range c.last {
		step.Optional = false
		if !slices.Contains(c.plan.Steps, step) {
			c.plan.Steps = append(c.plan.Steps, step)
		}
	}
}
