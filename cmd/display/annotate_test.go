package display

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// inGitHub is a progress as GitHub's log has it.
func inGitHub(t *testing.T, p *spec.Project, plan *planner.Plan, events ...planner.Event) string {
	t.Helper()
	var out bytes.Buffer
	o := NewOutput(&out, &out)
	flow := NewWorkflow(o.Err, "/src/shop", map[string]string{"GITHUB_ACTIONS": "true", "GITHUB_WORKSPACE": "/src"}, time.Now, true)
	d := New(Config{
		Mode: "plain", W: o.Err, Words: Words{Failed: "is not up", Fold: "up shop"}, Began: began, Now: func() time.Time { return at(1) },
		Flow: flow, Project: p,
	})
	d.Plan(plan)
	for _, e := range events {
		d.Event(e)
	}
	d.Finish(Summary{Words: Words{Failed: "is not up"}, Verdict: &api.Verdict{}})
	return out.String()
}

func TestFailuresAreAnnotatedWhereTheyComeFrom(t *testing.T) {
	places := spec.PlacesOf(map[string]spec.Place{"services.api": {File: "stack.yaml", Line: 3, Column: 3}, "services.api.build": {File: "stack.yaml", Line: 4, Column: 5}})
	plan := &planner.Plan{Project: "shop", Steps: []*planner.Step{
		{ID: "build api", Action: planner.Build, Resource: "api", Service: "api"}, {ID: "create api/1", Action: planner.Create, Resource: "api/1", Service: "api"},
	}}
	s := script{t, plan}
	for name, test := range map[string]struct {
		build *spec.Build
		event planner.Event
		want  string
	}{
		"an instruction": {
			&spec.Build{Context: "/src/shop/api"},
			s.event(0.5, "build api", planner.Failed, func(e *planner.Event) {
				e.Text, e.Lines = "exit code 1", []string{"Dockerfile:7 | >>> RUN make"}
			}),
			"::error file=shop/api/Dockerfile,line=7,title=build of api failed::exit code 1%0ADockerfile:7 | >>> RUN make\n",
		},
		"a build elsewhere": {
			&spec.Build{Context: "https://example.com/api.git"},
			s.event(0.5, "build api", planner.Failed, func(e *planner.Event) { e.Text, e.Lines = "no", []string{"Dockerfile:7 | >>> RUN make"} }),
			"::error file=shop/stack.yaml,line=4,col=5,title=build of api failed::no%0ADockerfile:7 | >>> RUN make\n",
		},
		"a container": {
			nil, s.event(0.5, "create api/1", planner.Failed, func(e *planner.Event) { e.Text = "50% of it" }),
			"::error file=shop/stack.yaml,line=3,col=3,title=api/1 failed::50%25 of it\n",
		},
	} {
		p := &spec.Project{Places: places, Services: map[string]*spec.Service{"api": {Name: "api", Build: test.build}}}
		if got := inGitHub(t, p, plan, test.event); !strings.Contains(got, test.want) {
			t.Errorf("%s:\n%swant\n%s", name, got, test.want)
		}
	}
}

func TestAProgressFoldsAndItsVerdictStaysOutside(t *testing.T) {
	plan, events := failing(t)
	got := inGitHub(t, nil, plan, events...)
	begin, end, verdict := strings.Index(got, "::group::up shop\n"), strings.Index(got, "::endgroup::\n"), strings.Index(got, " shop is not up")
	if begin != 0 || end < 0 || verdict < end {
		t.Errorf("the log is\n%s", got)
	}
	if got := inGitHub(t, nil, &planner.Plan{Project: "shop"}); strings.Contains(got, "::group::") {
		t.Errorf("nothing to do folds:\n%s", got)
	}
}

func TestGitLabHasSections(t *testing.T) {
	var out bytes.Buffer
	w := NewWorkflow(&out, "/", map[string]string{"GITLAB_CI": "true"}, func() time.Time { return time.Unix(7, 0) }, true)
	w.Begin("test E2E: all")
	w.Begin("remove")
	w.End()
	w.End()
	w.Annotate("error", spec.Place{File: "x"}, "t", "GitLab has none")
	want := "\x1b[0Ksection_start:7:orlop_1_test_e2e_all\r\x1b[0Ktest E2E: all\n\x1b[0Ksection_end:7:orlop_1_test_e2e_all\r\x1b[0K\n" +
		"\x1b[0Ksection_start:7:orlop_2_remove\r\x1b[0Kremove\n\x1b[0Ksection_end:7:orlop_2_remove\r\x1b[0K\n"
	if out.String() != want {
		t.Errorf("the marks are %q, want %q", out.String(), want)
	}
}
