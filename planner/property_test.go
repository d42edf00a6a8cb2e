package planner_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/orlop/orlop/planner"

	"github.com/orlop/orlop/spec/stackfile"

	"github.com/orlop/orlop/spec"
)

// TestCorpus plans each real stack file from nothing, carries the plan out,
// and plans again: nothing is left to do.
func TestCorpus(t *testing.T) {
	paths, err := filepath.Glob("../spec/stackfile/testdata/corpus/*.y*ml")
	if err != nil || len(paths) < 20 {
		t.Fatalf("the corpus is not there: %d files, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			p, _, err := stackfile.Load(context.Background(), stackfile.Options{
				Files: []string{path}, Name: "demo", AllowUnset: true, SkipPayloads: true,
				Environ: map[string]string{"HOME": "/root"},
			})
			if err != nil {
				t.Fatal(err)
			}
			w := newWorld()
			w.addExternal(p)
			opts := Options{Inputs: allInputs(p, "1")}
			plan := converge(t, p, w, opts)
			w.apply(t, plan)
			if got := plan.Count(Create); got < len(p.Services) {
				t.Errorf("%d services, but %d containers to create", len(p.Services), got)
			}
			rested(t, p, w, opts)
			down := Down("demo", p, &w.observed, DownOptions{Volumes: true, RemoveImages: "all"})
			w.apply(t, down)
			if o := w.observed; len(o.Containers)+len(o.Images) > 0 {
				t.Errorf("down left %+v", o)
			}
		})
	}
}

func (w *world) addExternal(p *spec.Project) {
	for _, n := range p.Networks {
		if n.External {
			w.observed.Networks[n.Name] = Network{Name: n.Name}
		}
	}
	for _, v := range p.Volumes {
		if v.External {
			w.observed.Volumes[v.Name] = Volume{Name: v.Name}
		}
	}
}

func allInputs(p *spec.Project, sum string) map[string]*Inputs {
	in := map[string]*Inputs{}
	for name, s := range p.Services {
		if s.Build != nil {
			in[name] = &Inputs{Sum: name + sum, Files: map[string]string{"main.go": sum}}
		}
	}
	return in
}

// rested checks that nothing is left to do.
func rested(t *testing.T, p *spec.Project, w *world, opts Options) {
	t.Helper()
	calm := Options{Inputs: opts.Inputs, Files: opts.Files, Pull: "missing", Wait: opts.Wait}
	plan := converge(t, p, w, calm)
	if !plan.IsEmpty() {
		t.Fatalf("planning after applying is not empty:\n%s", plan.Text())
	}
}

// random makes projects and changes of them.
type random struct{ *rand.Rand }

func (r random) chance(n int) bool { return r.IntN(n) == 0 }

func pick[T any](r random, list ...T) T { return list[r.IntN(len(list))] }

// project is a project of up to 8 services whose dependencies go to lower ones.
func (r random) project() *spec.Project {
	p := &spec.Project{
		Name: "rnd", Services: map[string]*spec.Service{}, Disabled: map[string]*spec.Service{}, Places: spec.Places{},
		Networks: map[string]*spec.Network{"default": {Name: "rnd_default"}, "back": {Name: "rnd_back"}},
		Volumes:  map[string]*spec.Volume{"data": {Name: "rnd_data"}, "logs": {Name: "rnd_logs"}},
		Secrets:  map[string]*spec.Secret{"key": {Name: "rnd_key"}},
	}
	for i := range 1 + r.IntN(8) {
		p.Services[fmt.Sprintf("s%d", i)] = r.service(i)
	}
	return p
}

func (r random) service(i int) *spec.Service {
	s := &spec.Service{Name: fmt.Sprintf("s%d", i), Image: pick(r, "a:1", "b:1", "c:1"), Networks: map[string]*spec.ServiceNetwork{"default": nil}}
	if r.chance(3) {
		s.Build = &spec.Build{Context: "/src/" + s.Name}
		s.Image = pick(r, "", "own-"+s.Name)
	}
	for range r.IntN(i + 1) {
		if s.DependsOn == nil {
			s.DependsOn = map[string]spec.Dependency{}
		}
		s.DependsOn[fmt.Sprintf("s%d", r.IntN(i))] = spec.Dependency{
			Condition: pick(r, spec.ServiceStarted, spec.ServiceHealthy), Restart: r.chance(3), Required: !r.chance(4),
		}
	}
	if i > 0 && r.chance(6) {
		s.NetworkMode, s.Networks = fmt.Sprintf("service:s%d", r.IntN(i)), nil
	}
	for range r.IntN(6) {
		r.mutate(s)
	}
	return s
}

