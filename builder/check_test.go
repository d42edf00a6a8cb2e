package builder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestWhatABuildLacksIsSaidWithItsPlace(t *testing.T) {
	dir := tree(t, map[string]string{
		"whole/Dockerfile": "FROM busybox", "other/web.dockerfile": "FROM busybox", "none/main.go": "", "file": "",
		"odd/Dockerfile": "# syntax=example.com/frontend\nFROM busybox",
	})
	for link, to := range map[string]string{"other/out": dir + "/whole/Dockerfile", "other/in": "web.dockerfile"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		build *spec.Build
		want  string // "" is nothing
	}{
		{&spec.Build{Context: dir + "/other", Dockerfile: "in"}, ""},
		{&spec.Build{Context: dir + "/other", Dockerfile: "out"},
			"stack.yaml:4:9: services.web.build.dockerfile: other/out is a link to whole/Dockerfile, outside of its directory, which is what the build gets (name the file itself)"},
		{&spec.Build{Context: dir + "/whole"}, ""},
		{&spec.Build{Context: "https://example.com/repository.git", Dockerfile: "no/such"}, ""},
		{&spec.Build{Context: dir + "/none", DockerfileInline: "FROM busybox"}, ""},
		{&spec.Build{Context: dir + "/missing"},
			"stack.yaml:3:5: services.web.build.context: no directory missing (create it, or name the one that holds what the Dockerfile copies)"},
		{&spec.Build{Context: dir + "/file"},
			"stack.yaml:3:5: services.web.build.context: file is not a directory (name the directory, and the file with dockerfile)"},
		{&spec.Build{Context: dir + "/none"},
			"stack.yaml:4:9: services.web.build.dockerfile: no file none/Dockerfile (write it, or name another with dockerfile)"},
		{&spec.Build{Context: dir + "/other", Dockerfile: "Dockerfile"},
			"stack.yaml:4:9: services.web.build.dockerfile: no file other/Dockerfile (there is web.dockerfile: name it with dockerfile, or rename it)"},
		{&spec.Build{Context: dir + "/odd"},
			"stack.yaml:4:9: services.web.build.dockerfile: its Dockerfile asks for the frontend example.com/frontend, which Orlop does not run (take the \"# syntax\" line away, or use docker/dockerfile)"},
		{&spec.Build{Context: dir + "/whole", AdditionalContexts: map[string]string{"a": dir + "/b", "c": "docker-image://busybox"}},
			"stack.yaml:3:5: services.web.build.additional_contexts.a: no directory b (create it, or name the one that holds what the Dockerfile copies)"},
	} {
		p := project(c.build)
		p.WorkingDir = dir
		p.Places = spec.PlacesOf(map[string]spec.Place{
			"services.web.build":            {File: "stack.yaml", Line: 3, Column: 5},
			"services.web.build.dockerfile": {File: "stack.yaml", Line: 4, Column: 9},
		})
		got := ""
		var mistakes *spec.Mistakes
		if err := Check(p, []string{"web", "db"}); errors.As(err, &mistakes) {
			got = mistakes.Error()
		} else if err != nil {
			t.Error(err)
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s", strings.TrimPrefix(c.build.Context, filepath.Dir(dir)), got, c.want)
		}
	}
}

func TestAnIgnoreFileNamesTheLineThatIsNoPattern(t *testing.T) {
	dir := tree(t, map[string]string{"a/.dockerignore": "*.o\n# [a comment\n\n![a-\n", "b/Dockerfile": "", "b/Dockerfile.dockerignore": "ok\nx[", "c/.dockerignore": "a[b]\n"})
	for _, c := range []struct{ dir, dockerfile, want string }{
		{"a", "", `/a/.dockerignore:4: "![a-" is not a pattern: `},
		{"b", dir + "/b/Dockerfile", `/b/Dockerfile.dockerignore:2: "x[" is not a pattern: `},
		{"c", "", ""},
	} {
		_, err := ignoreRules(filepath.Join(dir, c.dir), c.dockerfile)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), dir+c.want)) {
			t.Errorf("%s: %v", c.dir, err)
		}
	}
}
