// Package instance keeps what is known of the instances of stacks: who uses them,
// since when, which images they have built, and the ports that they were given
// once. It makes and removes nothing.
package instance

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/orlop/orlop/planner"
)

// bucket keeps the instances: project -> Instance.
const bucket = "instances"

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

// Documents keeps small documents across engines.
type Documents interface {
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
	Load(bucket string) (map[string][]byte, error)
}

// Book keeps the instances of an engine.
type Book struct {
	docs Documents
	now  func() time.Time
	mu   sync.Mutex
	all  map[string]*Instance // guarded by mu
}

// Open knows the instances again that are on record.
func Open(docs Documents, now func() time.Time) (*Book, error) {
	b := &Book{docs: docs, now: now, all: map[string]*Instance{}}
	found, err := docs.Load(bucket)
	if err != nil {
		return nil, fmt.Errorf("cannot read the records of the instances: %w", err)
	}
	for project, doc := range found {
		inst := &Instance{}
		if json.Unmarshal(doc, inst) == nil {
			b.all[project] = inst
		}
	}
	return b, nil
}

// change alters an instance, if it is one, and keeps it.
func (b *Book) change(project string, alter func(*Instance)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	inst := b.all[project]
	if inst == nil {
		return
	}
	alter(inst)
	if doc, err := json.Marshal(inst); err == nil {
		b.docs.Save(bucket, project, doc)
	}
}

// Port is the port that a listener of an instance was given, 0 if none; known
// says that the project is an instance at all.
func (b *Book) Port(project, key string) (port int, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	inst := b.all[project]
	if inst == nil {
		return 0, false
	}
	return inst.Ports[key], true
}

// KeepPort notes the port that a listener of an instance was given.
func (b *Book) KeepPort(project, key string, port int) {
	b.change(project, func(inst *Instance) {
		if inst.Ports == nil {
			inst.Ports = map[string]int{}
		}
		inst.Ports[key] = port
	})
}

// Note keeps that a project is an instance which is being applied; one without a
// name is none and is left alone. images are those that it builds under names of
// its own.
func (b *Book) Note(of Instance) {
	if of.Name == "" {
		return
	}
	now := b.now()
	b.mu.Lock()
	if b.all[of.Project] == nil {
		b.all[of.Project] = &Instance{Project: of.Project, Created: now}
	}
	b.mu.Unlock()
	b.change(of.Project, func(i *Instance) {
		i.Name, i.WorkingDir, i.Files, i.Used = of.Name, of.WorkingDir, slices.Clone(of.Files), now
		i.Images = slices.Compact(slices.Sorted(slices.Values(slices.Concat(i.Images, of.Images))))
	})
}

// Use notes that a command is about a project, if it is an instance.
func (b *Book) Use(project string) {
	b.change(project, func(i *Instance) { i.Used = b.now() })
}

// List gives the instances, by project.
func (b *Book) List() []Instance {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []Instance
	for _, i := range b.all {
		copied := *i
		copied.Files, copied.Images, copied.Ports = slices.Clone(i.Files), slices.Clone(i.Images), maps.Clone(i.Ports)
		out = append(out, copied)
	}
	slices.SortFunc(out, func(x, y Instance) int { return cmp.Compare(x.Project, y.Project) })
	return out
}

// Forget forgets an instance that nothing is left of: observed is what exists of
// its project, here says whether an image is.
func (b *Book) Forget(project string, observed *planner.Observed, here func(ref string) bool) {
	if !isGone(project, observed) || len(b.Images(project, here)) > 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, project)
	b.docs.Delete(bucket, project)
}

// Images are the images that an instance built under names of its own and that
// are here.
func (b *Book) Images(project string, here func(ref string) bool) []string {
	b.mu.Lock()
	var built []string
	if i := b.all[project]; i != nil {
		built = slices.Clone(i.Images)
	}
	b.mu.Unlock()
	return slices.DeleteFunc(built, func(ref string) bool { return !here(ref) })
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
