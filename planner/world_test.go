package planner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/orlop/orlop/planner"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/stackfile"
)

// load resolves the text of a stack file as the command would.
func load(t *testing.T, text string) *spec.Project {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "stack.yaml")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	p, _, err := stackfile.Load(context.Background(), stackfile.Options{Files: []string{path}, Name: "shop", AllowUnset: true, SkipPayloads: true})
	if err != nil {
		t.Fatal(err)
	}
	places := maps.Clone(p.Places.All())
	for key, at := range places {
		at.File = filepath.Base(at.File)
		places[key] = at
	}
	p.Places = spec.PlacesOf(places)
	return p
}

// world carries plans out by changing a snapshot: the runner and the builder
// without containers.
type world struct {
	observed Observed
	inputs   map[string]*Inputs
	made     int
}

func newWorld() *world {
	return &world{observed: Observed{
		Images: map[string]Image{}, Networks: map[string]Network{}, Volumes: map[string]Volume{},
	}}
}

func (w *world) next() string { w.made++; return fmt.Sprintf("c%03d", w.made) }

// apply does all the steps of a plan. It fails the test where a step can't be
// done as the plan orders it.
func (w *world) apply(t *testing.T, p *Plan) {
	t.Helper()
	for _, s := range p.Steps {
		if err := w.step(p.Project, s); err != nil {
			t.Fatalf("%s: %v\n%s", s.ID, err, p.Text())
		}
	}
}

func (w *world) step(project string, s *Step) error {
	o := &w.observed
	switch s.Action {
	case Pull:
		o.Images[s.Name] = Image{Digest: "sha256:pulled-" + w.next()}
	case Build:
		o.Images[s.Name] = Image{Digest: "sha256:built-" + w.next(), Inputs: w.inputs[s.Service]}
	case CreateNetwork:
		if s.Network.External {
			return fmt.Errorf("it is external")
		}
		o.Networks[s.Name] = Network{Name: s.Name, Project: project, Key: s.Resource, Applied: s.Network}
	case UpdateNetwork:
		n := o.Networks[s.Name]
		n.Applied = s.Network
		o.Networks[s.Name] = n
	case UpdateVolume:
		v := o.Volumes[s.Name]
		v.Applied = s.Volume
		o.Volumes[s.Name] = v
	case AttachNetwork:
		if n, ok := o.Networks[s.Name]; !ok || n.Applied == nil {
			return fmt.Errorf("it is not there")
		}
	case RemoveNetwork:
		delete(o.Networks, s.Name)
	case CreateVolume:
		if s.Volume.External {
			return fmt.Errorf("it is external")
		}
		if _, ok := o.Volumes[s.Name]; ok && s.OldVolume == nil {
			return fmt.Errorf("it exists")
		}
		o.Volumes[s.Name] = Volume{Name: s.Name, Project: project, Key: s.Resource, Applied: s.Volume}
	case RemoveVolume:
		delete(o.Volumes, s.Name)
	case RemoveImage:
		delete(o.Images, s.Name)
	case Schedules, Reschedule:
		if o.Schedules == nil {
			o.Schedules = map[string]Schedule{}
		}
		o.Schedules[s.Resource] = Schedule{Applied: roundTrip(s.Applied), Paused: s.NoStart}
	case Unschedule:
		delete(o.Schedules, s.Resource)
	case Rollback: // the update has not failed
	case Await:
		if len(s.IfFailed) > 0 {
			return nil
		}
		for i := range o.Containers {
			if k := &o.Containers[i]; k.Service == s.Service && !k.IsCompleted() {
				w.run(k, s)
			}
		}
	default:
		return w.container(project, s)
	}
	return nil
}

