package ci

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/cmd/ci/junit"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// reporting is a run whose words go into a buffer.
func reporting(t *testing.T, change func(*cli.Settings)) (*run, *bytes.Buffer) {
	t.Helper()
	var errs bytes.Buffer
	s := cli.NewSettings(cli.World{Now: func() time.Time { return began.Add(10 * time.Second) }})
	if change != nil {
		change(&s)
	}
	inv := cli.New(s, display.NewOutput(io.Discard, &errs))
	c := &run{
		Invocation: inv, began: began, flow: inv.Workflow(), record: recorded(began, nil),
		project: &spec.Project{Name: "shop-ci-x", Services: map[string]*spec.Service{"e2e": {}, "web": {}}},
	}
	return c, &errs
}

func TestTheLineOfATest(t *testing.T) {
	report := junit.Report{Suites: []junit.Suite{{Cases: []junit.Case{{Status: junit.Failed}, {}, {Status: junit.Skipped}}}}}
	for name, test := range map[string]struct {
		result   testResult
		progress string
		want     string
	}{
		"passed":          {testResult{ended: true, took: 1500 * time.Millisecond}, "auto", " ✓ e2e         passed after 1.5 s\n"},
		"failed":          {testResult{ended: true, code: 7, took: 12 * time.Second}, "auto", " ✗ e2e         exit code 7 after 12.0 s      out/junit.xml\n"},
		"killed":          {testResult{ended: true, code: 137, how: "(SIGKILL, out of memory)", took: time.Second}, "auto", " ✗ e2e         exit code 137 (SIGKILL, out of memory) after 1.0 s      out/junit.xml\n"},
		"with cases":      {testResult{ended: true, took: time.Second, reports: report}, "auto", " ✓ e2e         passed after 1.0 s      1 of 3 cases failed, 1 skipped\n"},
		"skipped":         {testResult{skipped: "skipped: waits for unit"}, "auto", " - e2e         skipped: waits for unit\n"},
		"quiet, passed":   {testResult{ended: true}, "quiet", ""},
		"quiet, failed":   {testResult{ended: true, code: 1, took: time.Second}, "quiet", " ✗ e2e         exit code 1 after 1.0 s      out/junit.xml\n"},
		"as JSON: a line": {testResult{ended: true}, "json", ""},
	} {
		c, errs := reporting(t, func(s *cli.Settings) { s.Progress = test.progress })
		c.flags.Artifacts = "out"
		test.result.service, test.result.last = "e2e", &display.Tail{Most: 5}
		c.sayTest(&test.result)
		if errs.String() != test.want {
			t.Errorf("%s: %q, want %q", name, errs, test.want)
		}
	}
}

func TestAFailedTestIsAnnotated(t *testing.T) {
	c, errs := reporting(t, func(s *cli.Settings) { s.Env["GITHUB_ACTIONS"] = "true" })
	c.project.Places = spec.PlacesOf(map[string]spec.Place{"services.e2e": {File: "stack.yaml", Line: 9, Column: 3}})
	last := &display.Tail{Most: 50}
	for range 30 {
		last.Add("a line")
	}
	c.sayTest(&testResult{service: "e2e", ended: true, code: 2, took: time.Second, last: last})
	line, _, _ := strings.Cut(errs.String(), "\n")
	if !strings.HasPrefix(line, "::error file=stack.yaml,line=9,col=3,title=e2e failed::exit code 2 after 1.0 s%0Aa line") || strings.Count(line, "a line") != annotatedLines {
		t.Errorf("annotated is %s", line)
	}
}

