package display

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// began is when the progress of all these tests begins.
var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }

func dur(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }

// firstUp is the plan of the first up of a shop.
func firstUp() *planner.Plan {
	return &planner.Plan{Project: "shop", Steps: []*planner.Step{
		{ID: "create-network default", Action: planner.CreateNetwork, Resource: "default", Name: "shop_default"},
		{ID: "create-volume pgdata", Action: planner.CreateVolume, Resource: "pgdata"},
		{ID: "pull redis:7", Action: planner.Pull, Resource: "redis:7", Name: "redis:7", Service: "redis"},
		{ID: "build api", Action: planner.Build, Resource: "api", Service: "api", Name: "shop-api"},
		{ID: "create db/1", Action: planner.Create, Resource: "db/1", Service: "db", Needs: []string{"create-network default", "create-volume pgdata"}},
		{ID: "await db healthy", Action: planner.Await, Resource: "db healthy", Service: "db", Condition: spec.ServiceHealthy, Needs: []string{"create db/1"}},
		{ID: "create redis/1", Action: planner.Create, Resource: "redis/1", Service: "redis", Needs: []string{"pull redis:7"}},
		{ID: "create api/1", Action: planner.Create, Resource: "api/1", Service: "api", Needs: []string{"await db healthy", "build api"}},
	}}
}

type script struct {
	t    *testing.T
	plan *planner.Plan
}

func (s script) event(seconds float64, id string, kind planner.Outcome, change func(*planner.Event)) planner.Event {
	step := s.plan.Step(id)
	if step == nil {
		s.t.Fatalf("no step %q", id)
	}
	e := planner.Event{Time: at(seconds), Step: id, Action: step.Action, Resource: step.Resource, Service: step.Service, Kind: kind}
	if change != nil {
		change(&e)
	}
	return e
}

// halfWay are the events up to the middle of the first up.
func halfWay(t *testing.T) (*planner.Plan, []planner.Event) {
	plan := firstUp()
	s := script{t, plan}
	took := func(x float64) func(*planner.Event) { return func(e *planner.Event) { e.Took = dur(x) } }
	return plan, []planner.Event{
		s.event(0, "create-network default", planner.Started, nil),
		s.event(0, "create-volume pgdata", planner.Started, nil),
		s.event(0, "pull redis:7", planner.Started, nil),
		s.event(0, "build api", planner.Started, nil),
		s.event(0.01, "create-network default", planner.Done, func(e *planner.Event) { e.Took, e.Text = dur(0.01), "10.89.0.0/24" }),
		s.event(0.01, "create-volume pgdata", planner.Done, took(0.01)),
		s.event(0.01, "create db/1", planner.Started, nil),
		s.event(0.3, "create db/1", planner.Done, took(0.29)),
		s.event(0.3, "await db healthy", planner.Started, nil),
		s.event(1, "pull redis:7", planner.Progressed, func(e *planner.Event) { e.Current, e.Total = 20_500_000, 41_000_000 }),
		s.event(1.5, "build api", planner.Progressed, func(e *planner.Event) { e.Text = "compile [4/6] go build ./..." }),
	}
}

