package loop

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/orlop/orlop/spec"
)

// write makes files below a directory; a name that ends with a slash is a
// directory.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func realTemp(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestARuleHoldsWhatTheSpecificationSays covers path, include, ignore,
// .dockerignore, .gitignore and temporary files.
func TestARuleHoldsWhatTheSpecificationSays(t *testing.T) {
	tests := []struct {
		name    string
		rule    spec.WatchRule // its path from the project's directory
		ignored string         // .dockerignore of the build, whose context is the directory
		git     string         // .gitignore there
		holds   []string
		not     []string
		enters  []string
		avoids  []string
	}{
		{
			name: "everything below the path, and nothing beside it", rule: spec.WatchRule{Path: "src"},
			holds: []string{"src", "src/a", "src/d/e/f"}, not: []string{"a", "src2/a", "srcs"}, enters: []string{"src", "src/d"}, avoids: []string{".", "src2"},
		},
		{name: "a file", rule: spec.WatchRule{Path: "go.mod"}, holds: []string{"go.mod"}, not: []string{"go.sum", "go.mod2"}},
		{
			name: "ignored directories with and without a slash", rule: spec.WatchRule{Path: ".", Ignore: []string{"node_modules/", "dist"}},
			holds: []string{"a.js", "lib/node_modules/x"}, not: []string{"node_modules", "node_modules/a/b", "dist/x"},
			enters: []string{"lib", "lib/node_modules"}, avoids: []string{"node_modules", "dist/deep"},
		},
		{
			name: "ignored at any depth, with an exception", rule: spec.WatchRule{Path: ".", Ignore: []string{"**/*.log", "!keep/me.log"}},
			holds: []string{"a.txt", "keep/me.log"}, not: []string{"x.log", "d/e/x.log", "keep/other.log"}, enters: []string{"keep", "d/e"},
		},
		{
			name: "included from the path itself", rule: spec.WatchRule{Path: "src", Include: []string{"*.go"}},
			holds: []string{"src/a.go"}, not: []string{"src/a.txt", "src/d/a.go"}, enters: []string{"src"}, avoids: []string{"src/d"},
		},
		{
			name: "included at any depth, less what is ignored", rule: spec.WatchRule{Path: "src", Include: []string{"**/*.go", "static"}, Ignore: []string{"gen"}},
			holds: []string{"src/a.go", "src/d/e/a.go", "src/static/logo.png"}, not: []string{"src/d/a.txt", "src/gen/a.go"},
			enters: []string{"src/d/e", "src/static/deep"}, avoids: []string{"src/gen"},
		},
		{
			name: "included below some directories only", rule: spec.WatchRule{Path: ".", Include: []string{"cmd/*/main.go"}},
			holds: []string{"cmd/web/main.go"}, not: []string{"cmd/main.go", "lib/web/main.go"}, enters: []string{"cmd", "cmd/web"}, avoids: []string{"lib", "cmd/web/deep/deeper"},
		},
		{
			name: ".dockerignore of everything but a directory", rule: spec.WatchRule{Path: "."}, ignored: "*\n!src\n!go.*\n",
			holds: []string{"src/a", "src/d/b", "go.mod"}, not: []string{"README.md", "docs/a"}, enters: []string{"src", "src/d"}, avoids: []string{"docs", "node_modules"},
		},
		{
			name: ".dockerignore starts from the context, not from the path", rule: spec.WatchRule{Path: "src"}, ignored: "# words\nsrc/gen\n/top\n",
			holds: []string{"src/a", "src/top"}, not: []string{"src/gen/x"}, avoids: []string{"src/gen"},
		},
		{
			name: "version control and editors", rule: spec.WatchRule{Path: "."},
			holds:  []string{".github/x", ".gitignore", ".env", "a.swift", "4914"},
			not:    []string{".git", ".git/HEAD", "sub/.git/config", "a~", ".a.swp", "d/.b.swx", "4913", "#a#", ".#a", "x___jb_tmp___", ".idea/w.xml"},
			avoids: []string{".git", ".git/objects", "d/.idea"},
		},
		{
			name: ".gitignore by choice", rule: spec.WatchRule{Path: "src"}, git: "# made\n*.o\nbuild/\n/src/only\n/other/x\n!keep.o\n",
			holds: []string{"src/a.c", "src/keep.o", "src/d/only"}, not: []string{"src/a.o", "src/d/b.o", "src/build/x", "src/only"},
		},
		{
			name: "a pattern that nobody can read is an error", rule: spec.WatchRule{Path: ".", Ignore: []string{"[a"}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := realTemp(t)
			write(t, dir, map[string]string{"Dockerfile": "FROM scratch"})
			if tt.ignored != "" {
				write(t, dir, map[string]string{".dockerignore": tt.ignored})
			}
			if tt.git != "" {
				write(t, dir, map[string]string{".gitignore": tt.git})
			}
			tt.rule.Path = filepath.Join(dir, tt.rule.Path)
			tt.rule.Action = spec.WatchRebuild
			project := &spec.Project{Services: map[string]*spec.Service{
				"a": {Build: &spec.Build{Context: dir}, Develop: &spec.Develop{Watch: []spec.WatchRule{tt.rule}}},
			}}
			rules, err := Compile(project, nil, Options{GitIgnore: tt.git != ""})
			if tt.holds == nil {
				if err == nil {
					t.Fatal("no error")
				}
				return
			}
			if err != nil || len(rules) != 1 {
				t.Fatalf("%d rules, error %v", len(rules), err)
			}
			check := func(what string, want bool, paths []string, is func(string) bool) {
				for _, p := range paths {
					if is(filepath.Join(dir, p)) != want {
						t.Errorf("%s(%s) is %v", what, p, !want)
					}
				}
			}
			check("Holds", true, tt.holds, rules[0].Holds)
			check("Holds", false, tt.not, rules[0].Holds)
			check("Enters", true, tt.enters, rules[0].Enters)
			check("Enters", false, tt.avoids, rules[0].Enters)
		})
	}
}

