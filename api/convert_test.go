package api

import (
	"reflect"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// fill sets every field of a value to something that is not its zero, so that a
// field which the protocol forgets is seen.
func fill(v reflect.Value, n *int) {
	*n++
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), n)
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(int64(*n), 7)))
			return
		}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Tag.Get("json") != "-" { // the rest is the engine's alone
				fill(v.Field(i), n)
			}
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), n)
		}
	case reflect.Map:
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, n)
		fill(value, n)
		v.Set(reflect.MakeMap(v.Type()))
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString(string(rune('a' + *n%26)))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(int64(*n))
	case reflect.Float64:
		v.SetFloat(float64(*n))
	default:
		panic("the protocol has no form yet for " + v.Type().String())
	}
}

// crossed is a message as the other side reads it.
func crossed[M proto.Message](t *testing.T, m M) M {
	t.Helper()
	b, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	out := m.ProtoReflect().New().Interface().(M)
	if err := proto.Unmarshal(b, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("it comes as\n%+v, want\n%+v", got, want)
	}
}

func TestEveryFieldOfAnEventCrosses(t *testing.T) {
	var e planner.Event
	n := 0
	fill(reflect.ValueOf(&e).Elem(), &n)
	equal(t, crossed(t, NewEvent(e)).Planner(), e)
	equal(t, crossed(t, NewEvent(planner.Event{})).Planner(), planner.Event{})
}

func TestEveryFieldOfAPlanThatIsShownCrosses(t *testing.T) {
	step, n := &planner.Step{}, 0
	v := reflect.ValueOf(step).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("json") != "-" { // the rest is the engine's alone
			fill(v.Field(i), &n)
		}
	}
	p := &planner.Plan{Project: "shop", Steps: []*planner.Step{step}, Leave: 2, Orphans: []string{"old"}, EndedRuns: []string{"shop-web-run-1"}, Warnings: []string{"w"}}
	equal(t, crossed(t, NewPlan(p)).Planner(), p)
	equal(t, crossed(t, NewPlan(&planner.Plan{})).Planner(), &planner.Plan{Steps: []*planner.Step{}}) // in JSON a list, not null
}

func TestEveryFieldOfAContainerCrosses(t *testing.T) {
	var c planner.Container
	n := 0
	v := reflect.ValueOf(&c).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Name != "Applied" {
			fill(v.Field(i), &n)
		}
	}
	c.Applied = &planner.Applied{Service: &spec.Service{Image: "busybox"}, Image: "sha256:1", Networks: map[string]string{"default": "shop_default"}}
	m, err := NewContainer(c)
	if err != nil {
		t.Fatal(err)
	}
	got, err := crossed(t, m).Planner()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, got, c)
	if _, err := (&Container{Name: "web", Applied: []byte("{")}).Planner(); err == nil {
		t.Error("half a document is read as one")
	}
}

// TestWhatProgramsPrintCrosses: also what is no text, or is cut in the middle of a
// character.
func TestWhatProgramsPrintCrosses(t *testing.T) {
	const bad, want = "caf\xe9 \xff\xfe caf\xc3", "caf\uFFFD \uFFFD caf\uFFFD"
	lines := []string{"fine", bad}
	e := crossed(t, NewEvent(planner.Event{Text: bad, Lines: lines, Part: &planner.Part{Name: bad, Error: bad}})).Planner()
	equal(t, []string{e.Text, e.Lines[0], e.Lines[1], e.Part.Name, e.Part.Error}, []string{want, "fine", want, want, want})
	if lines[1] != bad {
		t.Error("the caller's lines are changed")
	}
	m, err := NewContainer(planner.Container{
		Name: "web", Error: bad, Command: []string{bad}, LeftOut: []string{bad}, LastProbe: &planner.ProbeInfo{Output: bad},
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := crossed(t, m).Planner()
	if err != nil {
		t.Fatal(err)
	}
	equal(t, []string{c.Error, c.Command[0], c.LeftOut[0], c.LastProbe.Output}, []string{want, want, want, want})
	step := &planner.Step{ID: "create web/1", Reasons: []planner.Reason{{Path: "a", From: bad, To: bad, Text: bad}}}
	p := crossed(t, NewPlan(&planner.Plan{Steps: []*planner.Step{step}, Warnings: []string{bad}})).Planner()
	equal(t, []string{p.Warnings[0], p.Steps[0].Reasons[0].From, p.Steps[0].Reasons[0].Text}, []string{want, want, want})
}
