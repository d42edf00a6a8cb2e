package planner

import (
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// planVolumes adds the volumes that the chosen services use and that are not there,
// or are there with other options.
func (c *converger) planVolumes(order []string) {
	keys := c.used(order, volumesOf, maps.Keys(c.project.Volumes))
	for _, key := range keys {
		want := c.project.Volumes[key]
		if want == nil {
			continue
		}
		path := "volumes." + key
		have, present := c.observed.Volumes[want.Name]
		step := &Step{Action: CreateVolume, Resource: key, Name: want.Name, Volume: want}
		switch {
		case present && (have.Applied == nil || have.Project != c.project.Name || want.External):
			continue
		case present && !c.renewVolume(key, &have, step, order):
			relabelled := &Step{Resource: key, Name: want.Name, Volume: want}
			c.relabel(UpdateVolume, relabelled, compareLabels(path, have.Applied.Labels, want.Labels, c.project.Places))
			c.keepVolume(key, have.Applied, want)
			continue
		case want.External && !present:
			c.missing("volume", want.Name, path)
			continue
		case !present:
			step.Reasons = []Reason{{Path: path, Text: "it does not exist yet", Place: c.project.Places.Nearest(path)}}
		}
		c.volume[key] = c.plan.add(step)
	}
}

// renewVolume says whether a volume is made anew because something else is to be
// mounted as it. Where its data would be lost with that, somebody has to agree.
func (c *converger) renewVolume(key string, have *Volume, step *Step, order []string) bool {
	path := "volumes." + key + ".driver_opts"
	a, b := difference.Part(difference.Tree(have.Applied), "driver_opts"), difference.Part(difference.Tree(step.Volume), "driver_opts")
	why := difference.Trees(path, difference.OrUnset(a), difference.OrUnset(b), c.project.Places)
	if len(why) == 0 || !c.mayRenewVolume(key, have.Name, order) {
		return false
	}
	if !have.Applied.Backing().IsKept() && !c.opts.Discard {
		c.refused = append(c.refused, &DataError{Volume: key, Why: why[0]})
		return true
	}
	step.OldVolume, step.Reasons = have.Applied, why
	return true
}

// mayRenewVolume says whether all that has a volume is made anew with it.
func (c *converger) mayRenewVolume(key, name string, order []string) bool {
	for i := range c.observed.Containers {
		k := &c.observed.Containers[i]
		isChosen := !k.OneOff && slices.Contains(order, k.Service) && !c.opts.NoRecreate
		if k.hasVolume(name) && !isChosen && !(c.isOrphan(k) && c.opts.RemoveOrphans) {
			c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("volume %s stays as it is: %s uses it and is not to be replaced", key, containerResource(k)))
			return false
		}
	}
	return true
}

func (k *Container) hasVolume(name string) bool {
	if k.Applied == nil {
		return false
	}
	return slices.ContainsFunc(k.Applied.Mounts(), func(m Mounted) bool { return m.Volume == name })
}

// volumeReasons: a volume that is made anew takes its containers with it.
func (c *converger) volumeReasons(k *Container) []Reason {
	var rs []Reason
	for _, key := range slices.Sorted(maps.Keys(k.Applied.Volumes)) {
		if step := c.volume[key]; step != nil && step.OldVolume != nil {
			path := "volumes." + key
			rs = append(rs, Reason{Path: path, Text: "the volume is made anew", Place: c.project.Places.Nearest(path)})
		}
	}
	return rs
}

// keepVolume tells of settings that a volume had when it was made: it holds a
// user's data, and is not made anew for them.
func (c *converger) keepVolume(key string, old, want *spec.Volume) {
	a, b := difference.Tree(old), difference.Tree(want)
	for _, other := range []string{"labels", "driver_opts"} {
		delete(a, other)
		delete(b, other)
	}
	for _, r := range difference.Trees("volumes."+key, any(a), any(b), c.project.Places) {
		c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("volume %s stays as it is (%s): it holds data; remove it first if it may go", key, r))
	}
}

// backingReasons are for a container that has what was mounted as a volume before: an up
// that changed the volume may not have come to its replacement.
func (c *converger) backingReasons(k *Container, want *Applied) []Reason {
	var rs []Reason
	for _, key := range slices.Sorted(maps.Keys(want.Volumes)) {
		have, ok := c.observed.Volumes[want.Volumes[key]]
		if !ok || have.Applied == nil || c.volume[key] != nil || k.Applied.Volumes[key] != want.Volumes[key] {
			continue
		}
		wanted := want.Backings[key]
		actual := ""
		if b := have.Applied.Backing(); !b.IsNone() {
			actual = b.String()
		}
		if actual == wanted && k.Applied.Backings[key] != wanted {
			at := "volumes." + key + ".driver_opts"
			rs = append(rs, Reason{Path: at, Text: "what is mounted as its volume " + key + " is another", Place: c.project.Places.Nearest(at)})
		}
	}
	return rs
}

// volumesOf are the volumes that a service and its init containers mount.
func volumesOf(s *spec.Service) (keys []string) {
	for _, part := range append([]*spec.Service{s}, s.PreStart...) {
		for _, m := range part.Mounts() {
			if m.Type == spec.MountVolume && m.Source != "" {
				keys = append(keys, m.Source)
			}
		}
	}
	return keys
}
