package planner

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/planner/difference"
	"github.com/orlop/orlop/spec"
)

// isBuilt says that the image of a service comes from its build section.
func (c *converger) isBuilt(s *spec.Service) bool {
	return s.Build != nil && s.PullPolicy != "always" && !c.opts.PullOnly
}

// policy is when the image of a service is pulled.
func (c *converger) policy(s *spec.Service) string {
	if c.opts.Pull != "" {
		return c.opts.Pull
	}
	return s.PullPolicy
}

// isLeft says that an image which is here is not pulled, even where pulls are asked for: a name with the tag latest, which is meant to
// move, is (Compose Specification, services, pull_policy).
func isLeft(ref, policy string) bool {
	if policy != "missing" && policy != "if_not_present" {
		return false
	}
	name := ref[strings.LastIndexByte(ref, '/')+1:]
	_, tag, hasTag := strings.Cut(name, ":")
	return strings.Contains(name, "@") || hasTag && tag != "latest"
}

// readImages notes what services say of images that they share: one that is
// built by a service serves all that name it, and one that is pulled each time
// for a service is new for all.
func (c *converger) readImages(order []string) {
	jobs := c.scheduledWork()
	makers := slices.Concat(slices.Sorted(maps.Keys(c.project.Services)), jobs, slices.Sorted(maps.Keys(c.project.Bases)))
	for _, name := range makers {
		ref := c.project.ImageName(name)
		if _, ok := c.makers[ref]; !ok && c.isBuilt(c.project.Buildable(name)) {
			c.makers[ref] = name
		}
	}
	for _, name := range slices.Concat(order, jobs) {
		if s := c.project.Buildable(name); !c.isBuilt(s) {
			if why := c.pullAnew(s, c.project.ImageName(name)); why != "" {
				c.anew[c.project.ImageName(name)] = why
			}
		}
	}
}

// pullAnew says why the policy of a service wants an image pulled that is here; "" if
// it does not.
func (c *converger) pullAnew(s *spec.Service, ref string) string {
	policy := c.policy(s)
	if policy == "always" {
		return "pull is asked for each time"
	}
	have, present := c.observed.Images[ref]
	age, isTimed := s.RefreshAfter(policy)
	if !isTimed || !present || c.observed.At.Sub(have.Named) < age {
		return ""
	}
	return "it was pulled last " + have.Named.UTC().Format("2006-01-02 15:04") + " and pull_policy is " + policy
}

// planImage adds the build or pull that a service needs.
func (c *converger) planImage(name string) error {
	if c.imaged[name] {
		return nil
	}
	c.imaged[name] = true
	s := c.project.Buildable(name)
	ref := c.project.ImageName(name)
	maker := c.makers[ref]
	switch {
	case c.isBuilt(s) && maker != name && sameBuild(c.project.Buildable(maker), s):
		return c.shareImage(name, maker)
	case c.isBuilt(s):
		if maker != name {
			c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("%s and %s build different images under the one name %s: give one of them another image", maker, name, ref))
		}
		return c.planBuild(name, ref)
	case s.Build != nil && c.opts.PullOnly && s.Image == "" || c.opts.BuildOnly:
		return nil
	case maker != "":
		return c.shareImage(name, maker)
	}
	return c.planPull(name, ref)
}

// path is where a service, or a job, stands in the stack file.
func (c *converger) path(name string) string {
	if c.project.Services[name] == nil && c.project.Jobs[name] != nil {
		return "jobs." + name
	}
	return "services." + name
}

// lostTag is a tag of the build of a service that names nothing; "" if all are there.
func (c *converger) lostTag(name string) string {
	for _, tag := range c.project.NamesOf(name)[1:] {
		if _, ok := c.observed.Images[tag]; !ok {
			return tag
		}
	}
	return ""
}

func sameBuild(a, b *spec.Service) bool {
	return a.Platform == b.Platform && difference.Same(difference.Tree(a.Build), difference.Tree(b.Build))
}

// shareImage lets a service wait for the image that another one builds.
func (c *converger) shareImage(name, maker string) error {
	if err := c.planImage(maker); err != nil {
		return err
	}
	if step := c.image[maker]; step != nil {
		c.image[name] = step
	}
	return nil
}

func (c *converger) planPull(name, ref string) error {
	have, present := c.observed.Images[ref]
	s := c.project.Buildable(name)
	policy := c.policy(s)
	path := c.path(name) + ".image"
	why := Reason{Path: path, Place: c.project.Places.Nearest(path)}
	shown := ref
	if s.Platform != "" {
		shown += " (" + s.Platform + ")"
	}
	present = present && !slices.Contains(have.Lacks, s.Platform)
	switch {
	case !present && (policy == "never" || policy == "build"):
		return fmt.Errorf("image %s for %s is not here and pull_policy is %s: load it with \"orlop image load\" or allow the pull", shown, name, policy)
	case c.anew[ref] != "":
		why.Text = c.anew[ref]
	case c.opts.PullOnly && policy != "never" && !(present && isLeft(ref, policy)):
		why.Text = "pull is asked for each time"
	case !present:
		why.Text = "the image is not here yet"
	default:
		return nil
	}
	if c.pulls[shown] == nil {
		step := &Step{Action: Pull, Resource: shown, Name: ref, Service: name, Platform: s.Platform, Reasons: []Reason{why}}
		if before := c.pulls[ref+" last"]; before != nil {
			step.After = []string{before.ID} // one name is not given twice at once
		}
		c.pulls[shown] = c.plan.add(step)
		c.pulls[ref+" last"] = c.pulls[shown]
	}
	c.image[name] = c.pulls[shown]
	return nil
}