func TestTreeShowsALineForEachResource(t *testing.T) {
	plan, events := halfWay(t)
	b := NewBoard(began)
	b.SetPlan(plan)
	for _, e := range events {
		b.Apply(e)
	}
	s := script{t, plan}
	check := func(what string, seconds float64, want string) {
		t.Helper()
		if got := strings.Join(b.tree(at(seconds), 3, 90, 20, Style{}), "\n") + "\n"; got != want {
			t.Errorf("%s is\n%swant\n%s", what, got, want)
		}
	}
	check("the tree half-way", 1.9, `
 ✓ network   default           10.89.0.0/24                             0.0s
 ✓ volume    pgdata                                                     0.0s
 ⠸ pull      redis:7           ██████████░░░░░░░░░░ 20.5/41.0 MB        1.9s
 ⠸ build     api               compile [4/6] go build ./...             1.9s
 ⠸ up        db/1              until it is healthy                      1.9s
 · up        redis/1           waits for image redis:7
 · up        api/1             waits until db is healthy
`[1:])
	b.Apply(s.event(2.0, "await db healthy", planner.Done, func(e *planner.Event) { e.Took = dur(1.7) }))
	b.Apply(s.event(3.1, "pull redis:7", planner.Done, func(e *planner.Event) { e.Took, e.Text = dur(3.1), "41 MB" }))
	check("the tree later", 3.2, `
 ✓ network   default           10.89.0.0/24                             0.0s
 ✓ volume    pgdata                                                     0.0s
 ✓ pull      redis:7           41 MB                                    3.1s
 ⠸ build     api               compile [4/6] go build ./...             3.2s
 ✓ up        db/1              healthy                                  2.0s
 · up        redis/1
 · up        api/1             waits for image api
`[1:])
	s2 := Summary{Words: Words{Done: "is up"}, Verdict: &api.Verdict{Ok: true}, Took: dur(9.2), Addresses: []string{"http://localhost:8080"}}
	want := " ✓ shop is up in 9.2 s (3.1 s pulling redis:7)   http://localhost:8080"
	if got := s2.line(b, Style{}); got != want {
		t.Errorf("summary is %q, want %q", got, want)
	}
	if got, want := header(b, 6, Style{}), " shop  6 services  ·  plan: build 1, pull 1, create 5"; got != want {
		t.Errorf("header is %q, want %q", got, want)
	}
}

func TestTreeFoldsWhatDoesNotFit(t *testing.T) {
	plan, events := halfWay(t)
	b := NewBoard(began)
	b.SetPlan(plan)
	for _, e := range events {
		b.Apply(e)
	}
	want := `
 ✓ 2 done
 ⠋ pull      redis:7           ██████████░░░░░░░░░░ … 1.9s
 ⠋ build     api               compile [4/6] go buil… 1.9s
 ⠋ up        db/1              until it is healthy    1.9s
 · 2 more waiting
`[1:]
	if got := strings.Join(b.tree(at(1.9), 0, 60, 5, Style{}), "\n") + "\n"; got != want {
		t.Errorf("a small tree is\n%swant\n%s", got, want)
	}
	for height := 3; height < 10; height++ {
		for width := 20; width < 100; width += 7 {
			lines := b.tree(at(1.9), 0, width, height, Style{Color: true})
			if len(lines) > height {
				t.Errorf("%d lines in %d rows", len(lines), height)
			}
			for _, l := range lines {
				if visible(l) >= width {
					t.Errorf("a line of %d columns in %d: %q", visible(l), width, l)
				}
			}
		}
	}
}

// failing are the events of an up whose database ends at once.
func failing(t *testing.T) (*planner.Plan, []planner.Event) {
	plan := firstUp()
	s := script{t, plan}
	return plan, []planner.Event{
		s.event(0, "create-network default", planner.Done, nil),
		s.event(0, "create-volume pgdata", planner.Done, nil),
		s.event(0, "build api", planner.Started, nil),
		s.event(0, "create db/1", planner.Started, nil),
		s.event(0.2, "create db/1", planner.Done, nil),
		s.event(0.2, "await db healthy", planner.Started, nil),
		s.event(0.4, "await db healthy", planner.Failed, func(e *planner.Event) {
			e.Text = "exited with code 1 after 0.4 s"
			e.Lines = []string{`initdb: error: directory "/var/lib/postgresql/data" exists but is not empty`}
		}),
		s.event(0.5, "build api", planner.Done, nil),
		s.event(0.5, "create api/1", planner.Skipped, func(e *planner.Event) { e.Text, e.Cause = "waits for db", "await db healthy" }),
	}
}

const failureText = `
 ✗ up        db/1              exited with code 1 after 0.4 s
     | initdb: error: directory "/var/lib/postgresql/data" exists but is not empty
 - up        api/1             skipped: waits for db
 shop is not up: db failed (exit code 1). See: orlop logs db
`

func TestFailureShowsTheCulpritFirst(t *testing.T) {
	plan, events := failing(t)
	b := NewBoard(began)
	b.SetPlan(plan)
	for _, e := range events {
		b.Apply(e)
	}
	s := Summary{Words: Words{Failed: "is not up"}, Verdict: &api.Verdict{Error: "db: exited"}}
	got := strings.Join(append(b.report(at(1), 90, Style{}), s.line(b, Style{})), "\n") + "\n"
	if want := failureText[1:]; got != want {
		t.Errorf("report is\n%swant\n%s", got, want)
	}
}