func TestTargetsFollowThePath(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "", "nginx.conf": ""})
	for _, tt := range [][4]string{
		{"src", "/app", "src/d/e.js", "/app/d/e.js"},
		{"src", "/app/", "src", "/app"},
		{"nginx.conf", "/etc/nginx/nginx.conf", "nginx.conf", "/etc/nginx/nginx.conf"},
	} {
		r, err := compile("a", &spec.Service{}, spec.WatchRule{Path: filepath.Join(dir, tt[0]), Target: tt[1]}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.TargetOf(filepath.Join(dir, tt[2])); got != tt[3] {
			t.Errorf("%s of %s to %s goes to %s, not to %s", tt[2], tt[0], tt[1], got, tt[3])
		}
	}
}

func TestAServiceThatIsOnlyBuiltIsWatchedByWhatItsBuildReads(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"a/Dockerfile": "", "a/.dockerignore": "docs\nDockerfile\n", "shared/x": "", "base/Dockerfile": "", "root/Dockerfile": ""})
	project := &spec.Project{Services: map[string]*spec.Service{
		"a": {Build: &spec.Build{Context: dir + "/a", Dockerfile: "Dockerfile", AdditionalContexts: map[string]string{
			"shared": dir + "/shared", "base": "service:base", "web": "https://example.com/x.git",
		}}},
		"base":   {Build: &spec.Build{Context: dir + "/base", AdditionalContexts: map[string]string{"root": "service:root"}}},
		"remote": {Build: &spec.Build{Context: "https://example.com/x.git"}},
		"image":  {Image: "redis"},
	}, Bases: map[string]*spec.Service{"root": {Build: &spec.Build{Context: dir + "/root"}}}}
	rules, err := Compile(project, []string{"a", "remote", "image"}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	holds := func(path string) bool {
		return slices.ContainsFunc(rules, func(r *Rule) bool { return r.Action == spec.WatchRebuild && r.Service == "a" && r.Holds(dir+path) })
	}
	for _, path := range []string{"/a/main.go", "/a/Dockerfile", "/shared/x", "/base/y", "/root/z"} {
		if !holds(path) {
			t.Errorf("%s is not watched", path)
		}
	}
	for _, path := range []string{"/a/docs/x", "/other"} {
		if holds(path) {
			t.Errorf("%s is watched", path)
		}
	}
}

// TestWhatWasFetchedIsNotWatched: it never changes.
func TestWhatWasFetchedIsNotWatched(t *testing.T) {
	p := &spec.Project{
		Remotes: []*spec.Remote{{Name: "oci://r.test/app:1", Dir: "/cache/d"}},
		Services: map[string]*spec.Service{
			"built":  {Build: &spec.Build{Context: "/cache/d/web", Dockerfile: "Dockerfile"}},
			"synced": {Develop: &spec.Develop{Watch: []spec.WatchRule{{Path: "/cache/d/src", Action: spec.WatchRebuild}, {Path: "/p/src", Action: spec.WatchRebuild}}}},
		},
	}
	rules, err := Compile(p, nil, Options{})
	if err != nil || len(rules) != 1 || rules[0].Path != "/p/src" {
		t.Errorf("the rules are %v: %v", rules, err)
	}
}
