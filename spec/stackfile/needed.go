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

// needed are the names that the services asked for use of each section.
func (v *validator) needed() map[string]map[string]bool {
	return v.usedBy(func(name string) bool { return v.asked[name] })
}

// contents are the secrets and configs whose contents must be there.
func (v *validator) contents() map[string]map[string]bool {
	switch {
	case v.l.opts.SpareContents:
		return nil
	case !v.l.opts.ImagesOnly:
		return v.needed()
	}
	used := map[string]map[string]bool{"secrets": {}}
	for name := range v.asked {
		secrets := v.find(name).Value("build").Value("secrets")
		if secrets == nil {
			continue
		}
		for _, item := range secrets.Items {
			used["secrets"][tree.TextAt(item, "source")] = true
		}
	}
	return used
}

// isFilled says that all of a tree has its variables.
func isFilled(n *tree.Node) bool {
	if len(n.Unset) > 0 || n.Fault != nil {
		return false
	}
	for i := range n.Fields {
		if !isFilled(n.Fields[i].Value) {
			return false
		}
	}
	return !slices.ContainsFunc(n.Items, func(item *tree.Node) bool { return !isFilled(item) })
}

// eachUnfilled visits the values that are needed and lack variables, and tells of the
// faults in them. Of the others nothing is told.
func (v *validator) eachUnfilled(visit func(n *tree.Node, path string)) {
	needed := v.needed()
	tell := func(n *tree.Node, path string) {
		if n.Fault != nil {
			n.Fault.Found = true
			v.l.Report(n.Fault.Diagnostic)
		}
		visit(n, path)
	}
	pass := func(n *tree.Node, _ string) {
		if n.Fault != nil {
			n.Fault.Found = true
		}
	}
	for _, f := range v.root.Fields {
		used, isSection := needed[f.Key]
		if f.Key == "services" || f.Key == "jobs" {
			used, isSection = v.asked, true
		}
		switch {
		case isFilled(f.Value):
			continue
		case strings.HasPrefix(f.Key, "x-"):
			f.Value.Walk(f.Key, pass)
		case !isSection:
			f.Value.Walk(f.Key, tell)
		}
		for _, entry := range f.Value.Fields {
			switch {
			case !isSection || isFilled(entry.Value):
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