func TestTheLastLineSaysWhatCameOfIt(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*run)
		want   string
	}{
		"all passed":     {func(c *run) { c.end = end{0, "1 test service passed, removed"} }, " Exit code 0: 1 test service passed, removed\n"},
		"with a test":    {func(c *run) { c.upTook, c.results = 8*time.Second, []*testResult{{container: "c1"}} }, " environment up in 8.0 s. Exit code 0: \n"},
		"with artifacts": {func(c *run) { c.flags.Artifacts = "out" }, " artifacts in out. Exit code 0: \n"},
	} {
		c, errs := reporting(t, nil)
		test.change(c)
		c.verdict()
		if errs.String() != test.want {
			t.Errorf("%s: %q, want %q", name, errs, test.want)
		}
	}
	for progress, want := range map[string]string{"quiet": "", "json": `{"version":1,"type":"result","took":10000000000,"exit_code":0,"reason":"passed"}` + "\n"} {
		c, errs := reporting(t, func(s *cli.Settings) { s.Progress = progress })
		c.end.why = "passed"
		c.verdict()
		if errs.String() != want {
			t.Errorf("%s: %q, want %q", progress, errs, want)
		}
	}
}

func TestATimeOutNamesWhatHangs(t *testing.T) {
	c, errs := reporting(t, nil)
	c.running = &testResult{service: "e2e", began: began.Add(4 * time.Second)}
	c.explain(t.Context(), errTimeout)
	if want := " ✗ e2e         hangs: it has not ended after 6.0 s\n"; errs.String() != want {
		t.Errorf("%q, want %q", errs, want)
	}
	c, errs = reporting(t, nil)
	step := &planner.Step{ID: "build api", Action: planner.Build, Resource: "api", Service: "api"}
	c.record = recorded(began, []*planner.Step{step},
		planner.Event{Time: began.Add(time.Second), Step: "build api", Action: planner.Build, Service: "api", Kind: planner.Started},
		planner.Event{Time: began.Add(2 * time.Second), Step: "build api", Action: planner.Build, Service: "api", Kind: planner.Progressed, Text: "[2/3] RUN make"})
	c.explain(t.Context(), errTimeout)
	if want := " ✗ build     api               hangs: [2/3] RUN make after 9.0 s\n"; errs.String() != want {
		t.Errorf("%q, want %q", errs, want)
	}
}

func TestAnErrorWithoutAStepIsSaid(t *testing.T) {
	c, errs := reporting(t, func(s *cli.Settings) { s.Env["GITHUB_ACTIONS"] = "true" })
	c.sick = []string{"web/1 exited with code 3"}
	c.explain(t.Context(), errors.New("services.web.image: no such image"))
	want := " ! web/1 exited with code 3 while the tests ran\n ✗ services.web.image: no such image\n::error::services.web.image: no such image\n"
	if errs.String() != want {
		t.Errorf("%q, want %q", errs, want)
	}
	errs.Reset()
	c.sick = nil
	c.explain(t.Context(), cli.Exit{Code: 1}) // told already
	c.explain(t.Context(), signalled{})
	if errs.Len() > 0 {
		t.Errorf("said is %q", errs)
	}
}

func TestWhichContainersAreSick(t *testing.T) {
	for name, test := range map[string]struct {
		c    planner.Container
		well bool
	}{
		"it runs":          {planner.Container{State: planner.Running}, true},
		"it is healthy":    {planner.Container{State: planner.Running, Health: planner.Healthy}, true},
		"it is unhealthy":  {planner.Container{State: planner.Running, Health: planner.Unhealthy}, false},
		"restarted since":  {planner.Container{State: planner.Running, Restarts: 3}, false},
		"restarted before": {planner.Container{State: planner.Running, Restarts: 2}, true},
		"never started":    {planner.Container{State: planner.Created}, true},
		"it has failed":    {planner.Container{State: planner.Exited, ExitCode: 1}, false},
		"it restarts":      {planner.Container{State: planner.Restarting}, false},
	} {
		if got := isWell(&test.c, 2); got != test.well {
			t.Errorf("%s: well %t", name, got)
		}
	}
}

