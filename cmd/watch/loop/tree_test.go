package loop

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

// live is a tree on real events.
type live struct {
	*tree
	t       *testing.T
	dir     string
	batches chan batch
}

func watchTree(t *testing.T, dir string, rules ...*Rule) *live {
	t.Helper()
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{events: fs.Events, errors: fs.Errors, batches: make(chan batch), now: time.Now}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.run(ctx, func(err error) { t.Error(err) }) }()
	t.Cleanup(func() { cancel(); <-done; fs.Close() })
	l := &live{tree: newTree(scope{rules}, fs), t: t, dir: dir, batches: c.batches}
	l.survey()
	return l
}

// until takes batches in until all of the paths have been reported changed,
// and gives everything that was.
func (l *live) until(paths ...string) []string {
	l.t.Helper()
	var seen []string
	limit := time.After(10 * time.Second)
	missing := func(p string) bool { return !slices.Contains(seen, p) }
	for slices.ContainsFunc(paths, missing) {
		select {
		case b := <-l.batches:
			changed := l.resolve(b.paths)
			if b.overflow {
				changed = l.survey()
			}
			for _, c := range changed {
				seen = append(seen, strings.TrimPrefix(c, l.dir+"/"))
			}
		case <-limit:
			l.t.Fatalf("only %v have changed, not %v", seen, paths)
		}
	}
	return seen
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTheTreeTellsWhatChangedAndNothingElse(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "1", "src/b": "1", "src/skip/x": "1"})
	r := rule(spec.WatchSync, dir+"/src", "/app")
	r.ignore, _ = newPatterns([]string{"skip"})
	l := watchTree(t, dir, r)
	if l.watched[dir+"/src/skip"] {
		t.Error("a folder that no rule can match in is watched")
	}

	must(t, os.Chtimes(dir+"/src/a", time.Now(), time.Now())) // a touch is no change
	write(t, dir, map[string]string{"src/skip/x": "2", "src/a": "1"})
	write(t, dir, map[string]string{"src/b": "2"})
	if seen := l.until("src/b"); len(seen) != 1 {
		t.Errorf("changed: %v", seen)
	}
	// As editors save: another name, then renamed over.
	write(t, dir, map[string]string{"src/.a.swp": "x", "src/a.new": "2"})
	must(t, os.Rename(dir+"/src/a.new", dir+"/src/a"))
	l.until("src/a")
	must(t, os.Chmod(dir+"/src/a", 0o755))
	l.until("src/a")
	must(t, os.Remove(dir+"/src/a"))
	must(t, os.Symlink("b", dir+"/src/l"))
	l.until("src/a", "src/l")
}

func TestFilesOfANewFolderAreNotLost(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "1"})
	l := watchTree(t, dir, rule(spec.WatchSync, dir+"/src", "/app"))
	var want []string
	for i := range 30 { // each of them may come before its folder is watched
		name := fmt.Sprintf("src/n%d/deep/er/file", i)
		write(t, dir, map[string]string{name: "x"})
		want = append(want, name)
	}
	l.until(want...)
	must(t, os.Rename(dir+"/src/n1", dir+"/src/moved"))
	l.until("src/n1", "src/n1/deep/er/file", "src/moved/deep/er/file")
	write(t, dir, map[string]string{"src/moved/deep/er/file": "y"})
	l.until("src/moved/deep/er/file")
}

func TestARootMayGoAndComeAgain(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"up/src/a": "1", "one.conf": "1"})
	l := watchTree(t, dir, rule(spec.WatchSync, dir+"/up/src", "/app"), rule(spec.WatchSync, dir+"/one.conf", "/etc/one.conf"),
		rule(spec.WatchSync, dir+"/later/on/x", "/x"))
	must(t, os.RemoveAll(dir+"/up"))
	l.until("up/src/a")
	write(t, dir, map[string]string{"up/src/b": "1"})
	l.until("up/src/b")
	write(t, dir, map[string]string{"up/src/b": "2"})
	l.until("up/src/b")
	must(t, os.Remove(dir+"/one.conf"))
	l.until("one.conf")
	write(t, dir, map[string]string{"one.conf": "1"})
	l.until("one.conf")
	write(t, dir, map[string]string{"later/on/x": "1"})
	l.until("later/on/x")
}

func TestAFileAndAFolderMaySwapPlaces(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "1", "src/d/x": "1"})
	l := watchTree(t, dir, rule(spec.WatchSync, dir+"/src", "/app"))
	must(t, os.Remove(dir+"/src/a"))
	must(t, os.RemoveAll(dir+"/src/d"))
	write(t, dir, map[string]string{"src/a/x": "1", "src/d": "1"})
	l.until("src/a/x", "src/d", "src/d/x")
}

func TestALostEventLosesNoChange(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "1", "src/gone/x": "1", "src/same": "1"})
	tr := newTree(scope{[]*Rule{rule(spec.WatchSync, dir+"/src", "/app")}}, deaf{})
	tr.survey()
	write(t, dir, map[string]string{"src/a": "2", "src/new/y": "1", "src/same": "1"})
	must(t, os.RemoveAll(dir+"/src/gone"))
	got := strings.ReplaceAll(strings.Join(tr.survey(), " "), dir+"/src/", "")
	if want := "a gone gone/x new new/y"; got != want {
		t.Errorf("the comparison gives %s, not %s", got, want)
	}
}

func TestTheKernelsLimitIsNamedAndNothingIsLost(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "1", "src/d/x": "1"})
	tr := newTree(scope{[]*Rule{rule(spec.WatchSync, dir+"/src", "/app")}}, deaf{unix.ENOSPC})
	tr.survey()
	if tr.limit == nil || !strings.Contains(tr.limit.Error(), "sysctl fs.inotify.max_user_watches=") {
		t.Errorf("the limit is said as %v", tr.limit)
	}
	write(t, dir, map[string]string{"src/d/x": "2", "src/new": "1"})
	got := strings.ReplaceAll(strings.Join(tr.lookAgain(), " "), dir+"/src/", "")
	if got != "d/x new" {
		t.Errorf("looking again gives %s", got)
	}
	if err := limitError("", unix.EMFILE); !strings.Contains(err.Error(), "fs.inotify.max_user_instances") {
		t.Error(err)
	}
}

func TestNewRulesForgetNothingAndInventNothing(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "1", "other/b": "1", "stack.yaml": "1"})
	src, other, file := rule(spec.WatchSync, dir+"/src", "/app"), rule(spec.WatchSync, dir+"/other", "/o"), fileRule(dir+"/stack.yaml")
	l := watchTree(t, dir, src, file)
	write(t, dir, map[string]string{"src/a": "2", "src/n": "1"}) // no event was looked at yet
	got := strings.ReplaceAll(strings.Join(l.rescope(scope{[]*Rule{src, other, file}}, time.Now()), " "), dir+"/", "")
	if got != "src/a src/n" {
		t.Errorf("the new rules report %q", got)
	}
	write(t, dir, map[string]string{"other/b": "2", "stack.yaml": "2"})
	l.until("other/b", "stack.yaml")
	l.rescope(scope{[]*Rule{file}}, time.Now())
	if l.watched[filepath.Join(dir, "other")] {
		t.Error("a folder that no rule is about any more is watched")
	}
	write(t, dir, map[string]string{"stack.yaml": "3"})
	l.until("stack.yaml")
	changed := l.rescope(scope{[]*Rule{other, file}}, time.Time{})
	if got := strings.ReplaceAll(strings.Join(changed, " "), dir+"/", ""); !strings.Contains(got, "other/b") {
		t.Errorf("what a rule lets in again is reported as %q", got)
	}
}
