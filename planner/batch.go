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

// Batch is how far an update of a service is, and what it may cost (Compose Deploy
// Specification, update_config).
type Batch struct {
	Numbers []int         `json:"numbers"` // of the containers that have been replaced by now
	Of      int           `json:"of"`      // that are to be
	Monitor time.Duration `json:"monitor,omitempty"`
	Delay   time.Duration `json:"delay,omitempty"`
	Ratio   float64       `json:"ratio,omitempty"` // that may fail
	Goes    bool          `json:"goes,omitempty"`  // on, whatever fails
	Failed  int           `json:"-"`               // replacements that have failed
}

// IsTooMany says that with so many failures the update does not go on.
func (b *Batch) IsTooMany(failed int) bool {
	return !b.Goes && float64(failed) > b.Ratio*float64(b.Of)
}

// Error is why the update does not go on.
func (b *Batch) Error(service string, failed int) error {
	return fmt.Errorf("the update of %s is paused: %d of %d failed", service, failed, b.Of)
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
	if len(parts) == 0 || len(parts) == 1 && b.Monitor > 0 && !isLast {
		parts = append(parts, "then the next")
	}
	return strings.Join(parts, ", ")
}

// planBatches has the replacements of a service follow each other as its update_config
// says.
func (c *converger) planBatches(name string, s *spec.Service) {
	u := s.Update()
	steps := slices.DeleteFunc(slices.Clone(c.ups[name]), func(step *Step) bool { return step.Action != Replace })
	if u == nil || len(steps) == 0 || c.opts.NoStart {
		return
	}
	size := u.Batch(len(steps))
	var ids []string
	var before *Step
	b := Batch{Of: len(steps), Monitor: time.Duration(u.Monitor), Delay: time.Duration(u.Delay), Ratio: u.MaxFailureRatio, Goes: u.FailureAction == spec.FailureContinue}
	for i := 0; i < len(steps); i += size {
		for _, step := range steps[i:min(i+size, len(steps))] {
			if before != nil {
				step.Needs = compact(append(step.Needs, before.ID))
			}
			ids, b.Numbers = append(ids, step.ID), append(b.Numbers, step.Number)
		}
		isLast := i+size >= len(steps)
		if isLast {
			b.Delay = 0
		}
		if isLast && b.Monitor == 0 {
			return
		}
		done := b
		done.Numbers = slices.Clone(b.Numbers)
		before = newAwait(name, Replaced, nil)
		before.ID += fmt.Sprintf(" %d of %d replaced", len(ids), len(steps))
		before.Resource = fmt.Sprintf("%s %d of %d", name, len(ids), len(steps))
		before.Batch, before.After = &done, compact(slices.Clone(ids))
		path := "services." + name + ".deploy.update_config"
		before.Reasons = []Reason{{Path: path, Text: done.text(isLast), Place: c.project.Places.Nearest(path)}}
		if isLast {
			c.last = append(c.last, before)
		} else {
			c.await[before.ID] = before
		}
	}
}

// weigh looks at what became of the replacements before the rest follows: it says whether
// the step is over with that.
func (w *walk) weigh(n *node) bool {
	if n.step.Batch == nil {
		return false
	}
	b := *n.step.Batch
	changed := false
	var root *node
	for _, id := range n.step.After {
		on := w.byID[id]
		switch {
		case on.outcome == Failed:
			b.Failed++
			root = on
		case on.outcome == Skipped:
			b.Failed++
			root = on.failed
		}
		changed = changed || on.outcome != Unchanged && !on.eased
	}
	if b.IsTooMany(b.Failed) {
		n.failed = root
		return false
	}
	step := *n.step
	step.Batch = &b
	n.step = &step
	if !changed {
		n.outcome = Unchanged
		w.emit(w.event(n, Unchanged))
	}
	return !changed
}