func TestTheLastProbeInWords(t *testing.T) {
	p := &planner.ProbeInfo{At: began, ExitCode: 1, Failing: 3, Output: "refused\r\nagain\n"}
	got := probeNote(p, began.Add(2*time.Second))
	if want := []string{"last probe, 2.0 s ago: exit code 1, failed 3 times in a row", "| refused", "| again"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestLinesOfATestStandBehindItsName(t *testing.T) {
	var out bytes.Buffer
	var seen []string
	p := &prefixed{w: &out, prefix: "e2e | ", seen: func(l string) { seen = append(seen, l) }}
	for _, part := range []string{"on", "e\ntwo\r\n", "", "rest"} {
		if n, err := p.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	p.flush()
	p.flush()
	if want := "e2e | one\ne2e | two\ne2e | rest\n"; out.String() != want || !slices.Equal(seen, []string{"one", "two", "rest"}) {
		t.Errorf("%q, seen %q", out.String(), seen)
	}
	out.Reset()
	_, _ = p.Write(bytes.Repeat([]byte("x"), longestLine+10))
	if lines := strings.Count(out.String(), "\n"); lines != 1 {
		t.Errorf("a line without an end is %d lines", lines)
	}
}

func TestHowTheInstanceIsReached(t *testing.T) {
	c, errs := reporting(t, func(s *cli.Settings) { s.Files, s.Name = []string{"a.yaml", "b.yaml"}, "shop" })
	c.instance = "ci-abc"
	c.sayHowToLookInside()
	orlop := "orlop -f a.yaml -f b.yaml -p shop --profile test --instance ci-abc "
	if got := errs.String(); !strings.Contains(got, "     "+orlop+"logs SERVICE\n") || !strings.Contains(got, orlop+"down -v --rmi local\n") || c.end.why != ", kept" {
		t.Errorf("said is %q, the end %q", got, c.end.why)
	}
}

func TestATestIsSkippedAfterOneThatItNeeds(t *testing.T) {
	c, _ := reporting(t, nil)
	c.project.Services = map[string]*spec.Service{"unit": {}, "e2e": {DependsOn: on(spec.ServiceCompleted, "unit")}, "last": {DependsOn: on(spec.ServiceCompleted, "e2e")}}
	c.results = []*testResult{{service: "unit", ended: true, code: 1}}
	if got := c.skips("e2e"); got != "skipped: waits for unit" {
		t.Errorf("e2e: %q", got)
	}
	c.results = append(c.results, &testResult{service: "e2e", skipped: "skipped: waits for unit"})
	if got := c.skips("last"); got != "skipped: waits for e2e" {
		t.Errorf("last: %q", got)
	}
	c.results[0].code, c.results[1].skipped = 0, ""
	if got := c.skips("last"); got != "" {
		t.Errorf("after ones that passed: %q", got)
	}
}

func TestTheCasesOfTests(t *testing.T) {
	c, _ := reporting(t, nil)
	c.tests = []string{"unit", "e2e", "late", "never"}
	last := &display.Tail{Most: 5}
	last.Add("--- FAIL")
	c.results = []*testResult{
		{service: "unit", ended: true, took: time.Second, last: last}, {service: "e2e", ended: true, code: 2, how: "(x)", took: time.Second, last: last},
		{service: "late", began: began.Add(8 * time.Second), last: last},
	}
	var got []string
	for _, k := range c.testCases(c.Now()) {
		got = append(got, strings.Join([]string{k.Name, k.Message, k.Detail, k.Time.String()}, "|"))
	}
	want := []string{"unit|||1s", "e2e|exit code 2 (x)|--- FAIL|1s", "late|it has not ended|--- FAIL|2s", "never|not begun||0s"}
	if !slices.Equal(got, want) {
		t.Errorf("the cases are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOptionsThatAreNone(t *testing.T) {
	if err := (&Options{Timeout: -time.Second}).check(); err == nil || err.Error() != "--timeout is -1s: it must be positive" {
		t.Errorf("%v", err)
	}
	if err := (&Options{}).check(); err != nil {
		t.Error(err)
	}
}