func TestLogsAreNamedOnlyWhereThereAreAny(t *testing.T) {
	plan, events := failing(t)
	s := script{t, plan}
	sick := func(e *planner.Event) { e.Text = "unhealthy after 2 failed probes (exit code 1)" }
	refused := func(e *planner.Event) { e.Text = "cannot publish 5432/tcp for db: held by process 812 (postgres)" }
	for name, test := range map[string]struct {
		events []planner.Event
		want   string
	}{
		"ran":          {events, " shop is not up: db failed (exit code 1). See: orlop logs db"},
		"a probe":      {[]planner.Event{events[3], events[4], events[5], s.event(0.4, "await db healthy", planner.Failed, sick)}, " shop is not up: db failed. See: orlop logs db"},
		"not replaced": {[]planner.Event{{Step: "replace web/1", Action: planner.Replace, Resource: "web/1", Service: "web", Kind: planner.Failed, Text: "no such program; the old container stays"}}, " shop is not up: web failed"},
		"not started":  {[]planner.Event{{Step: "start web/1", Action: planner.Start, Resource: "web/1", Service: "web", Kind: planner.Failed, Text: "cannot mount /x"}}, " shop is not up: web failed"},
		"limits":       {[]planner.Event{{Step: "update web/1", Action: planner.Update, Resource: "web/1", Service: "web", Kind: planner.Failed, Text: "cannot change the limits"}}, " shop is not up: web failed"},
		"started":      {[]planner.Event{{Step: "start web/1", Action: planner.Start, Resource: "web/1", Service: "web", Kind: planner.Done}, {Step: "start web/1", Action: planner.Start, Resource: "web/1", Service: "web", Kind: planner.Failed, Text: "exited with code 2"}}, " shop is not up: web failed (exit code 2). See: orlop logs web"},
		"never made":   {[]planner.Event{s.event(0.2, "create db/1", planner.Failed, refused)}, " shop is not up: db failed"},
	} {
		b := NewBoard(began)
		b.SetPlan(plan)
		for _, e := range test.events {
			b.Apply(e)
		}
		if got := (Summary{Words: Words{Failed: "is not up"}, Verdict: &api.Verdict{}}).line(b, Style{}); got != test.want {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

func TestPlainPrintsALineWhenSomethingEnds(t *testing.T) {
	plan, events := failing(t)
	var out bytes.Buffer
	d := &plainDisplay{board: NewBoard(began), w: &out, words: Words{Failed: "is not up", Header: true}, services: 4, now: func() time.Time { return at(1) }}
	d.Plan(plan)
	for _, e := range events {
		d.Event(e)
	}
	d.Finish(Summary{Words: d.words, Verdict: &api.Verdict{}})
	want := `
 shop  4 services  ·  plan: build 1, pull 1, create 5
 ✓ network   default                                                    0.0s
 ✓ volume    pgdata                                                     0.0s
 · build     api               started
 ✓ up        db/1                                                       0.0s
 ✗ up        db/1              exited with code 1 after 0.4 s
     | initdb: error: directory "/var/lib/postgresql/data" exists but is not empty
 ✓ build     api                                                        0.0s
 - up        api/1             skipped: waits for db
 shop is not up: db failed (exit code 1). See: orlop logs db
`[1:]
	if out.String() != want {
		t.Errorf("plain output is\n%swant\n%s", out.String(), want)
	}
}

// TestPlainTellsOfBuildStepsThatCameFromTheCache: once each, but for those of BuildKit's own.
func TestPlainTellsOfBuildStepsThatCameFromTheCache(t *testing.T) {
	plan, _ := failing(t)
	s := script{t, plan}
	var out bytes.Buffer
	d := &plainDisplay{board: NewBoard(began), w: &out, now: func() time.Time { return at(1) }}
	d.Plan(plan)
	part := func(name string, cached bool) func(*planner.Event) {
		return func(e *planner.Event) { e.Part = &planner.Part{Name: name, Cached: cached} }
	}
	d.Event(s.event(0, "build api", planner.Started, nil))
	d.Event(s.event(0, "build api", planner.Progressed, part("[internal] load .dockerignore", true)))
	d.Event(s.event(0, "build api", planner.Progressed, part("[1/2] COPY a b", true)))
	d.Event(s.event(0, "build api", planner.Progressed, func(e *planner.Event) { e.Text = "[2/2] RUN make" }))
	d.Event(s.event(0, "build api", planner.Progressed, part("[2/2] RUN make", false)))
	want := `
 · build     api               started
 · build     api               [1/2] COPY a b: cached
 · build     api               [2/2] RUN make
`[1:]
	if out.String() != want {
		t.Errorf("plain output is\n%swant\n%s", out.String(), want)
	}
}

func TestQuietShowsFailuresOnly(t *testing.T) {
	plan, events := failing(t)
	var out bytes.Buffer
	d := &plainDisplay{board: NewBoard(began), w: &out, quiet: true, now: func() time.Time { return at(1) }}
	d.Plan(plan)
	for _, e := range events {
		d.Event(e)
	}
	d.Finish(Summary{Words: Words{Failed: "is not up"}, Verdict: &api.Verdict{}})
	if want := failureText[1:]; out.String() != want {
		t.Errorf("quiet output is\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	d = &plainDisplay{board: NewBoard(began), w: &out, quiet: true, now: func() time.Time { return at(1) }}
	plan, events = halfWay(t)
	d.Plan(plan)
	for _, e := range events {
		d.Event(e)
	}
	d.Finish(Summary{Verdict: &api.Verdict{Ok: true}})
	if out.Len() > 0 {
		t.Errorf("quiet output of a success is %q", out.String())
	}
}

func TestNothingToDoIsOneLine(t *testing.T) {
	var out bytes.Buffer
	w := Words{Nothing: "is up to date", Header: true, Counts: true}
	d := &plainDisplay{board: NewBoard(began), w: &out, words: w, now: func() time.Time { return at(1) }}
	d.Plan(&planner.Plan{Project: "shop", Leave: 7})
	d.Finish(Summary{Words: w, Verdict: &api.Verdict{Ok: true, UpToDate: true}, Took: 20 * time.Millisecond, Services: 6})
	if want := " shop is up to date: 6 services, 7 containers (0.02 s)\n"; out.String() != want {
		t.Errorf("output is %q, want %q", out.String(), want)
	}
}

func TestTheVerdictIsAboutWhatTheVerbWasGiven(t *testing.T) {
	for want, of := range map[string][]string{
		"shop is stopped already":             nil,
		"web is stopped already":              {"web"},
		"web and db are stopped already":      {"web", "db"},
		"web, db and api are stopped already": {"web", "db", "api"},
		"4 services are stopped already":      {"web", "db", "api", "mail"},
	} {
		w := Words{Nothing: "is stopped already", Of: of}
		if got := w.Sentence("shop", w.Nothing); got != want {
			t.Errorf("of %q it says %q, want %q", of, got, want)
		}
	}
	w := Words{Failed: "has nothing to start", Of: []string{"web", "db"}}
	if got := w.Sentence("shop", w.Failed); got != "web and db have nothing to start" {
		t.Errorf("it says %q", got)
	}
}

func TestJSONLinesCarryTheirVersion(t *testing.T) {
	plan, events := failing(t)
	var out bytes.Buffer
	d := &JSON{Enc: json.NewEncoder(&out)}
	d.Plan(plan)
	for _, e := range events {
		d.Event(e)
	}
	d.Finish(Summary{Verdict: &api.Verdict{Error: "db"}})
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(events)+2 {
		t.Fatalf("%d lines, want %d", len(lines), len(events)+2)
	}
	for _, l := range lines {
		var m struct {
			Version int
			Type    string
		}
		if err := json.Unmarshal([]byte(l), &m); err != nil || m.Version != 1 || m.Type == "" {
			t.Errorf("line is %s: %v", l, err)
		}
	}
	if want := `{"version":1,"type":"verdict","ok":false,"error":"db"}`; lines[len(lines)-1] != want {
		t.Errorf("verdict is %s, want %s", lines[len(lines)-1], want)
	}
}

func TestReplicasThatBecomeHealthyAreDoneTogether(t *testing.T) {
	plan := &planner.Plan{Project: "p", Steps: []*planner.Step{
		{ID: "create web/1", Action: planner.Create, Resource: "web/1", Service: "web"},
		{ID: "create web/2", Action: planner.Create, Resource: "web/2", Service: "web"},
		{ID: "await web ready", Action: planner.Await, Resource: "web ready", Service: "web", Condition: planner.Ready},
		{ID: "await old healthy", Action: planner.Await, Resource: "old healthy", Service: "old", Condition: spec.ServiceHealthy},
	}}
	s := script{t, plan}
	b := NewBoard(began)
	b.SetPlan(plan)
	for _, e := range []planner.Event{
		s.event(0, "create web/1", planner.Started, nil), s.event(0, "create web/2", planner.Started, nil),
		s.event(1, "create web/1", planner.Done, nil), s.event(1, "create web/2", planner.Done, nil),
		s.event(1, "await web ready", planner.Started, nil),
		s.event(1, "await old healthy", planner.Started, nil),
		s.event(2, "await web ready", planner.Failed, func(e *planner.Event) { e.Text = "web/2 exited with code 3" }),
	} {
		b.Apply(e)
	}
	want := `
 ⠋ up        web/1                                                      3.0s
 ⠋ up        web/2                                                      3.0s
 ⠋ await     old healthy                                                2.0s
 ✗ await     web ready         web/2 exited with code 3
`[1:]
	if got := strings.Join(b.tree(at(3), 0, 90, 20, Style{}), "\n") + "\n"; got != want {
		t.Errorf("tree is\n%swant\n%s", got, want)
	}
}

func TestFramesReplaceEachOtherInOneWrite(t *testing.T) {
	w := &writes{}
	d := &Canvas{w: w}
	d.Draw([]string{"one", "two"}, 80)
	d.Draw([]string{strings.Repeat("x", 70)}, 80)
	d.Draw([]string{"three"}, 40) // the line of 70 has become two rows
	if len(*w) != 3 {
		t.Fatalf("%d writes, want 3", len(*w))
	}
	for i, up := range []string{"", "\x1b[2A\r", "\x1b[2A\r"} {
		rest, ok := strings.CutPrefix((*w)[i], "\x1b[?2026h\x1b[?25l"+up)
		if !ok || up == "" && strings.Contains(rest, "A\r") {
			t.Errorf("write %d is %q", i, (*w)[i])
		}
	}
}

// writes are the writes that a display made.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestTimesReadBest(t *testing.T) {
	for d, want := range map[time.Duration]string{
		20 * time.Millisecond: "0.02 s", 400 * time.Millisecond: "0.4 s", 9240 * time.Millisecond: "9.2 s", 125 * time.Second: "2 min 5 s",
	} {
		if got := Seconds(d); got != want {
			t.Errorf("%s reads %q, want %q", d, got, want)
		}
	}
	if got := Clock(125 * time.Second); got != "2m05s" {
		t.Errorf("125 s in a column is %q", got)
	}
}

// TestANameAndWhatIsSaidOfItAreTwoColumns: a name of any length has a gap behind it.
func TestANameAndWhatIsSaidOfItAreTwoColumns(t *testing.T) {
	for _, name := range []string{"a-service-of-17/1", "registry.example/shop/web:1", "registry.example/a/path/that/is/longer/than/the/column:1"} {
		steps := []*planner.Step{{ID: "pull " + name, Action: planner.Pull, Resource: name}, {ID: "pull a", Action: planner.Pull, Resource: "a"}}
		var out bytes.Buffer
		d := &plainDisplay{board: NewBoard(began), w: &out, now: func() time.Time { return at(0) }}
		d.Plan(&planner.Plan{Project: "shop", Steps: steps})
		for _, s := range steps {
			d.Event(planner.Event{Time: at(0), Step: s.ID, Action: s.Action, Resource: s.Resource, Kind: planner.Started})
			d.Event(planner.Event{Time: at(0), Step: s.ID, Action: s.Action, Resource: s.Resource, Kind: planner.Done, Text: "pulled"})
		}
		for _, said := range []string{"started", "pulled"} {
			if !strings.Contains(out.String(), name+"  "+said) {
				t.Errorf("there is no gap before %q:\n%s", said, out.String())
			}
		}
	}
}

func TestAPlanWithoutStepsHasAListOfThem(t *testing.T) {
	var out bytes.Buffer
	if err := WritePlan(&out, &planner.Plan{Project: "shop"}, "json", Style{}); err != nil || !strings.Contains(out.String(), `"steps": []`) {
		t.Errorf("it is %s (%v)", out.String(), err)
	}
}