// mutate changes one field.
func (r random) mutate(s *spec.Service) {
	value := pick(r, "x", "y", "z")
	n := r.IntN(4)
	switch r.IntN(16) {
	case 0:
		s.Environment = map[string]*string{"A": &value, value: nil}
	case 1:
		s.Command = pick(r, spec.Command(nil), spec.Command{}, spec.Command{value})
	case 2:
		s.Scale = &n
	case 3:
		s.MemLimit = spec.Bytes(n << 20)
	case 4:
		s.Labels = map[string]string{value: value}
	case 5:
		s.Ports = []spec.Port{{Target: 80, Published: fmt.Sprintf("%d-%d", 8000+n, 8010+n), Protocol: "tcp"}, {Target: 81 + n, Protocol: "udp"}}
	case 6:
		s.Volumes = []spec.Mount{{Type: spec.MountVolume, Source: pick(r, "data", "logs", ""), Target: "/" + value}}
	case 7:
		s.HealthCheck = pick(r, nil, &spec.HealthCheck{Test: []string{"CMD", value}})
	case 8:
		s.Restart = pick(r, "", "no", "always", "on-failure:3", "unless-stopped")
	case 9:
		if s.Networks != nil {
			s.Networks = pick(r, map[string]*spec.ServiceNetwork{"back": nil}, map[string]*spec.ServiceNetwork{"default": {}, "back": {Aliases: []string{value}}})
		}
	case 10:
		s.CapAdd = []string{value, "ALL"}
	case 11:
		if s.Build == nil {
			s.Image = pick(r, "a:1", "a:2", "b:1")
		}
	case 12:
		s.User = value
	case 13:
		s.Deploy = &spec.Deploy{Replicas: &n}
	case 14:
		s.Secrets = []spec.FileMount{{Source: "key", Target: value}}
	case 15:
		s.PullPolicy = pick(r, "", "missing", "always")
	}
}

// options are random ones that still bring all of the project about.
func (r random) options(p *spec.Project) Options {
	return Options{
		Inputs: allInputs(p, pick(r, "1", "2")), Files: map[string]string{"secrets.key": pick(r, "p1", "p2")},
		ForceRecreate: r.chance(6), RemoveOrphans: r.chance(2), Wait: r.chance(2), Build: r.chance(3),
	}
}

// disturb changes the world behind the planner's back.
func (r random) disturb(w *world) {
	o := &w.observed
	for i := range o.Containers {
		k := &o.Containers[i]
		switch r.IntN(10) {
		case 0:
			k.State, k.Stopped = Exited, true
		case 1:
			k.State, k.ExitCode = Exited, r.IntN(2)
		case 2:
			k.Applied = nil
		case 3:
			k.Number = 1 + r.IntN(3)
		case 4:
			k.State = Restarting
		}
	}
	if len(o.Containers) > 0 && r.chance(3) {
		o.Containers = o.Containers[1:]
	}
	if r.chance(5) {
		delete(o.Volumes, "rnd_data")
	}
	r.Shuffle(len(o.Containers), func(i, j int) { o.Containers[i], o.Containers[j] = o.Containers[j], o.Containers[i] })
}

func eachSeed(t *testing.T, n uint64, do func(t *testing.T, r random)) {
	for seed := range n {
		ok := t.Run(fmt.Sprint(seed), func(t *testing.T) { do(t, random{rand.New(rand.NewPCG(seed, 7))}) })
		if !ok {
			t.Fatalf("seed %d", seed)
		}
	}
}

// TestConvergence: whatever was there before, carrying one plan out leaves
// nothing to plan, and no volume is lost on the way.
func TestConvergence(t *testing.T) {
	eachSeed(t, 250, func(t *testing.T, r random) {
		w := newWorld()
		for range 4 {
			p := r.project()
			opts := r.options(p)
			volumes := len(w.observed.Volumes)
			w.apply(t, converge(t, p, w, opts))
			if len(w.observed.Volumes) < volumes {
				t.Fatal("a volume is gone")
			}
			rested(t, p, w, opts)
			w.counts(t, p)
			r.disturb(w)
			for name, s := range p.Services {
				if r.chance(3) {
					changed := *s
					r.mutate(&changed)
					p.Services[name] = &changed
				}
			}
			opts = r.options(p)
			w.apply(t, converge(t, p, w, opts))
			rested(t, p, w, opts)
			w.counts(t, p)
			r.disturb(w)
		}
	})
}

// counts checks that each service has its replicas, no two of a number.
func (w *world) counts(t *testing.T, p *spec.Project) {
	t.Helper()
	for name, s := range p.Services {
		have := map[int]bool{}
		for _, k := range w.observed.Containers {
			if k.Service == name {
				if have[k.Number] || k.Number < 1 || k.Applied == nil {
					t.Errorf("container %s/%d of %d: twice or not wanted", name, k.Number, s.Replicas())
				}
				have[k.Number] = true
			}
		}
		if len(have) != s.Replicas() {
			t.Errorf("%s has %d containers and wants %d", name, len(have), s.Replicas())
		}
	}
}