func (w *world) container(project string, s *Step) error {
	o := &w.observed
	i := slices.IndexFunc(o.Containers, func(k Container) bool { return k.ID == s.Container })
	if s.Action == Restart && i < 0 {
		return nil // it has been replaced
	}
	if (s.Action != Create) != (i >= 0) {
		return fmt.Errorf("container %q: index %d", s.Container, i)
	}
	switch s.Action {
	case Remove:
		o.Containers = slices.Delete(o.Containers, i, i+1)
		return nil
	case Stop, Kill:
		o.Containers[i].State, o.Containers[i].Stopped = Exited, true
		return nil
	case Start, Restart, Update:
		applied := o.Containers[i].Applied
		if s.Applied != nil {
			a := *s.Applied
			a.Image = applied.Image
			o.Containers[i].Applied = &a
		}
		if s.Action != Update {
			o.Containers[i].Adrift = false
			w.run(&o.Containers[i], s)
		}
		return nil
	case Replace:
		o.Containers = slices.Delete(o.Containers, i, i+1)
	}
	// Who shared the namespace of the old one is left behind until it is restarted.
	for j := range o.Containers {
		if k := &o.Containers[j]; k.Applied != nil && slices.Contains(SharedWith(k.Applied.Service), s.Service) {
			k.Adrift = true
		}
	}
	applied := *s.Applied
	ref := applied.Service.Image
	if ref == "" {
		ref = project + "-" + s.Service
	}
	image, ok := o.Images[ref]
	if !ok {
		return fmt.Errorf("image %s is not there", ref)
	}
	applied.Image = image.Digest
	for key, name := range applied.Networks {
		if _, ok := o.Networks[name]; !ok {
			return fmt.Errorf("network %s is not there", key)
		}
	}
	for key, name := range applied.Volumes {
		if _, ok := o.Volumes[name]; !ok {
			return fmt.Errorf("volume %s is not there", key)
		}
	}
	k := Container{
		ID: w.next(), Name: fmt.Sprintf("%s-%s-%d", project, s.Service, s.Number), Service: s.Service, Number: s.Number,
		State: Created, Applied: roundTrip(&applied), CreatedAt: time.Unix(int64(w.made), 0).UTC(),
	}
	k.Networks = slices.Sorted(maps.Values(k.Applied.Networks))
	w.run(&k, s)
	o.Containers = append(o.Containers, k)
	return nil
}

func (w *world) run(k *Container, s *Step) {
	if s.NoStart {
		return
	}
	k.State, k.Stopped, k.ExitCode = Running, false, 0
	if k.Applied.Service.HealthCheck != nil {
		k.Health = Healthy
	}
}

// roundTrip is what the engine's store makes of a document.
func roundTrip(a *Applied) *Applied {
	b, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	out := &Applied{}
	if err := json.Unmarshal(b, out); err != nil {
		panic(err)
	}
	return out
}

// container finds one by its resource name.
func (w *world) find(t *testing.T, name string) *Container {
	t.Helper()
	for i := range w.observed.Containers {
		if k := &w.observed.Containers[i]; fmt.Sprintf("%s/%d", k.Service, k.Number) == name {
			return k
		}
	}
	t.Fatalf("no container %s", name)
	return nil
}

// sound checks what holds for each plan: known, earlier needs, unique IDs,
// no harm to volumes, reasons with words.
func sound(t *testing.T, p *Plan) {
	t.Helper()
	seen := map[string]bool{}
	for _, s := range p.Steps {
		if seen[s.ID] {
			t.Errorf("two steps %q", s.ID)
		}
		for _, id := range slices.Concat(s.Needs, s.After) {
			if !seen[id] {
				t.Errorf("%s follows %s, which is no earlier step", s.ID, id)
			}
		}
		seen[s.ID] = true
		if s.Action == RemoveVolume {
			t.Errorf("%s: a converge must not touch volumes", s.ID)
		}
		if s.Action != Await && len(s.Reasons) == 0 {
			t.Errorf("%s says no reason", s.ID)
		}
		for _, r := range s.Reasons {
			if r.Text == "" && r.From == r.To {
				t.Errorf("%s: empty reason %+v", s.ID, r)
			}
			if strings.Contains(r.String(), "map[") || strings.Contains(r.String(), "<nil>") {
				t.Errorf("%s: reason in Go's words: %s", s.ID, r)
			}
		}
	}
	if t.Failed() {
		t.Log("\n" + p.Text())
	}
}

func converge(t *testing.T, p *spec.Project, w *world, opts Options) *Plan {
	t.Helper()
	w.inputs = opts.Inputs
	plan, err := Converge(p, &w.observed, opts)
	if err != nil {
		t.Fatal(err)
	}
	sound(t, plan)
	return plan
}
