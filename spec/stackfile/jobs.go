package stackfile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// A job that is to be run is a service of its project; the others are kept as what
// they are, for who reads the project.

// splitJobs makes services of the jobs that are asked for by name and of those that they depend
// on, and takes those out whose profiles are not active.
func (v *validator) splitJobs(active map[string]bool) {
	v.jobs = map[string]bool{}
	jobs := v.root.Value("jobs")
	if jobs == nil || jobs.Kind != tree.MapNode {
		return
	}
	chosen := v.chosenJobs(jobs)
	var kept []tree.Field
	for _, f := range jobs.Fields {
		v.jobs[f.Key] = true
		profiles := tree.Texts(f.Value.Value("profiles"))
		isActive := len(profiles) == 0 || active["*"] || slices.ContainsFunc(profiles, func(p string) bool { return active[p] })
		switch {
		case v.find(f.Key) != nil:
			v.l.Fail(&tree.Node{At: f.At, Width: f.Width}, "jobs."+f.Key, fmt.Sprintf("%q is the name of a service too", f.Key), "names of services and jobs are unique")
			v.jobs[f.Key] = v.services.Value(f.Key) == nil && v.disabled[f.Key] == nil
		case chosen[f.Key]:
			v.triggers(f)
			v.services.Fields = append(v.services.Fields, f)
		case isActive:
			kept = append(kept, f)
		default:
			v.idle = append(v.idle, f)
		}
	}
	jobs.Fields = kept
	slices.SortFunc(v.services.Fields, func(a, b tree.Field) int { return strings.Compare(a.Key, b.Key) })
	if v.root.Value("services") == nil && len(v.services.Fields) > 0 {
		v.root.Set(tree.Field{Key: "services", Value: v.services})
	}
}

// chosenJobs are the jobs that are asked for, and those that they depend on.
func (v *validator) chosenJobs(jobs *tree.Node) map[string]bool {
	chosen := map[string]bool{}
	var choose func(name string)
	choose = func(name string) {
		job := jobs.Value(name)
		if job == nil || chosen[name] || job.Kind != tree.MapNode {
			return
		}
		chosen[name] = true
		if manual := job.Value("triggers").Value("manual"); manual != nil && manual.Text == "false" {
			v.l.Fail(manual, "jobs."+name+".triggers.manual", fmt.Sprintf("%q is not to be run by its name, nor for another job", name), "remove manual: false")
		}
		if deps := job.Value("depends_on"); deps != nil {
			for _, d := range deps.Fields {
				choose(d.Key)
			}
		}
	}
	if !v.l.opts.Jobs {
		return chosen
	}
	for _, name := range v.l.opts.Services {
		choose(name)
	}
	return chosen
}

// workloads are the services and the jobs that are none.
func (v *validator) workloads() []tree.Field {
	jobs := v.root.Value("jobs")
	if jobs == nil || jobs.Kind != tree.MapNode {
		return v.services.Fields
	}
	return slices.Concat(v.services.Fields, jobs.Fields)
}

// workload is a service, active or not, or a job that is none.
func (v *validator) workload(name string) *tree.Node {
	if s := v.find(name); s != nil || !v.jobs[name] {
		return s
	}
	return v.root.Value("jobs").Value(name)
}

// scheduledJobs are those that the engine runs.
func (v *validator) scheduledJobs() (names []string) {
	for _, f := range v.workloads() {
		if v.jobs[f.Key] && len(f.Value.Value("triggers").Value("schedule").Entries()) > 0 {
			names = append(names, f.Key)
		}
	}
	return names
}

// path is where a service, or a job, stands in the stack file.
func (v *validator) path(name string) string {
	if v.jobs[name] {
		return "jobs." + name
	}
	return "services." + name
}

// checkJobs checks what the jobs that are no services say of others, and of when they are run.
func (v *validator) checkJobs() {
	jobs := v.root.Value("jobs")
	if jobs == nil || jobs.Kind != tree.MapNode {
		return
	}
	for _, f := range jobs.Fields {
		v.triggers(f)
		deps := f.Value.Value("depends_on")
		if deps == nil {
			continue
		}
		for _, d := range withoutBad(deps.Fields) {
			if v.find(d.Key) == nil && !v.jobs[d.Key] && !v.incomplete {
				v.l.Fail(&tree.Node{At: d.At, Width: d.Width}, "jobs."+f.Key+".depends_on", fmt.Sprintf("no service or job named %q", d.Key),
					spec.DidYouMean(d.Key, slices.Concat(fieldNames(v.services), fieldNames(jobs))))
			}
		}
	}
}

// triggers complains of a job that does not say what it is run by.
func (v *validator) triggers(f tree.Field) {
	if f.Value.Kind == tree.MapNode && f.Value.Value("triggers") == nil {
		v.l.Fail(&tree.Node{At: f.At, Width: f.Width}, "jobs."+f.Key, "triggers is missing", "write triggers: {manual: true}")
	}
}
