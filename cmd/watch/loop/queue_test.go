package loop

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/orlop/orlop/spec"
)

func rule(action, path, target string) *Rule {
	return &Rule{WatchRule: spec.WatchRule{Path: path, Action: action, Target: target}, Service: "web", root: path}
}

func noFiles(*Rule) []string { return nil }

// drive gives the next order of a queue at a second of the test's clock.
func drive(q *queue, second float64) order {
	return q.next(time.Unix(0, int64(second*1e9)), false)
}

func TestASyncDoesNotWaitForARebuild(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchSync, "/src", "/app"), rule(spec.WatchRebuild, "/src/go.mod", "")})
	q.known("1")
	q.change("/src/go.mod")
	if o := drive(q, 0); !o.build {
		t.Fatalf("first %+v", o)
	}
	o := drive(q, 0)
	if len(o.sync) != 1 || o.sync["/app/go.mod"].source != "/src/go.mod" {
		t.Fatalf("then %+v", o)
	}
	q.change("/src/a")
	if o := drive(q, 0); !o.isEmpty() {
		t.Fatalf("two syncs at once: %+v", o)
	}
	q.synced(o, nil, false, time.Unix(0, 0))
	if o := drive(q, 0); len(o.sync) != 1 || o.build {
		t.Fatalf("during the build %+v", o)
	}
}

func TestANewerTreeSupersedesABuildAndNoStateIsBuiltTwice(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchRebuild, "/src", "")})
	q.change("/src/a")
	if o := drive(q, 0); !o.build {
		t.Fatalf("%+v", o)
	}
	q.change("/src/b")
	q.change("/src/c")
	if o := drive(q, 1); !o.cancelBuild {
		t.Fatalf("a newer tree: %+v", o)
	}
	q.change("/src/d")
	if o := drive(q, 1); !o.isEmpty() {
		t.Fatalf("while it is given up: %+v", o)
	}
	if q.built(false, false, time.Unix(0, 0)) {
		t.Fatal("a build that was given up replaces")
	}
	if o := drive(q, 2); !o.build {
		t.Fatalf("again: %+v", o)
	}
	if !q.built(true, true, time.Unix(0, 0)) {
		t.Fatal("a built image replaces nothing")
	}
	q.change("/src/e")
	if o := drive(q, 3); !o.isEmpty() {
		t.Fatalf("a replacement is brought to its end: %+v", o)
	}
	q.replaced(true)
	if o := drive(q, 4); !o.build {
		t.Fatalf("%+v", o)
	}
	if q.built(true, false, time.Unix(0, 0)) {
		t.Fatal("the same image replaces")
	}
	if o := drive(q, 5); !o.isEmpty() {
		t.Fatalf("nothing changed: %+v", o)
	}
}

func TestAnImageThatCouldNotBePlacedIsPlacedByTheNextBuild(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchRebuild, "/src", "")})
	q.change("/src/a")
	drive(q, 0)
	if !q.built(true, true, time.Unix(0, 0)) {
		t.Fatal("not replaced")
	}
	q.replaced(false)
	q.change("/src/a")
	drive(q, 1)
	if !q.built(true, false, time.Unix(0, 0)) {
		t.Fatal("the container runs neither image")
	}
}

func TestWhatASyncCouldNotDeliverIsTriedAgainEverLater(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchSync, "/src", "/app")})
	q.known("1")
	q.change("/src/a")
	q.change("/src/b")
	now, second := time.Unix(0, 0), 0.0
	var waits []time.Duration
	for range 10 {
		o := drive(q, second)
		if len(o.sync) == 0 {
			t.Fatalf("after %v s nothing is tried: waits %v", second, waits)
		}
		again := q.synced(o, []string{"/app/b"}, false, now)
		waits = append(waits, again)
		if o := drive(q, second+again.Seconds()/2); !o.isEmpty() {
			t.Fatalf("too early: %+v", o)
		}
		second += again.Seconds()
		now = time.Unix(0, int64(second*1e9))
	}
	if waits[0] != firstRetry || waits[1] != 2*firstRetry || waits[9] != lastRetry {
		t.Errorf("waits are %v", waits)
	}
	q.change("/src/b")
	if o := drive(q, second); len(o.sync) != 1 || !o.force {
		t.Errorf("a change is not tried at once, or forgets that an earlier try may have changed something: %+v", o)
	}
}

