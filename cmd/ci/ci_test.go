package ci

import (
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orlop/orlop/cmd/ci/junit"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/secret"
)

func on(condition string, names ...string) map[string]spec.Dependency {
	deps := map[string]spec.Dependency{}
	for _, n := range names {
		deps[n] = spec.Dependency{Condition: condition, Required: true}
	}
	return deps
}

func TestWhichServicesAreTests(t *testing.T) {
	test := []string{testProfile}
	p := &spec.Project{Services: map[string]*spec.Service{
		"db": {}, "web": {DependsOn: on(spec.ServiceHealthy, "db")},
		"mock": {Profiles: test},
		"e2e":  {Profiles: test, DependsOn: on(spec.ServiceStarted, "web", "unit")},
		"unit": {Profiles: test, DependsOn: on(spec.ServiceHealthy, "mock")},
		"alone": {
			Profiles: test},
	}}
	for names, want := range map[string]string{
		"":         "alone unit e2e", // in the order of their needs, mock is no test
		"e2e":      "e2e",
		"e2e unit": "unit e2e",
		"mock":     "mock", // named, so it is one
	} {
		got, err := testServices(p, strings.Fields(names))
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("of %q: %q, %v, want %s", names, got, err, want)
		}
	}
	if _, err := testServices(p, []string{"db"}); err == nil || !strings.Contains(err.Error(), "web of the environment depends on it") {
		t.Errorf("a test that the environment needs: %v", err)
	}
	if _, err := testServices(&spec.Project{Services: map[string]*spec.Service{"db": {}}}, nil); err == nil {
		t.Error("a stack without tests has none to run")
	}
	rest, err := withoutOtherTests(p, []string{"unit"})
	if err != nil || rest.Services["alone"] != nil || rest.Services["e2e"] != nil || rest.Services["mock"] == nil || rest.Services["web"] == nil {
		t.Errorf("beside unit are kept %v, %v", rest.Services, err)
	}
	env := environment(p, []string{"unit"})
	if env.Services["unit"].Replicas() != 0 || p.Services["unit"].Replicas() != 1 || env.Services["db"].Replicas() != 1 {
		t.Error("the environment has no container of a test, and of the others what it had")
	}
}

func TestATestRunsOnceAndBesideOthers(t *testing.T) {
	three := 3
	p := &spec.Project{Services: map[string]*spec.Service{"tests": {
		Scale: &three, Restart: "always", ContainerName: "fixed", Ports: []spec.Port{{Target: 80}}, Tty: true, StdinOpen: true, Image: "x",
	}}}
	s := oneRun(p, "tests").Services["tests"]
	if s.Replicas() != 1 || s.Restart != "" || s.ContainerName != "" || s.Ports != nil || s.Tty || s.StdinOpen || s.Image != "x" {
		t.Errorf("the test runs as %+v", s)
	}
	if p.Services["tests"].Restart != "always" {
		t.Error("the project itself is changed")
	}
}

// recorded is a record that has seen a plan and events.
func recorded(began time.Time, steps []*planner.Step, events ...planner.Event) *record {
	r := newRecord(nil, began)
	r.Plan(&planner.Plan{Project: "p", Steps: steps})
	for _, e := range events {
		r.Event(e)
	}
	return r
}

func stack4() []*planner.Step {
	return []*planner.Step{
		{ID: "build api", Action: planner.Build, Resource: "api", Service: "api"},
		{ID: "create db/1", Action: planner.Create, Resource: "db/1", Service: "db"},
		{ID: "await db healthy", Action: planner.Await, Resource: "db healthy", Service: "db", Needs: []string{"create db/1"}},
		{ID: "create api/1", Action: planner.Create, Resource: "api/1", Service: "api", Needs: []string{"build api", "await db healthy"}},
		{ID: "await api ready", Action: planner.Await, Resource: "api ready", Service: "api", Needs: []string{"create api/1"}},
		{ID: "create web/1", Action: planner.Create, Resource: "web/1", Service: "web", Needs: []string{"await api ready"}},
		{ID: "create other/1", Action: planner.Create, Resource: "other/1", Service: "other"},
	}
}

