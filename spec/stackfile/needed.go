package stackfile

import (
	"slices"
	"strings"

	"github.com/orlop/orlop/spec/tree"
)

// choose decides which services are asked for: those named, what they depend
// on, and those whose images they are built from; without names, the active ones, and
// the jobs that the engine runs.
func (v *validator) choose() {
	v.asked = map[string]bool{}
	var visit func(name string, alone bool)
	visit = func(name string, alone bool) {
		s := v.workload(name)
		if s == nil || v.asked[name] {
			return
		}
		v.asked[name] = true
		for _, e := range v.waits(s) {
			if e.isContext || !alone && (v.active(e.to) != nil || v.jobs[e.to]) {
				visit(e.to, alone || e.isContext)
			}
		}
	}
	names := v.l.opts.Services
	if len(names) == 0 || !v.l.opts.Only {
		names = slices.Concat(fieldNames(v.services), v.scheduledJobs())
	}
	for _, name := range names {
		visit(name, v.l.opts.NoDeps && v.l.opts.Only)
	}
}

// names are those of networks, volumes, secrets, configs and models, by section.
type names map[string]map[string]bool

func (n names) add(section, name string) {
	if n[section] == nil {
		n[section] = map[string]bool{}
	}
	n[section][name] = true
}

// use notes that a service uses a name, and whether it is one that is asked for.
func (v *validator) use(section, name string, isMeant bool) {
	if v.used.add(section, name); isMeant {
		v.needed.add(section, name)
	}
}

// useElsewhere notes the names that are used beside those in services themselves: in
// their init containers, and in what others are built from.
func (v *validator) useElsewhere() {
	isMeant := false
	use := func(section string, at tree.Field, _ string) { v.use(section, at.Key, isMeant) }
	for _, f := range v.workloads() {
		isMeant = v.asked[f.Key]
		for _, n := range f.Value.Value("pre_start").Entries() {
			v.references(n, use)
		}
	}
	for base := range v.bases {
		isMeant = v.asked[base]
		v.references(imagePart(v.disabled[base]), use)
	}
}

// contents are the secrets and configs whose contents must be there.
func (v *validator) contents() map[string]map[string]bool {
	switch {
	case v.l.opts.SpareContents:
		return nil
	case !v.l.opts.ImagesOnly:
		return v.needed
	}
	used := map[string]map[string]bool{"secrets": {}}
	for name := range v.asked {
		secrets := v.workload(name).Value("build").Value("secrets")
		if secrets == nil {
			continue
		}
		for _, item := range secrets.Items {
			used["secrets"][tree.TextAt(item, "source")] = true
		}
	}
	return used
}

// eachUnfilled visits the values that are needed and lack variables, and tells of the
// faults in them. Of the others nothing is told.
func (v *validator) eachUnfilled(visit func(n *tree.Node, path string)) {
	if !v.l.unfilled {
		return
	}
	tell := func(n *tree.Node, path string) {
		if fault := n.Fault(); fault != nil {
			fault.Found = true
			v.l.Report(fault.Diagnostic)
		}
		visit(n, path)
	}
	pass := func(n *tree.Node, _ string) {
		if fault := n.Fault(); fault != nil {
			fault.Found = true
		}
	}
	for _, f := range v.root.Fields {
		used, isSection := v.needed[f.Key], isNamed(f.Key)
		if f.Key == "services" || f.Key == "jobs" {
			used, isSection = v.asked, true
		}
		switch {
		case f.Value.IsFilled():
			continue
		case strings.HasPrefix(f.Key, "x-"):
			f.Value.Walk(f.Key, pass)
		case !isSection:
			f.Value.Walk(f.Key, tell)
		}
		for _, entry := range f.Value.Fields {
			switch {
			case !isSection || entry.Value.IsFilled():
			case used[entry.Key]:
				entry.Value.Walk(tree.Join(f.Key, entry.Key), tell)
			default:
				entry.Value.Walk(tree.Join(f.Key, entry.Key), pass)
			}
		}
	}
	for base := range v.bases {
		if v.asked[base] {
			imagePart(v.disabled[base]).Walk("services."+base, tell)
		}
	}
	v.otherFaults(pass)
}

// isNamed says that a section has names that services use.
func isNamed(section string) bool {
	return slices.Contains([]string{"networks", "volumes", "secrets", "configs", "models"}, section)
}

// otherFaults tells of those that stand nowhere: what they were in is gone, or
// was made something else, so that nobody can say who uses them.
func (v *validator) otherFaults(pass func(*tree.Node, string)) {
	for _, s := range v.disabled {
		s.Walk("", pass)
	}
	for _, root := range v.l.extended {
		if root != nil {
			root.Walk("", pass)
		}
	}
	for _, f := range v.l.faults {
		if !f.Found {
			v.l.Report(f.Diagnostic)
		}
	}
}