func TestANewContainerGetsWhatWasSyncedBefore(t *testing.T) {
	initial := rule(spec.WatchSync, "/conf", "/etc/app")
	initial.InitialSync = true
	q := newQueue("web", []*Rule{rule(spec.WatchSync, "/src", "/app"), initial})
	q.known("1")
	q.change("/src/a")
	q.synced(drive(q, 0), nil, false, time.Unix(0, 0))
	q.started("1", noFiles)
	if o := drive(q, 1); !o.isEmpty() {
		t.Fatalf("a container that has it gets it again: %+v", o)
	}
	q.ended("1")
	q.started("2", func(r *Rule) []string { return []string{"/conf/x"} })
	o := drive(q, 2)
	if len(o.sync) != 2 || o.sync["/app/a"].source != "/src/a" || o.sync["/etc/app/x"].source != "/conf/x" {
		t.Fatalf("the new container gets %+v", o)
	}
}

func TestAContainerThatComesDuringASyncGetsItsFiles(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchSync, "/src", "/app"), rule(spec.WatchRestart, "/conf", "")})
	q.known("1")
	q.change("/src/a")
	q.change("/conf/x")
	going := drive(q, 0)
	if len(going.sync) != 1 || !going.restart {
		t.Fatalf("begun is %+v", going)
	}
	q.ended("1") // the restart brings another one
	q.started("2", noFiles)
	q.synced(going, nil, false, time.Unix(0, 0))
	if o := drive(q, 1); o.sync["/app/a"].source != "/src/a" || o.restart {
		t.Fatalf("the new container gets %+v", o)
	}
}

func TestARuleThatAnEditBringsSyncsInitially(t *testing.T) {
	under := func(r *Rule) []string { return []string{r.root + "/x"} }
	initial := func(path, target string) *Rule {
		r := rule(spec.WatchSync, path, target)
		r.InitialSync = true
		return r
	}
	q := newQueue("web", []*Rule{initial("/conf", "/etc/app"), rule(spec.WatchSync, "/src", "/app")})
	q.known("1")
	steps := []struct {
		edit string
		list []*Rule
		want []string
	}{
		{"the beginning", q.rules, []string{"/etc/app/x"}},
		{"nothing", []*Rule{initial("/conf", "/etc/app"), rule(spec.WatchSync, "/src", "/app")}, nil},
		{"another rule", []*Rule{initial("/conf", "/etc/app"), initial("/lib", "/lib"), rule(spec.WatchSync, "/src", "/app")}, []string{"/lib/x"}},
		{"initial_sync", []*Rule{initial("/conf", "/etc/app"), initial("/lib", "/lib"), initial("/src", "/app")}, []string{"/app/x"}},
		{"a target", []*Rule{initial("/conf", "/etc/new"), initial("/lib", "/lib"), initial("/src", "/app")}, []string{"/etc/new/x"}},
		{"a rule less", []*Rule{initial("/lib", "/lib")}, nil},
		{"and back", []*Rule{initial("/lib", "/lib"), initial("/src", "/app")}, []string{"/app/x"}},
	}
	for i, s := range steps {
		q.setRules(s.list)
		q.begin(under)
		o := drive(q, float64(i))
		if got := slices.Sorted(maps.Keys(o.sync)); !slices.Equal(got, s.want) {
			t.Errorf("%s: synced are %v, want %v", s.edit, got, s.want)
		}
		if !o.isEmpty() {
			q.synced(o, nil, false, time.Unix(int64(i), 0))
		}
	}
}

func TestFilesWaitForAContainerThatDoesNotRun(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchSync, "/src", "/app")})
	q.change("/src/a")
	o := drive(q, 0)
	if again := q.synced(o, []string{"/app/a"}, true, time.Unix(0, 0)); again != 0 || !q.absent {
		t.Fatalf("again in %v, absent %v", again, q.absent)
	}
	if o := drive(q, 1000); !o.isEmpty() || !q.wake(time.Unix(0, 0), false).IsZero() {
		t.Fatalf("%+v is tried without a container", o)
	}
	q.started("1", noFiles)
	if o := drive(q, 1000); len(o.sync) != 1 {
		t.Fatalf("the container runs and gets %+v", o)
	}
}

func TestNoContainerIsTouchedBesideAChangeOfTheStack(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchRestart, "/conf", ""), rule(spec.WatchRebuild, "/src", "")})
	q.change("/conf")
	q.change("/src/a")
	if o := q.next(time.Unix(0, 0), true); !o.isEmpty() {
		t.Fatalf("%+v", o)
	}
	if o := drive(q, 0); !o.build {
		t.Fatalf("%+v", o)
	}
	if o := drive(q, 0); !o.restart {
		t.Fatalf("%+v", o)
	}
	if o := q.next(time.Unix(0, 0), true); !o.cancelBuild {
		t.Fatalf("a build goes on beside a change of the stack: %+v", o)
	}
}