// refuseForeign refuses services whose programs the machine does not run.
func (c *converger) refuseForeign(order []string) {
	for _, name := range order {
		platform, ok := c.observed.Foreign[name]
		if !ok || c.opts.NoStart {
			continue
		}
		path := c.project.Services[name].PlatformKey()
		c.refused = append(c.refused, &spec.Mistakes{Diagnostics: spec.Diagnostics{{
			Severity: spec.Error, Path: path, Place: c.project.Places.Nearest(path),
			Message: "this machine does not run programs of " + platform,
			Hint:    "register an emulator that stays loaded (binfmt_misc with the flag F), as the package qemu-user-static does",
		}}})
	}
}

func (c *converger) planBuild(name, ref string) error {
	have, present := c.observed.Images[ref]
	var needs []string
	for _, base := range baseServices(c.project.Buildable(name)) {
		if c.project.Buildable(base) == nil {
			continue
		}
		if err := c.planImage(base); err != nil {
			return err
		}
		if step := c.image[base]; step != nil {
			needs = append(needs, step.ID)
		}
	}
	path := c.path(name) + ".build"
	want := c.opts.Inputs[name]
	var why []Reason
	switch {
	case !present && c.opts.NoBuild:
		return fmt.Errorf("image %s for %s is not here and builds are off: run \"orlop build %s\"", ref, name, name)
	case c.opts.NoBuild:
		return nil
	case !present:
		why = []Reason{{Path: path, Text: "the image is not here yet"}}
	case c.opts.Rebuild:
		why = []Reason{{Path: path, Text: "a fresh build is asked for"}}
	case c.opts.Build && (want == nil || want.Floating), want != nil && !want.isBuiltFrom(have.Inputs, c.opts.Build):
		why = inputReasons(name, have.Inputs, want)
	case c.lostTag(name) != "":
		why = []Reason{{Path: path + ".tags", Text: "its tag " + c.lostTag(name) + " is not here"}}
	case c.opts.CacheTo:
		why = []Reason{{Path: path, Text: "its cache is to be written"}}
	case len(needs) > 0:
		why = []Reason{{Path: path + ".additional_contexts", Text: "an image that it builds on is made anew"}}
	default:
		return nil
	}
	for i := range why {
		why[i].Place = c.project.Places.Nearest(why[i].Path)
	}
	c.image[name] = c.plan.add(&Step{Action: Build, Resource: name, Service: name, Name: ref, Needs: needs, Reasons: why})
	return nil
}

// planMounted adds what the images need that a service mounts.
func (c *converger) planMounted(name string) error {
	s := c.project.Buildable(name)
	for i, m := range s.Mounts() {
		if m.Type != spec.MountImage {
			continue
		}
		step, err := c.mountedImage(name, m.Source, spec.MountPath(name, s, i))
		if err != nil {
			return err
		}
		if step != nil {
			c.mounted[name] = append(c.mounted[name], step)
		}
	}
	return nil
}

// mountedImage is the build or the pull of an image that is mounted; nil if it is here.
func (c *converger) mountedImage(name, ref, path string) (*Step, error) {
	if maker := c.makers[ref]; maker != "" {
		err := c.planImage(maker)
		return c.image[maker], err
	}
	_, present := c.observed.Images[ref]
	switch {
	case c.pulls[ref] != nil || c.opts.BuildOnly:
		return c.pulls[ref], nil
	case !present && c.opts.Pull == "never":
		return nil, fmt.Errorf("image %s that %s mounts is not here: load it with \"orlop image load\" or allow the pull", ref, name)
	case present && !c.opts.PullOnly && c.opts.Pull != "always":
		return nil, nil
	}
	why := Reason{Path: path, Text: "the image is not here yet", Place: c.project.Places.Nearest(path)}
	if present {
		why.Text = "pull is asked for each time"
	}
	c.pulls[ref] = c.plan.add(&Step{Action: Pull, Resource: ref, Name: ref, Service: name, Reasons: []Reason{why}})
	return c.pulls[ref], nil
}

// mountedReasons are the reasons to replace a container that mounts images which are
// others now.
func (c *converger) mountedReasons(name string, s *spec.Service, k *Container) []Reason {
	var rs []Reason
	for i, m := range s.Mounts() {
		was, is := k.Applied.Images[m.Source], c.observed.Images[m.Source].Digest
		if m.Type == spec.MountImage && was != "" && is != "" && was != is {
			path := spec.MountPath(name, s, i)
			rs = append(rs, Reason{Path: path, Text: m.Source + " is another image now", Place: c.project.Places.Nearest(path)})
		}
	}
	return rs
}