func TestWhatAFailureStops(t *testing.T) {
	steps := stack4()
	var all []*stepRecord
	for _, s := range steps {
		all = append(all, &stepRecord{step: s})
	}
	for id, want := range map[int]string{0: "api/1 web/1", 1: "api/1 web/1", 2: "api/1 web/1", 4: "web/1", 6: ""} {
		if got := strings.Join(dependents(all, steps[id]), " "); got != want {
			t.Errorf("%s stops %q, want %q", steps[id].ID, got, want)
		}
	}
}

func TestTheReportOfSteps(t *testing.T) {
	began := time.Unix(1000, 0)
	at := func(s int) time.Time { return began.Add(time.Duration(s) * time.Second) }
	event := func(s int, id string, kind planner.Outcome, more func(*planner.Event)) planner.Event {
		step := (&planner.Plan{Steps: stack4()}).Step(id)
		e := planner.Event{Time: at(s), Step: id, Kind: kind, Action: step.Action, Resource: step.Resource, Service: step.Service}
		if more != nil {
			more(&e)
		}
		return e
	}
	r := recorded(began, stack4(),
		event(0, "build api", planner.Started, nil), event(0, "create db/1", planner.Started, nil),
		event(1, "create db/1", planner.Done, func(e *planner.Event) { e.Took = time.Second }),
		event(1, "build api", planner.Progressed, func(e *planner.Event) { e.Text = "[2/2] RUN make" }),
		event(1, "build api", planner.Progressed, func(e *planner.Event) { e.Text, e.Lines = "[2/2] RUN make", []string{"made it"} }),
		event(1, "await db healthy", planner.Started, nil),
		event(2, "await db healthy", planner.Progressed, func(e *planner.Event) { e.Text = "not healthy yet: refused" }),
		event(3, "await db healthy", planner.Failed, func(e *planner.Event) {
			e.Text, e.Lines, e.Took = "exited with code 1", []string{"cannot"}, 2*time.Second
		}),
		event(3, "create api/1", planner.Skipped, func(e *planner.Event) { e.Text = "waits for db healthy" }),
	)
	var got []string
	names := map[junit.Status]string{junit.Passed: "passed", junit.Failed: "failed", junit.Broken: "broken", junit.Skipped: "skipped"}
	for _, s := range r.those(func(*stepRecord) bool { return true }) {
		k := stepCase(s, at(10))
		got = append(got, strings.Join([]string{k.Name, names[k.Status], k.Message, k.Detail, display.Seconds(k.Time)}, "|"))
	}
	want := []string{
		"build api|broken|not ended: [2/2] RUN make||10.0 s", "create db/1|passed|||1.0 s", "await db healthy|failed|exited with code 1|cannot|2.0 s",
		"create api/1|skipped|waits for db healthy||0.00 s", "await api ready|skipped|not begun||0.00 s", "create web/1|skipped|not begun||0.00 s",
		"create other/1|skipped|not begun||0.00 s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the cases are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if k := serviceCase("db", r.steps, at(10)); k.Status != junit.Failed || k.Time != 3*time.Second {
		t.Errorf("db is %+v", k)
	}
	if log := strings.Join(r.builds["api"], "\n"); log != "[started]\n[2/2] RUN make\nmade it" {
		t.Errorf("the build's log is %q", log)
	}
	if f := r.failures(); len(f) != 1 || f[0].step.Service != "db" {
		t.Errorf("failures are %v", f)
	}
	if w := r.waiting(); len(w) != 1 || w[0].step.ID != "build api" {
		t.Errorf("waiting are %v", w)
	}
	if w := strings.Join(r.waits(at(4)), "\n"); !strings.Contains(w, "build     api") || !strings.Contains(w, "(4.0 s)") || strings.Contains(w, "db/1") {
		t.Errorf("what is waited for:\n%s", w)
	}
}

