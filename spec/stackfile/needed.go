package stackfile

import (
	"strings"

	"github.com/orlop/orlop/spec"
)

// fault is a mistake that counts only where the value is used: a variable is
// missing that must be there.
type fault struct {
	diagnostic spec.Diagnostic
	found      bool // it stands in the tree: whoever uses it decides
}

// choose decides which services are asked for: those named, what they depend
// on, and those whose images they are built from; without names, the active ones.
func (v *validator) choose() {
	v.asked = map[string]bool{}
	var visit func(name string, alone bool)
	visit = func(name string, alone bool) {
		s := v.find(name)
		if s == nil || v.asked[name] {
			return
		}
		v.asked[name] = true
		for _, e := range v.waits(s) {
			if e.isContext || !alone && v.services.value(e.to) != nil {
				visit(e.to, alone || e.isContext)
			}
		}
	}
	names := v.l.opts.Services
	if len(names) == 0 || !v.l.opts.Only {
		names = fieldNames(v.services)
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
		secrets := v.find(name).value("build").value("secrets")
		if secrets == nil {
			continue
		}
		for _, item := range secrets.items {
			used["secrets"][textAt(item, "source")] = true
		}
	}
	return used
}

// eachNeeded visits the values that are needed, and tells of the faults in them.
// Of the others nothing is told.
func (v *validator) eachNeeded(visit func(n *node, path string)) {
	needed := v.needed()
	tell := func(n *node, path string) {
		if n.fault != nil {
			n.fault.found = true
			v.l.report(n.fault.diagnostic)
		}
		visit(n, path)
	}
	pass := func(n *node, _ string) {
		if n.fault != nil {
			n.fault.found = true
		}
	}
	for _, f := range v.tree.fields {
		used, isSection := needed[f.key]
		if f.key == "services" {
			used, isSection = v.asked, true
		}
		switch {
		case strings.HasPrefix(f.key, "x-"), f.key == "jobs":
			f.value.walk(f.key, pass)
		case !isSection:
			f.value.walk(f.key, tell)
		}
		for _, entry := range f.value.fields {
			switch {
			case !isSection:
			case used[entry.key]:
				entry.value.walk(join(f.key, entry.key), tell)
			default:
				entry.value.walk(join(f.key, entry.key), pass)
			}
		}
	}
	for base := range v.bases {
		if v.asked[base] {
			imagePart(v.disabled[base]).walk("services."+base, tell)
		}
	}
	v.otherFaults(pass)
}

// otherFaults tells of those that stand nowhere: what they were in is gone, or
// was made something else, so that nobody can say who uses them.
func (v *validator) otherFaults(pass func(*node, string)) {
	for _, s := range v.disabled {
		s.walk("", pass)
	}
	for _, tree := range v.l.extended {
		if tree != nil {
			tree.walk("", pass)
		}
	}
	for _, f := range v.l.faults {
		if !f.found {
			v.l.report(f.diagnostic)
		}
	}
}