func TestARebuildThatTheUserAsksForIsToldApart(t *testing.T) {
	w := &watcher{Config: Config{
		Project: &spec.Project{Services: map[string]*spec.Service{"web": {Build: &spec.Build{}}, "db": {}}},
		Report:  func(Event) {}, Now: time.Now,
	}, queues: map[string]*queue{"web": newQueue("web", nil), "db": newQueue("db", nil)}}
	w.command(Rebuild)
	if o := drive(w.queues["web"], 0); !o.build || !o.asked {
		t.Errorf("asked for a rebuild: %+v", o)
	}
	if o := drive(w.queues["db"], 0); !o.isEmpty() {
		t.Errorf("a service without a build gets %+v", o)
	}
	w.queues["web"].built(true, false, time.Unix(0, 0))
	w.queues["web"].rebuild = true
	if o := drive(w.queues["web"], 1); !o.build || o.asked {
		t.Errorf("the next change: %+v", o)
	}
	w.command(Pause)
	if !w.paused {
		t.Error("a pause is not noted")
	}
	w.command(Pause)
	if w.paused {
		t.Error("a pause does not end")
	}
}

func TestWhatTheUserAsksForDoesNotWaitForAPauseToEnd(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchSync, "/src", "/app"), rule(spec.WatchRebuild, "/build", "")})
	q.known("1")
	q.paused = true
	q.change("/src/a")
	q.change("/build/x")
	q.restart = true
	if o := drive(q, 0); !o.isEmpty() || !q.wake(time.Unix(0, 0), false).IsZero() {
		t.Fatalf("in a pause: %+v", o)
	}
	q.rebuild, q.asked = true, true
	if o := drive(q, 1); !o.build || !o.asked {
		t.Fatalf("asked for a rebuild: %+v", o)
	}
	q.change("/build/y")
	if o := drive(q, 2); !o.isEmpty() {
		t.Fatalf("a change in a pause: %+v", o)
	}
	if !q.built(true, true, time.Unix(0, 0)) {
		t.Fatal("the image waits for the end of the pause")
	}
	q.replaced(true)
	if o := drive(q, 4); !o.isEmpty() {
		t.Fatalf("more than what was asked for: %+v", o)
	}
	q.paused = false
	if o := drive(q, 5); !o.build || o.asked {
		t.Fatalf("after the pause: %+v", o)
	}
	if o := drive(q, 5); len(o.sync) != 1 || !o.restart {
		t.Fatalf("after the pause: %+v", o)
	}
}

func TestAReplacementThatNeverGetsReadyGivesWayToANewerTree(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchRebuild, "/src", "")})
	q.change("/src/a")
	drive(q, 0)
	began := time.Unix(100, 0)
	q.built(true, true, began)
	if at := q.wake(began, false); !at.Equal(began.Add(patience)) {
		t.Fatalf("it is looked at again at %v", at)
	}
	if o := q.next(began.Add(2*patience), false); !o.isEmpty() || !q.wake(began.Add(2*patience), false).IsZero() {
		t.Fatalf("without a newer tree: %+v", o)
	}
	q.change("/src/a")
	if o := q.next(began.Add(patience-1), false); !o.isEmpty() {
		t.Fatalf("too early: %+v", o)
	}
	if o := q.next(began.Add(patience), false); !o.cancelBuild {
		t.Fatalf("it is waited for: %+v", o)
	}
	if o := q.next(began.Add(2*patience), false); !o.isEmpty() {
		t.Fatalf("before it has ended: %+v", o)
	}
	q.replaced(false)
	if o := q.next(began.Add(2*patience), false); !o.build {
		t.Fatalf("the newer tree: %+v", o)
	}
	if !q.built(true, false, began) {
		t.Error("what no container runs is not placed")
	}
}

func TestARetryIsNotForgottenBesideAReplacement(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchSync, "/src", "/app"), rule(spec.WatchRebuild, "/src/go.mod", "")})
	q.known("1")
	q.change("/src/go.mod")
	drive(q, 0)
	began := time.Unix(0, 0)
	if !q.built(true, true, began) {
		t.Fatal("not replaced")
	}
	for second, want := range map[float64]time.Time{0: began.Add(firstRetry), 9.9: began.Add(patience)} { // the earlier one
		now := time.Unix(0, int64(second*1e9))
		q.failures, q.retryAt = 0, time.Time{}
		q.synced(drive(q, second), []string{"/app/go.mod"}, false, now)
		if at := q.wake(now, false); !at.Equal(want) {
			t.Errorf("after %v s: woken at %v, want %v", second, at, want)
		}
	}
}

