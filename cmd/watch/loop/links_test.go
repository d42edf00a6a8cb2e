package loop

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/orlop/orlop/spec"
)

func TestTheLinksOfAPath(t *testing.T) {
	dir := realTemp(t)
	outside := realTemp(t)
	write(t, dir, map[string]string{"releases/1/src/a": "1", "file": "1"})
	write(t, outside, map[string]string{"real/a": "1"})
	for link, to := range map[string]string{
		"current": "releases/1", "direct": "current/src", "out": outside + "/real", "loop": "loop", "broken": "nowhere/x",
		"abs": dir + "/file",
	} {
		must(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	must(t, os.Symlink("real", outside+"/alias"))
	for file, want := range map[string]string{
		"file":                  "",
		"releases/1/src":        "",
		"current/src":           "current",
		"current/src/a":         "current",
		"direct":                "direct current",
		"out":                   "out",
		"out/a":                 "out",
		"abs":                   "abs",
		"missing/deep":          "missing/deep",
		"current/missing":       "current releases/1/missing",
		"broken":                "broken nowhere/x",
		outside + "/alias":      "",
		outside + "/alias/none": outside + "/real/none",
	} {
		if !filepath.IsAbs(file) {
			file = filepath.Join(dir, file)
		}
		got := links(dir, file)
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], dir+"/")
		}
		if !slices.Equal(got, strings.Fields(want)) {
			t.Errorf("%s leads through %q, want %q", file, got, want)
		}
	}
	if got := links(dir, dir+"/loop"); len(got) == 0 || got[0] != dir+"/loop" {
		t.Errorf("a loop leads through %q", got)
	}
}

func TestARuleWhosePathIsMissingIsWarnedAboutAtItsPlace(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "1"})
	develop := &spec.Develop{Watch: []spec.WatchRule{
		{Path: dir + "/src", Action: spec.WatchSync, Target: "/app"}, {Path: dir + "/srcx", Action: spec.WatchSync, Target: "/x"},
	}}
	p := &spec.Project{
		WorkingDir: dir, Services: map[string]*spec.Service{"web": {Name: "web", Develop: develop}},
		Places: spec.PlacesOf(map[string]spec.Place{"services.web.develop.watch[1].path": {File: "stack.yaml", Line: 14, Column: 9}}),
	}
	rules, err := Compile(p, nil, Options{})
	must(t, err)
	want := "stack.yaml:14:9: warning: services.web.develop.watch[1].path: srcx does not exist (it is watched once it exists)"
	if list := missing(p, rules); len(list) != 1 || list[0].String() != want {
		t.Errorf("%v, want %s", list, want)
	}
}
