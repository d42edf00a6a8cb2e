package loop

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

// TestFilesAreLeftOutAsGitDoes holds our reading of .gitignore files against
// git's own.
func TestFilesAreLeftOutAsGitDoes(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("SKIPPED: needs git")
	}
	dir := realTemp(t)
	if out, err := exec.Command(git, "init", "-q", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	own := filepath.Join(realTemp(t), "ignore")
	write(t, filepath.Dir(own), map[string]string{"ignore": "mine\n!private\n*.me\n"})
	if out, err := exec.Command(git, "-C", dir, "config", "core.excludesFile", own).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write(t, dir, map[string]string{
		".git/info/exclude": "private\n!kept.me\n",
		".gitignore": "# words\n*.o\n!keep.o\nbuild/\n/only\nsub/deep/x\n**/any/y\nz/**\na/**/b\nfile/\n\\#hash\n\\!bang\ntrail \nesc\\ \n" +
			"[ab].c\n[!a].d\nq?.t\n*.log\n!/logs/\nnode_modules\n*~\n",
		"sub/.gitignore":       "!*.o\n/here\n!node_modules\nmore/*\n!more/back\n",
		"sub/deep/.gitignore":  "*\n!.gitignore\n!*.txt\n",
		"build/.gitignore":     "!*\n",
		"vendor/x/.gitignore":  "/gen/\n",
		"vendor/x/gen/deep/.k": "",
	})
	paths := []string{
		"x.o", "keep.o", "d/x.o", "sub/x.o", "sub/deep/x.o", "build/x", "d/build/x", "only", "d/only", "sub/deep/x", "d/sub/deep/x", "any/y", "p/q/any/y",
		"z/1", "z/2/3", "a/b", "a/1/b", "a/2/3/b", "file/x", "#hash", "!bang", "trail", "esc ", "a.c", "c.c", "a.d", "b.d", "q1.t", "q12.t",
		"x.log", "logs/x.log", "node_modules/x", "sub/node_modules/x", "sub/here", "sub/d/here", "sub/more/x", "sub/more/back", "sub/deep/y", "sub/deep/y.txt",
		"sub/deep/er/y.txt", "private", "d/private/x", "mine", "d/mine/x", "a.me", "d/kept.me", "vendor/x/gen/deep/.k", "vendor/gen/k", "plain", "d/plain", "d/back~", ".gitignore", "sub/deep/.gitignore",
	}
	files := map[string]string{}
	for _, p := range paths {
		if filepath.Base(p) != ".gitignore" {
			files[p] = "x"
		}
	}
	write(t, dir, files)
	c := exec.Command(git, "-C", dir, "check-ignore", "--no-index", "--stdin", "-z")
	c.Stdin = strings.NewReader(strings.Join(paths, "\x00"))
	out, err := c.Output()
	if exit, ok := err.(*exec.ExitError); err != nil && (!ok || exit.ExitCode() != 1) {
		t.Fatal(err)
	}
	left := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	if len(left) < 20 {
		t.Fatalf("git leaves out only %v", left)
	}
	excludes := func(top string) []string { return []string{own, filepath.Join(top, ".git", "info", "exclude")} }
	for _, from := range []string{".", "sub"} {
		g := newGitIgnore(filepath.Join(dir, from), excludes)
		for _, p := range paths {
			if got, want := g.match(filepath.Join(dir, p)), slices.Contains(left, p); got != want {
				t.Errorf("seen from %s: %q is left out: %v, git says %v", from, p, got, want)
			}
		}
	}
}

func TestAChangedGitIgnoreIsRead(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{".gitignore": "*.tmp\n", "src/d/.gitignore": "x\n", "src/d/x": "1", "src/d/y": "1"})
	p := &spec.Project{Services: map[string]*spec.Service{"web": {Develop: &spec.Develop{Watch: []spec.WatchRule{
		{Path: dir + "/src", Action: spec.WatchRestart, Include: []string{"**/x", "**/y"}},
	}}}}}
	w := &watcher{Config: Config{Project: p, Options: Options{GitIgnore: true}}}
	rules, err := w.rules(p, nil)
	must(t, err)
	s := scope{rules}
	for _, file := range []string{"src/d/y", "src/d/.gitignore", "src/new/.gitignore", ".gitignore"} {
		if !s.holds(filepath.Join(dir, file)) {
			t.Errorf("%s is not watched", file)
		}
	}
	if s.holds(dir+"/src/d/x") || s.holds(dir+"/src/z") {
		t.Error("what is left out is watched")
	}
	for _, r := range rules {
		if r.Holds(dir+"/src/d/.gitignore") && !r.defines {
			t.Errorf("a .gitignore is taken for a file of %q", r.Service)
		}
	}
}