// TestNothingWakesBesideAChangeOfTheStack has what may not be begun yet: to be
// woken for it is to be woken again at once.
func TestNothingWakesBesideAChangeOfTheStack(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchSyncRestart, "/src", "/app"), rule(spec.WatchRestart, "/conf", "")})
	q.known("1")
	q.change("/src/a")
	began := time.Unix(0, 0)
	q.synced(drive(q, 0), []string{"/app/a"}, false, began)
	q.change("/conf")
	later := began.Add(2 * firstRetry)
	o := q.next(later, true)
	if len(o.sync) != 1 || o.restart {
		t.Fatalf("%+v", o)
	}
	q.synced(o, nil, false, later)
	if o, at := q.next(later, true), q.wake(later, true); !o.isEmpty() || !at.IsZero() {
		t.Errorf("woken at %v for %+v", at, o)
	}
	if o := q.next(later, false); !o.restart {
		t.Errorf("then %+v", o)
	}
}

// A container that starts while files are written is told of by the loop; who writes them notes in the order what was there.
func TestAnOrderIsOfWhoCarriesItOut(t *testing.T) {
	q := newQueue("web", []*Rule{rule(spec.WatchSync, "/src", "/app")})
	q.known("1")
	q.change("/src/a")
	o := drive(q, 0)
	written := make(chan struct{})
	go func() {
		defer close(written)
		_, _ = send(o.sync, func(Entry) error { return nil })
	}()
	q.started("2", noFiles) // races, where both have one map
	<-written
	q.synced(o, nil, false, time.Unix(0, 0))
	if o := drive(q, 1); len(o.sync) != 1 {
		t.Errorf("the new container gets %+v", o)
	}
}

// A restart that changes a file, as where it lies on a tmpfs, is followed by the file, and that by no restart: it would have no end.
func TestWhatIsDeliveredAgainAfterOurRestartRestartsNothing(t *testing.T) {
	initial := rule(spec.WatchSyncRestart, "/conf", "/etc/app")
	initial.InitialSync = true
	under := func(r *Rule) []string { return []string{"/conf/x"} }
	begun := func() (*queue, order) {
		q := newQueue("web", []*Rule{rule(spec.WatchSyncRestart, "/src", "/app"), initial})
		q.known("1")
		q.change("/src/a")
		return q, drive(q, 0)
	}
	type want map[string]bool // again, by target
	for name, test := range map[string]struct {
		then func(q *queue, o order)
		want want
	}{
		"told at once":  {func(q *queue, o order) { q.ended("1"); q.started("1", under); q.synced(o, nil, false, time.Unix(0, 0)) }, want{"/app/a": true, "/etc/app/x": true}},
		"told later":    {func(q *queue, o order) { q.synced(o, nil, false, time.Unix(0, 0)); q.ended("1"); q.started("1", under) }, want{"/app/a": true, "/etc/app/x": true}},
		"edited before": {func(q *queue, o order) { q.change("/src/a"); q.ended("1"); q.started("1", under) }, want{"/app/a": false, "/etc/app/x": true}},
		"edited after":  {func(q *queue, o order) { q.ended("1"); q.started("1", under); q.change("/src/a") }, want{"/app/a": false, "/etc/app/x": true}},
		"not written": {func(q *queue, o order) {
			q.synced(o, []string{"/app/a"}, false, time.Unix(0, 0))
			q.ended("1")
			q.started("1", under)
		}, want{"/app/a": false, "/etc/app/x": true}},
		"another one": {func(q *queue, o order) { q.ended("1"); q.started("2", under) }, want{"/app/a": false, "/etc/app/x": false}},
		"and another": {func(q *queue, o order) { q.ended("1"); q.started("1", under); q.started("2", under) }, want{"/app/a": false, "/etc/app/x": false}},
		"once more":   {func(q *queue, o order) { q.ended("1"); q.started("1", under); q.ended("1"); q.started("1", under) }, want{"/app/a": false, "/etc/app/x": false}},
	} {
		q, o := begun()
		q.restarts()
		test.then(q, o)
		got := want{}
		for target, d := range q.files {
			got[target] = d.again
		}
		if !maps.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
}
