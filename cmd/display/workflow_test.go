package display

import (
	"bytes"
	"testing"
	"time"

	"github.com/orlop/orlop/spec"
)

func TestMarksOfGitHubAndGitLab(t *testing.T) {
	now := func() time.Time { return time.Unix(1700000000, 0) }
	at := spec.Place{File: "/w/repo/stack.yaml", Line: 3, Column: 5}
	for name, test := range map[string]struct {
		w    Workflow
		want string
	}{
		"GitHub": {Workflow{github: true, root: "/w/repo"},
			"::group::up 100%25\n::error file=stack.yaml,line=3,col=5,title=a%3A b%2C c::one%0Atwo\n::endgroup::\n::group::next\n::endgroup::\n"},
		"GitLab": {Workflow{gitlab: true},
			"\x1b[0Ksection_start:1700000000:orlop_1_up_100\r\x1b[0Kup 100%\n\x1b[0Ksection_end:1700000000:orlop_1_up_100\r\x1b[0K\n" +
				"\x1b[0Ksection_start:1700000000:orlop_2_next\r\x1b[0Knext\n\x1b[0Ksection_end:1700000000:orlop_2_next\r\x1b[0K\n"},
		"neither": {Workflow{}, ""},
	} {
		var out bytes.Buffer
		w := test.w
		w.w, w.now = &out, now
		w.Begin("up 100%")
		w.Annotate("error", at, "a: b, c", "one\ntwo")
		w.Begin("next")
		w.End()
		w.End()
		if out.String() != test.want {
			t.Errorf("%s:\n%q\nwant\n%q", name, out.String(), test.want)
		}
	}
}

func TestAnnotationsStartAtTheTopOfTheRepository(t *testing.T) {
	w := Workflow{root: "/w/repo", dir: "/w/repo/deploy"}
	for path, want := range map[string]string{
		"stack.yaml": "deploy/stack.yaml", "/w/repo/Dockerfile": "Dockerfile", "../x.yaml": "x.yaml", "/etc/other.yaml": "/etc/other.yaml", "": "",
	} {
		if got := w.relative(path); got != want {
			t.Errorf("%q is %q, want %q", path, got, want)
		}
	}
}

func TestWhereABuildFailed(t *testing.T) {
	lines := []string{"make: no rule", "prod.Dockerfile:6 |     COPY . .", "prod.Dockerfile:7 | >>> RUN make"}
	key := spec.Place{File: "stack.yaml", Line: 4, Column: 5}
	inline := spec.Place{File: "stack.yaml", Line: 6, Column: 7}
	for name, test := range map[string]struct {
		build spec.Build
		lines []string
		want  spec.Place
	}{
		"a Dockerfile":         {spec.Build{Context: "/src", Dockerfile: "deploy/prod.Dockerfile"}, lines, spec.Place{File: "/src/deploy/prod.Dockerfile", Line: 7}},
		"the usual one":        {spec.Build{Context: "/src"}, []string{"Dockerfile:2 | >>> RUN x"}, spec.Place{File: "/src/Dockerfile", Line: 2}},
		"one in the file":      {spec.Build{Context: "/src", DockerfileInline: "FROM x"}, lines, inline},
		"no instruction":       {spec.Build{Context: "/src"}, nil, key},
		"a context far away":   {spec.Build{Context: "https://example.com/a.git"}, lines, key},
		"an absolute one":      {spec.Build{Context: "/src", Dockerfile: "/d/prod.Dockerfile"}, lines, spec.Place{File: "/d/prod.Dockerfile", Line: 7}},
		"the first of several": {spec.Build{Context: "/src"}, []string{"D:2 | >>> RUN x", "D:3 | >>> y"}, spec.Place{File: "/src/Dockerfile", Line: 2}},
	} {
		p := &spec.Project{
			Services: map[string]*spec.Service{"api": {Build: &test.build}},
			Places:   spec.PlacesOf(map[string]spec.Place{"services.api.build": key, "services.api.build.dockerfile_inline": inline}),
		}
		if got := dockerfilePlace(p, "api", test.lines); got != test.want {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
