package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
)

// bucketInstances keeps the instances: project -> Instance.
const bucketInstances = "instances"

// Instance is what is kept of a copy of a stack, for as long as anything of it
// is left: what tells whether somebody still uses it, and the ports that it
// was given once.
type Instance struct {
	Project    string         `json:"project"`
	Name       string         `json:"name"`
	WorkingDir string         `json:"working_dir,omitempty"`
	Files      []string       `json:"files,omitempty"`
	Images     []string       `json:"images,omitempty"` // built under names of its own
	Created    time.Time      `json:"created"`
	Used       time.Time      `json:"used"`            // by a command, last
	Ports      map[string]int `json:"ports,omitempty"` // key of a listener -> port that it has
}

// instances keeps the instances of the engine.
type instances struct {
	store Store
	mu    sync.Mutex
	all   map[string]*Instance // guarded by mu
}

func (i *instances) load() error {
	i.all = map[string]*Instance{}
	docs, err := i.store.Load(bucketInstances)
	if err != nil {
		return err
	}
	for project, doc := range docs {
		inst := &Instance{}
		if json.Unmarshal(doc, inst) == nil {
			i.all[project] = inst
		}
	}
	return nil
}

// change alters an instance, if it is one, and keeps it.
func (i *instances) change(project string, alter func(*Instance)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	inst := i.all[project]
	if inst == nil {
		return
	}
	alter(inst)
	if b, err := json.Marshal(inst); err == nil {
		i.store.Save(bucketInstances, project, b)
	}
}

// port is the port that a listener of an instance was given, 0 if none; known
// says that the project is an instance at all.
func (i *instances) port(project, key string) (port int, known bool) {
	i.mu.Lock()
	defer i.mu.Unlock()
	inst := i.all[project]
	if inst == nil {
		return 0, false
	}
	return inst.Ports[key], true
}

func (i *instances) keepPort(project, key string, port int) {
	i.change(project, func(inst *Instance) {
		if inst.Ports == nil {
			inst.Ports = map[string]int{}
		}
		inst.Ports[key] = port
	})
}

// NoteInstance keeps that a project is an instance which is being applied; a
// project that is none is left alone. images are those that it builds under
// names of its own.
func (r *Runner) NoteInstance(o *Order, name string, images []string) {
	if name == "" {
		return
	}
	now := r.Now()
	r.instances.mu.Lock()
	if r.instances.all[o.Project] == nil {
		r.instances.all[o.Project] = &Instance{Project: o.Project, Created: now}
	}
	r.instances.mu.Unlock()
	r.instances.change(o.Project, func(i *Instance) {
		i.Name, i.WorkingDir, i.Files, i.Used = name, o.WorkingDir, slices.Clone(o.Files), now
		i.Images = slices.Compact(slices.Sorted(slices.Values(slices.Concat(i.Images, images))))
	})
}

// UseInstance notes that a command is about a project, if it is an instance.
func (r *Runner) UseInstance(project string) {
	r.instances.change(project, func(i *Instance) { i.Used = r.Now() })
}

// Instances lists the instances, by project.
func (r *Runner) Instances() []Instance {
	r.instances.mu.Lock()
	defer r.instances.mu.Unlock()
	var out []Instance
	for _, i := range r.instances.all {
		copied := *i
		copied.Files, copied.Images, copied.Ports = slices.Clone(i.Files), slices.Clone(i.Images), maps.Clone(i.Ports)
		out = append(out, copied)
	}
	slices.SortFunc(out, func(x, y Instance) int { return cmp.Compare(x.Project, y.Project) })
	return out
}

// ForgetInstance forgets an instance that nothing is left of: observed is what
// exists of its project.
func (r *Runner) ForgetInstance(ctx context.Context, project string, observed *planner.Observed) {
	if !isGone(project, observed) {
		return
	}
	if len(r.InstanceImages(ctx, project)) > 0 {
		return
	}
	r.instances.mu.Lock()
	defer r.instances.mu.Unlock()
	delete(r.instances.all, project)
	r.store.Delete(bucketInstances, project)
}

// InstanceImages are the images that an instance built under names of its own
// and that are here.
func (r *Runner) InstanceImages(ctx context.Context, project string) []string {
	r.instances.mu.Lock()
	var built []string
	if i := r.instances.all[project]; i != nil {
		built = slices.Clone(i.Images)
	}
	r.instances.mu.Unlock()
	return slices.DeleteFunc(built, func(ref string) bool {
		digest, err := r.Images.Digest(ctx, ref)
		return err == nil && digest == ""
	})
}

// isGone says that neither containers nor networks or volumes of a project are
// left.
func isGone(project string, o *planner.Observed) bool {
	for _, n := range o.Networks {
		if n.Project == project {
			return false
		}
	}
	for _, v := range o.Volumes {
		if v.Project == project {
			return false
		}
	}
	return len(o.Containers) == 0
}