func TestWhereTheExitCodeComesFrom(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		results []*testResult
		failed  planner.Action
		code    int
		why     string
	}{
		"all passed":       {nil, []*testResult{{service: "a", ended: true}, {service: "b", ended: true}}, "", 0, "2 test services passed"},
		"the first failed": {nil, []*testResult{{service: "a", ended: true}, {service: "b", ended: true, code: 3}, {service: "c", ended: true, code: 4}}, "", 3, "the code of b"},
		"SIGTERM":          {signalled{syscall.SIGTERM}, nil, "", 143, "interrupted by SIGTERM"},
		"SIGINT":           {signalled{syscall.SIGINT}, nil, planner.Create, 130, "interrupted by SIGINT"},
		"late":             {errTimeout, nil, "", 67, "timed out after 5s (--timeout)"},
		"a build":          {errStepFailed, nil, planner.Build, 65, "an image could not be built or pulled"},
		"before any build": {notBuilt{errors.New("no Dockerfile")}, nil, "", 65, "an image could not be built"},
		"a container":      {cli.Exit{Code: 1}, nil, planner.Create, 66, "the environment did not come up"},
		"no engine":        {errors.New("no engine"), nil, "", 66, "the environment did not come up"},
		"a lost test":      {&testNotRun{"a", errTestGone}, nil, "", 69, "a did not run to completion"},
		"a late test":      {&testNotRun{"a", errTimeout}, nil, "", 67, "timed out after 5s (--timeout)"},
		"it exists":        {cli.Coded{Err: errors.New("exists"), Code: 64}, nil, "", 64, "nothing was started"},
	} {
		steps := []*planner.Step{{ID: "x", Action: test.failed, Service: "s"}}
		c := &run{flags: Options{Timeout: 5 * time.Second}, results: test.results, record: recorded(time.Time{}, nil)}
		if test.failed != "" {
			c.record = recorded(time.Time{}, steps, planner.Event{Step: "x", Action: test.failed, Service: "s", Kind: planner.Failed})
		}
		if got := c.judge(test.err); got.code != test.code || got.why != test.why {
			t.Errorf("%s: %+v, want %d, %q", name, got, test.code, test.why)
		}
	}
}

func TestHowAContainerStands(t *testing.T) {
	for want, k := range map[string]planner.Container{
		"exited with code 137 (SIGKILL, out of memory)": {State: planner.Exited, ExitCode: 137, OOMKilled: true},
		"exited with code 3":                            {State: planner.Exited, ExitCode: 3},
		"exited with code 5, restarted 4 times":         {State: planner.Restarting, ExitCode: 5, Restarts: 4},
		"running, unhealthy":                            {State: planner.Running, Health: planner.Unhealthy},
		"running, restarted once":                       {State: planner.Running, Restarts: 1},
		"exited with code 255 (its shim was lost)":      {State: planner.Exited, ExitCode: 255, Error: "its shim was lost"},
		"exited with code 143 (SIGTERM)":                {State: planner.Exited, ExitCode: 143},
		"created":                                       {State: planner.Created},
	} {
		if got := display.StateNote(&k); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestSecretsOfReportsAreHidden has a secret that XML escapes in each text.
func TestSecretsOfReportsAreHidden(t *testing.T) {
	const content, inXML = `p&ss<word`, `p&amp;ss&lt;word`
	text := strings.ReplaceAll(`<testsuites name="S"><testsuite name="S" hostname="S"><properties><property name="S" value="S"/></properties>`+
		`<testcase classname="S" name="S"><failure message="S" type="S">S</failure><system-out>S</system-out><system-err><![CDATA[C]]></system-err></testcase>`+
		`<system-out>S</system-out><system-err>S</system-err></testsuite></testsuites>`, "S", inXML)
	text = strings.Replace(text, "[C]", "["+content+"]", 1)
	r, err := junit.Read(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	m := &secret.Mask{}
	m.Add([]byte(content))
	maskReport(m, r)
	var out strings.Builder
	if err := r.Write(&out); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Contains(got, inXML) || strings.Count(got, "***") < 12 {
		t.Errorf("the report is %s", got)
	}
}
