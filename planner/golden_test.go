package planner_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	. "github.com/orlop/orlop/planner"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/orlop/orlop/spec"
)

var update = flag.Bool("update", false, "write the wanted plans anew")

// TestPlans runs the scenarios of testdata/plans. Each has the stack file
// that was applied (before.yaml, or nothing), the one that is wanted
// (after.yaml; without it the first), and lines of the comment that say what
// happened in between:
//
//	options {...}        Options of the plan, as JSON
//	before-options {...} Options of the first
//	stop web/1           the user stopped it
//	pause web/1          the user paused it
//	exit web/1 3         it ended by itself
//	health db/1 unhealthy
//	guest NETWORK PROJECT web/1 ID  another project's container is on it
//	connect web/1 NETWORK     it was brought there by hand; disconnect takes it off
//	adrift app/1         its network's owner was replaced without it
//	digest redis:7       another image is under this name now
//	forget image redis:7 | network shop_default | volume shop_data | record web/1
//	absent PATH          nothing is at this path of the host
//	add NAME/N           a container of a service that is in neither file
//	add-network NAME, add-volume NAME
//	built web FILE=SUM...   what its image was built from
//	inputs web FILE=SUM...  what it would be built from now
//	files secrets.x=old, wanted-files secrets.x=new
//	down {...}           plan Down with these DownOptions
//	lifecycle ACTION [SERVICE...]
//
// want.text and want.json hold the plan; -update writes them.
func TestPlans(t *testing.T) {
	paths, err := filepath.Glob("testdata/plans/*.txtar")
	if err != nil || len(paths) < 20 {
		t.Fatalf("the scenarios are not there: %d, %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) { runScenario(t, path) })
	}
}

type scenario struct {
	t       *testing.T
	w       *world
	project *spec.Project
	opts    Options
	plan    func() (*Plan, error)
}

func runScenario(t *testing.T, path string) {
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	archive := txtar.Parse(data)
	section := func(name string) string {
		for _, f := range archive.Files {
			if f.Name == name {
				return string(f.Data)
			}
		}
		return ""
	}
	s := &scenario{t: t, w: newWorld()}
	lines := strings.Split(strings.TrimSpace(string(archive.Comment)), "\n")
	after := section("after.yaml")
	if before := section("before.yaml"); before != "" {
		if after == "" {
			after = before
		}
		s.project = load(t, before)
		var opts Options
		for _, l := range lines {
			s.before(l, &opts)
		}
		s.w.apply(t, converge(t, s.project, s.w, opts))
		s.opts.Inputs, s.opts.Files = opts.Inputs, opts.Files
	}
	s.project = load(t, after)
	s.plan = func() (*Plan, error) { return Converge(s.project, &s.w.observed, s.opts) }
	for _, l := range lines {
		s.line(l)
	}
	got, doc := "", ""
	if plan, err := s.plan(); err != nil {
		got = "error: " + err.Error() + "\n"
	} else {
		if section("want.unsound") == "" && !strings.Contains(string(archive.Comment), "\ndown ") && !strings.Contains(string(archive.Comment), "\nlifecycle ") {
			sound(t, plan)
		}
		got, doc = plan.Text()+graph(plan), indent(t, plan)
	}
	if *update {
		archive.Files = slices.DeleteFunc(archive.Files, func(f txtar.File) bool { return f.Name == "want.text" || f.Name == "want.json" && doc != "" })
		archive.Files = append(archive.Files, txtar.File{Name: "want.text", Data: []byte(got)})
		if doc != "" && strings.Contains(string(archive.Comment), "json\n") {
			archive.Files = append(archive.Files, txtar.File{Name: "want.json", Data: []byte(doc)})
		}
		if err := os.WriteFile(path, txtar.Format(archive), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want := section("want.text"); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
	if want := section("want.json"); want != "" && doc != want {
		t.Errorf("got JSON:\n%s\nwant:\n%s", doc, want)
	}
}

// graph is what waits for what, one line a step.
func graph(p *Plan) string {
	var b strings.Builder
	for _, s := range p.Steps {
		b.WriteString("# " + s.ID)
		if len(s.Needs) > 0 {
			b.WriteString(" <- " + strings.Join(s.Needs, ", "))
		}
		if len(s.After) > 0 {
			b.WriteString(" <~ " + strings.Join(s.After, ", "))
		}
		if s.IfChanged {
			b.WriteString(" (if changed)")
		}
		if s.Otherwise != "" {
			b.WriteString(" (else " + string(s.Otherwise) + ")")
		}
		if s.Optional {
			b.WriteString(" (optional)")
		}
		b.WriteString("\n")
	}
	return b.String()
}

func indent(t *testing.T, p *Plan) string {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(p); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// before reads the lines that are about the first plan.
func (s *scenario) before(line string, opts *Options) {
	verb, rest, _ := strings.Cut(line, " ")
	switch verb {
	case "before-options":
		s.decode(rest, opts)
	case "built":
		service, files, _ := strings.Cut(rest, " ")
		if opts.Inputs == nil {
			opts.Inputs = map[string]*Inputs{}
		}
		opts.Inputs[service] = inputs(files)
	case "files":
		opts.Files = pairs(rest)
	}
}

func (s *scenario) decode(text string, v any) {
	s.t.Helper()
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		s.t.Fatalf("%s: %v", text, err)
	}
}

func (s *scenario) line(line string) {
	s.t.Helper()
	o := &s.w.observed
	words := strings.Fields(line)
	if len(words) == 0 || strings.HasPrefix(line, "#") {
		return
	}
	rest := strings.TrimSpace(strings.TrimPrefix(line, words[0]))
	switch words[0] {
	case "before-options", "built", "files", "json":
	case "options":
		s.decode(rest, &s.opts)
	case "stop":
		k := s.w.find(s.t, words[1])
		k.State, k.Stopped, k.ExitCode = Exited, true, 143
	case "pause":
		s.w.find(s.t, words[1]).Paused = true
	case "exit":
		k := s.w.find(s.t, words[1])
		k.State, k.Health = Exited, NoHealth
		k.ExitCode, _ = strconv.Atoi(words[2])
	case "guest":
		n := o.Networks[words[1]]
		n.Guests = append(n.Guests, Guest{Project: words[2], Resource: words[3], Container: words[4]})
		o.Networks[words[1]] = n
	case "connect":
		k := s.w.find(s.t, words[1])
		k.Networks = append(k.Networks, words[2])
	case "disconnect":
		k := s.w.find(s.t, words[1])
		k.Networks = slices.DeleteFunc(k.Networks, func(name string) bool { return name == words[2] })
		k.Lost = append(k.Lost, "it was taken off network "+words[2])
	case "adrift":
		s.w.find(s.t, words[1]).Adrift = true
	case "left-out":
		k := s.w.find(s.t, words[1])
		k.LeftOut = append(k.LeftOut, words[2:]...)
	case "turned":
		s.w.find(s.t, words[1]).Turned = map[string]string{words[2]: words[3]}
	case "health":
		s.w.find(s.t, words[1]).Health = Health(words[2])
	case "digest":
		image := o.Images[words[1]]
		image.Digest = "sha256:other"
		o.Images[words[1]] = image
	case "absent":
		s.w.observed.Absent = append(s.w.observed.Absent, rest)
	case "forget":
		switch words[1] {
		case "image":
			delete(o.Images, words[2])
		case "network":
			delete(o.Networks, words[2])
		case "volume":
			delete(o.Volumes, words[2])
		case "record":
			s.w.find(s.t, words[2]).Applied = nil
		}
	case "add":
		service, number, _ := strings.Cut(words[1], "/")
		n, _ := strconv.Atoi(number)
		o.Containers = append(o.Containers, Container{ID: s.w.next(), Service: service, Number: n, State: Running, Applied: &Applied{Service: &spec.Service{}}})
	case "run":
		o.Containers = append(o.Containers, Container{ID: s.w.next(), Name: words[1], Service: words[2], OneOff: true, State: State(words[3]), Networks: words[4:], Applied: &Applied{Service: &spec.Service{}}})
	case "add-network":
		o.Networks[words[1]] = Network{Name: words[1]}
	case "add-volume":
		o.Volumes[words[1]] = Volume{Name: words[1]}
	case "inputs":
		if s.opts.Inputs == nil {
			s.opts.Inputs = map[string]*Inputs{}
		}
		s.opts.Inputs[words[1]] = inputs(strings.TrimPrefix(rest, words[1]))
	case "wanted-files":
		s.opts.Files = pairs(rest)
	case "down":
		var opts DownOptions
		s.decode(rest, &opts)
		s.plan = func() (*Plan, error) { return Down("shop", s.project, o, opts), nil }
	case "lifecycle":
		s.plan = func() (*Plan, error) { return Lifecycle("shop", o, Action(words[1]), words[2:], ""), nil }
	default:
		s.t.Fatalf("unknown line %q", line)
	}
}

func pairs(text string) map[string]string {
	m := map[string]string{}
	for _, w := range strings.Fields(text) {
		k, v, _ := strings.Cut(w, "=")
		m[k] = v
	}
	return m
}

// inputs makes a fingerprint: names with a colon are no files ("args:X=1"); those
// that begin with "given:" are arguments of the command, and not in the sum.
func inputs(text string) *Inputs {
	in := &Inputs{Files: map[string]string{}, Other: map[string]string{}, Given: map[string]string{}}
	var sum []string
	for _, word := range strings.Fields(text) {
		if given, ok := strings.CutPrefix(word, "given:"); ok {
			k, v, _ := strings.Cut(given, "=")
			in.Given[k] = v
		} else {
			sum = append(sum, word)
		}
	}
	in.Sum = strings.Join(sum, " ")
	for k, v := range pairs(in.Sum) {
		if kind, name, ok := strings.Cut(k, ":"); ok {
			in.Other[kind+"."+name] = v
		} else {
			in.Files[k] = v
		}
	}
	if _, in.Floating = in.Files["floating"]; in.Floating {
		delete(in.Files, "floating")
	}
	return in
}