// TestSameInputSameBytes: maps are walked in an order of their own.
func TestSameInputSameBytes(t *testing.T) {
	eachSeed(t, 60, func(t *testing.T, r random) {
		w := newWorld()
		w.apply(t, converge(t, r.project(), w, Options{}))
		r.disturb(w)
		p := r.project()
		opts := r.options(p)
		doc := func() []byte {
			var out []byte
			for _, plan := range []*Plan{
				converge(t, p, w, opts),
				Down("rnd", p, &w.observed, DownOptions{Volumes: true, RemoveImages: "all"}),
				Lifecycle("rnd", &w.observed, Restart, []string{"s0"}, ""),
				Lifecycle("rnd", &w.observed, Stop, nil, ""),
			} {
				b, err := json.Marshal(plan)
				if err != nil {
					t.Fatal(err)
				}
				out = append(append(out, b...), plan.Text()...)
			}
			return out
		}
		first := doc()
		for range 5 {
			if again := doc(); !bytes.Equal(first, again) {
				t.Fatalf("two plans from one input:\n%s\n%s", first, again)
			}
		}
	})
}

// TestPlansDoNotChangeTheirInput: project and snapshot stay as they were.
func TestPlansDoNotChangeTheirInput(t *testing.T) {
	eachSeed(t, 40, func(t *testing.T, r random) {
		w := newWorld()
		w.apply(t, converge(t, r.project(), w, Options{}))
		p := r.project()
		snap := func() string {
			a, _ := json.Marshal(p)
			b, _ := json.Marshal(w.observed)
			return string(a) + string(b)
		}
		before := snap()
		converge(t, p, w, r.options(p))
		Down("rnd", p, &w.observed, DownOptions{})
		if snap() != before {
			t.Error("planning changed its input")
		}
	})
}

// TestSecretsAreNotInPlans: contents reach neither the plan nor its text.
func TestSecretsAreNotInPlans(t *testing.T) {
	const content = "hunter2-hunter2"
	dir := t.TempDir()
	for name, text := range map[string]string{
		"stack.yaml": "services:\n  web:\n    image: a\n    secrets: [key]\n    build: {context: ., secrets: [key]}\nsecrets:\n  key: {file: ./key}\n  inline: {content: " + content + "}\n",
		"key":        content,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p, _, err := stackfile.Load(context.Background(), stackfile.Options{Files: []string{filepath.Join(dir, "stack.yaml")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Payloads) == 0 {
		t.Fatal("the secret was not loaded: the test can't fail")
	}
	w := newWorld()
	for _, print := range []string{"aa", "bb"} {
		plan := converge(t, p, w, Options{Files: map[string]string{"secrets.key": print}})
		b, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		applied, _ := json.Marshal(Wanted(p, "web", nil))
		if strings.Contains(string(b)+plan.Text()+string(applied), content) {
			t.Errorf("the secret shows:\n%s", b)
		}
		w.apply(t, plan)
	}
}

// TestDownUndoesUp: what one project made is gone after a down, in an order in
// which each dependent goes before what it depends on.
func TestDownUndoesUp(t *testing.T) {
	eachSeed(t, 60, func(t *testing.T, r random) {
		w := newWorld()
		p := r.project()
		w.apply(t, converge(t, p, w, Options{}))
		plan := Down("rnd", p, &w.observed, DownOptions{})
		at := map[string]int{}
		for i, s := range plan.Steps {
			at[s.Resource] = i
			for _, id := range s.After {
				if !slices.ContainsFunc(plan.Steps[:i], func(b *Step) bool { return b.ID == id }) {
					t.Errorf("%s after %s, which is no earlier step", s.ID, id)
				}
			}
		}
		for name, s := range p.Services {
			for dep := range s.DependsOn {
				a, aok := at[fmt.Sprintf("%s/%d", name, 1)]
				b, bok := at[fmt.Sprintf("%s/%d", dep, 1)]
				if aok && bok && a > b {
					t.Errorf("%s is removed after %s, on which it depends", name, dep)
				}
			}
		}
		volumes := len(w.observed.Volumes)
		w.apply(t, plan)
		o := w.observed
		if len(o.Containers)+len(o.Networks) > 0 || len(o.Volumes) != volumes {
			t.Errorf("down left %v and %v, volumes %v", o.Containers, o.Networks, o.Volumes)
		}
	})
}

func BenchmarkConverge(b *testing.B) {
	p := &spec.Project{Name: "big", Services: map[string]*spec.Service{}, Networks: map[string]*spec.Network{"default": {Name: "big_default"}}}
	for i := range 50 {
		s := &spec.Service{Image: "a", Networks: map[string]*spec.ServiceNetwork{"default": nil}}
		if i > 0 {
			s.DependsOn = map[string]spec.Dependency{fmt.Sprintf("s%d", i/2): {Condition: spec.ServiceStarted, Required: true}}
		}
		p.Services[fmt.Sprintf("s%d", i)] = s
	}
	w := newWorld()
	plan, err := Converge(p, &w.observed, Options{})
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range plan.Steps {
		if err := w.step("big", s); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if plan, err := Converge(p, &w.observed, Options{}); err != nil || !plan.IsEmpty() {
			b.Fatal(plan, err)
		}
	}
}
