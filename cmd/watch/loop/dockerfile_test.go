package loop

import (
	"os"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestABuildIsAboutWhatItsDockerfileCopies(t *testing.T) {
	tests := []struct {
		name, dockerfile string
		want             string // "all", or patterns
	}{
		{"files and directories", "FROM a\nCOPY go.mod go.sum ./\nCOPY --chown=1:1 cmd/ /src/cmd/\nADD *.go /src/", "*.go cmd go.mod go.sum"},
		{"the context itself", "FROM a\nCOPY . /src", "all"},
		{"as a list", "FROM a\nCOPY [\"a b\", \"c\", \"/x/\"]", "a b c"},
		{"from elsewhere", "FROM a AS one\nFROM b\nCOPY --from=one /x /x\nADD https://example.com/x /x\nADD git@example.com:x /x\nCOPY <<E /y\nz\nE", ""},
		{"a name that is only known later", "FROM a\nARG X\nCOPY $X /src", "all"},
		{"a mount of a file", "FROM a\nRUN --mount=type=bind,source=package.json,target=/p --mount=type=cache,target=/c npm ci", "package.json"},
		{"a mount of the context", "FROM a\nRUN --mount=target=. make", "all"},
		{"a mount from another stage", "FROM a\nRUN --mount=from=b,source=/x,target=/x true", ""},
		{"a trigger", "FROM a AS b\nONBUILD COPY x /x\nFROM b", "x"},
		{"a trigger with all", "FROM a AS b\nONBUILD COPY . /x\nFROM b", "all"},
		{"over the root", "FROM a\nCOPY ../x /x", "x"},
		{"a link", "FROM a\nCOPY link /x", "link real/dir"},
		{"nothing", "", "all"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := realTemp(t)
			write(t, dir, map[string]string{"Dockerfile": tt.dockerfile, "real/dir/x": "1"})
			must(t, os.Symlink("real/dir", dir+"/link"))
			list, ok := copied(&spec.Build{Context: dir}, nil)
			got := strings.Join(list, " ")
			if !ok {
				got = "all"
			}
			if got != tt.want {
				t.Errorf("it is about %q, want %q", got, tt.want)
			}
		})
	}
}

func TestABuildIsAboutWhatItsBaseImagesCopy(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"Dockerfile": "FROM a\nCOPY main.go /\n"})
	for triggers, want := range map[string]string{
		"":                         "main.go",
		"RUN make\nWORKDIR /app":   "main.go",
		"COPY package.json /app/":  "main.go package.json",
		"RUN true\nCOPY . /app":    "all",
		"ADD src /src\nCOPY x y z": "main.go src x y",
	} {
		list, ok := copied(&spec.Build{Context: dir}, strings.Split(triggers, "\n"))
		got := strings.Join(list, " ")
		if !ok {
			got = "all"
		}
		if got != want {
			t.Errorf("with %q it is about %q, want %q", triggers, got, want)
		}
	}
	p := &spec.Project{Services: map[string]*spec.Service{"web": {Build: &spec.Build{Context: dir}}}}
	rules, err := Compile(p, nil, Options{Triggers: func(*spec.Project) map[string][]string { return map[string][]string{"web": {"COPY src /src"}} }})
	must(t, err)
	if s := (scope{rules}); !s.holds(dir+"/src/a") || s.holds(dir+"/notes.md") {
		t.Error("what the base image copies is not watched, or all is")
	}
}

func TestAServiceWithoutRulesIsAboutItsBuild(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"Dockerfile": "FROM a\nCOPY src /src", "src/a.go": "1", "notes.md": "1"})
	p := &spec.Project{Services: map[string]*spec.Service{"web": {Build: &spec.Build{Context: dir}}}}
	rules, err := Compile(p, nil, Options{})
	must(t, err)
	s := scope{rules}
	for file, want := range map[string]bool{"src/a.go": true, "Dockerfile": true, "notes.md": false, "docs/x": false} {
		if s.holds(dir+"/"+file) != want {
			t.Errorf("%s: held %v", file, !want)
		}
	}
	if s.enters(dir + "/docs") {
		t.Error("a directory that is not copied is watched")
	}
}
