package loop

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orlop/orlop/spec"
)

// fakeExecutor builds another image each time, and replaces until it is told to
// end.
type fakeExecutor struct {
	replacing chan string
	reload    func() (*spec.Project, []string)
	apply     func()
	synced    chan Entry
	unsynced  error // of Sync
	restarted chan []string
}

func (c *fakeExecutor) Sync(_ context.Context, _ string, each func(put func(Entry) error) error) (Synced, error) {
	if c.unsynced != nil {
		return Synced{}, c.unsynced
	}
	return Synced{Files: 1}, each(func(e Entry) error { c.synced <- e; return nil })
}
func (c *fakeExecutor) Restart(context.Context, string) error { return nil }
func (c *fakeExecutor) RestartAll(_ context.Context, services []string, ended func(string, error)) error {
	c.restarted <- services
	ended("db", nil)
	ended("web", errors.New("exited with code 1"))
	return nil
}
func (c *fakeExecutor) Exec(context.Context, string, *spec.Hook) ([]string, error) { return nil, nil }
func (c *fakeExecutor) Build(context.Context, string, bool, func()) (Built, error) {
	return Built{Ran: true, Changed: true}, nil
}

func (c *fakeExecutor) Replace(ctx context.Context, service string) (bool, error) {
	c.replacing <- service
	<-ctx.Done()
	return false, context.Cause(ctx)
}

func (c *fakeExecutor) Reload(context.Context) (*spec.Project, []string, error) {
	p, files := c.reload()
	return p, files, nil
}
func (c *fakeExecutor) Apply(context.Context, *spec.Project) error { c.apply(); return nil }

// mendedExecutor builds what can't be built at first, and then what was there before.
type mendedExecutor struct {
	fakeExecutor
	builds int
}

func (c *mendedExecutor) Build(context.Context, string, bool, func()) (Built, error) {
	if c.builds++; c.builds == 1 {
		return Built{Ran: true}, errors.New("no such file")
	}
	return Built{}, nil
}

func TestAMendThatLeadsToTheSameImageIsSaid(t *testing.T) {
	dir := t.TempDir()
	web := &spec.Service{Name: "web", Build: &spec.Build{Context: dir, DockerfileInline: "FROM scratch\nCOPY . /"}}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	commands, events, end := make(chan Command), make(chan Event, 16), make(chan error, 1)
	go func() {
		end <- Run(ctx, Config{
			Project: &spec.Project{Name: "p", Services: map[string]*spec.Service{"web": web}}, Executor: &mendedExecutor{}, Commands: commands,
			Now: time.Now, Report: func(e Event) { events <- e },
		})
	}()
	want := []Event{{Kind: Ready}, {Kind: Failed, Text: "build failed: no such file"}, {Kind: Unchanged, Text: "builds again; the image is unchanged"}}
	for i, w := range want {
		if i > 0 {
			commands <- Rebuild
		}
		if e := awaited(t, string(w.Kind), events); e.Kind != w.Kind || i > 0 && e.Text != w.Text {
			t.Fatalf("it says %+v, want %+v", e, w)
		}
	}
	commands <- Rebuild // has nothing to say
	commands <- Pause
	if e := awaited(t, "the pause", events); e.Kind != Note {
		t.Errorf("what goes well twice is said twice: %+v", e)
	}
	cancel()
	awaited(t, "the watch", end)
}

// awaited gives what comes on a channel, soon.
func awaited[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(5 * time.Second):
		t.Fatalf("no end: %s", what)
		panic("unreachable")
	}
}

// watched runs a watch; the error it ends with comes on the channel.
func watched(ctx context.Context, cfg Config) <-chan error {
	cfg.Now, cfg.Report = time.Now, func(Event) {}
	end := make(chan error, 1)
	go func() { end <- Run(ctx, cfg) }()
	return end
}

func TestAWatchEndsBesideAReplacementThatNeverGetsReady(t *testing.T) {
	dir := t.TempDir()
	web := &spec.Service{Name: "web", Build: &spec.Build{Context: dir, DockerfileInline: "FROM scratch\nCOPY . /"}}
	executor := &fakeExecutor{replacing: make(chan string)}
	commands := make(chan Command)
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	end := watched(ctx, Config{
		Project: &spec.Project{Name: "p", Services: map[string]*spec.Service{"web": web}}, Executor: executor, Commands: commands,
	})
	commands <- Rebuild
	awaited(t, "the build", executor.replacing)
	cancel(why)
	if err := awaited(t, "the watch", end); !errors.Is(err, why) {
		t.Errorf("it ends with %v", err)
	}
}

func TestAllIsRestartedAtOnceAlsoInAPause(t *testing.T) {
	rules := &spec.Develop{Watch: []spec.WatchRule{{Path: t.TempDir(), Action: spec.WatchRestart}}}
	services := map[string]*spec.Service{"web": {Name: "web", Develop: rules}, "db": {Name: "db", Develop: rules}}
	executor := &fakeExecutor{restarted: make(chan []string)}
	commands, events := make(chan Command), make(chan Event, 64)
	ctx, cancel := context.WithCancel(context.Background())
	end := make(chan error, 1)
	go func() {
		end <- Run(ctx, Config{
			Project: &spec.Project{Name: "p", Services: services}, Executor: executor, Commands: commands,
			Now: time.Now, Report: func(e Event) { events <- e },
		})
	}()
	commands <- Pause
	commands <- RestartAll
	if got := awaited(t, "the restart", executor.restarted); !slices.Equal(got, []string{"db", "web"}) {
		t.Errorf("restarted at once: %v", got)
	}
	commands <- RestartAll
	awaited(t, "the second restart", executor.restarted)
	var told []string
	for len(told) < 2 {
		if e := awaited(t, "the outcome", events); e.Kind == Restarted || e.Kind == Failed {
			told = append(told, e.Service+" "+string(e.Kind)+" "+e.Text)
		}
	}
	if want := []string{"db restarted ", "web failed not restarted: exited with code 1"}; !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
	cancel()
	awaited(t, "the watch", end)
}

func TestAServiceOfAnEditGetsItsInitialSync(t *testing.T) {
	dir := t.TempDir()
	stack, src := filepath.Join(dir, "stack.yaml"), filepath.Join(dir, "src")
	write := func(file, text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(src, 0o755); err != nil {
		t.Fatal(err)
	}
	write(stack, "one")
	write(filepath.Join(src, "a.txt"), "a")
	rules := &spec.Develop{Watch: []spec.WatchRule{{Path: src, Action: spec.WatchSync, Target: "/app", InitialSync: true}}}
	after := &spec.Project{Name: "p", Services: map[string]*spec.Service{"web": {Name: "web", Image: "nginx", Develop: rules}}}
	containers := make(chan Container)
	executor := &fakeExecutor{
		synced: make(chan Entry, 8),
		reload: func() (*spec.Project, []string) { return after, []string{stack} },
		apply: func() { // one starts and ends, one stays
			containers <- Container{Service: "web", ID: "0", Running: true}
			containers <- Container{Service: "web", ID: "0"}
			containers <- Container{Service: "web", ID: "1", Running: true}
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ready := make(chan Event, 64)
	end := make(chan error, 1)
	go func() {
		end <- Run(ctx, Config{
			Project: &spec.Project{Name: "p", Services: map[string]*spec.Service{}}, Files: []string{stack},
			Executor: executor, Containers: containers, Now: time.Now, Report: func(e Event) { ready <- e },
		})
	}()
	awaited(t, "the beginning", ready)
	write(stack, "two")
	if e := awaited(t, "the sync", executor.synced); e.Path != "/app/a.txt" {
		t.Errorf("what is synced first is %+v", e)
	}
	cancel()
	awaited(t, "the watch", end)
}

func TestAServiceThatIsDownIsRestartedBesideFilesThatWait(t *testing.T) {
	dir := t.TempDir()
	rules := &spec.Develop{Watch: []spec.WatchRule{{Path: dir, Action: spec.WatchSync, Target: "/app"}}}
	commands, events := make(chan Command), make(chan Event, 64)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	end := make(chan error, 1)
	go func() {
		end <- Run(ctx, Config{
			Project:  &spec.Project{Name: "p", Services: map[string]*spec.Service{"web": {Name: "web", Image: "nginx", Develop: rules}}},
			Executor: &fakeExecutor{unsynced: ErrAbsent, restarted: make(chan []string, 1)}, Commands: commands, Now: time.Now, Report: func(e Event) { events <- e },
		})
	}()
	awaited(t, "the beginning", events)
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte("a"), 0o600); err != nil {
		t.Fatal(err)
	}
	if e := awaited(t, "the sync", events); e.Kind != Failed || e.Text != "1 file not synced yet: it has no container" {
		t.Errorf("of the sync is told %+v", e)
	}
	commands <- RestartAll
	if e := awaited(t, "the restart", events); e.Kind != Restarted {
		t.Errorf("of the restart is told %+v", e)
	}
	cancel()
	awaited(t, "the watch", end)
}

// What is written while the stack is brought up, or while an edit is carried out, is not
// lost, though nobody watches it yet.
func TestAnEditIsNotLostWhileAnotherIsCarriedOut(t *testing.T) {
	dir := t.TempDir()
	stack, values := filepath.Join(dir, "stack.yaml"), filepath.Join(dir, "env", "values.env")
	write(t, dir, map[string]string{"stack.yaml": "one", "env/values.env": "one"})
	project := &spec.Project{Name: "p", Services: map[string]*spec.Service{}}
	reloads, applied := make(chan string, 8), 0
	executor := &fakeExecutor{
		reload: func() (*spec.Project, []string) {
			text, err := os.ReadFile(values)
			must(t, err)
			reloads <- string(text)
			return project, []string{stack, values}
		},
		apply: func() {
			if applied++; applied == 1 {
				write(t, dir, map[string]string{"env/values.env": "two"})
			}
		},
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	since := FileClock()
	write(t, dir, map[string]string{"stack.yaml": "two"})
	end := watched(ctx, Config{Project: project, Files: []string{stack}, Since: since, Executor: executor})
	if got := awaited(t, "the edit from before the watch", reloads); got != "one" {
		t.Errorf("read first: %s", got)
	}
	if got := awaited(t, "the edit from before the file was watched", reloads); got != "two" {
		t.Errorf("read then: %s", got)
	}
	cancel()
	awaited(t, "the watch", end)
	if len(reloads) > 0 {
		t.Errorf("it is read once more, though nothing was written: %s", <-reloads)
	}
}

// An editor may empty a file and then write it: what is read once both are done is one edit.
func TestASecondHalfOfAnEditIsNoOther(t *testing.T) {
	dir := t.TempDir()
	stack := filepath.Join(dir, "stack.yaml")
	write(t, dir, map[string]string{"stack.yaml": "one"})
	project := &spec.Project{Name: "p", Services: map[string]*spec.Service{}}
	read := make(chan struct{}, 1)
	executor := &fakeExecutor{
		reload: func() (*spec.Project, []string) { read <- struct{}{}; return project, []string{stack} },
		apply:  func() {},
	}
	w := &watcher{
		Config: Config{Project: project, Files: []string{stack}, Executor: executor, Now: time.Now, Report: func(Event) {}},
		queues: map[string]*queue{}, done: make(chan func()), tree: newTree(scope{[]*Rule{fileRule(stack)}}, deaf{}),
	}
	w.tree.survey()
	write(t, dir, map[string]string{"stack.yaml": ""})
	w.changed(w.tree.resolve(map[string]bool{stack: true}))
	if !w.stale {
		t.Fatal("the edit is not seen")
	}
	write(t, dir, map[string]string{"stack.yaml": "two"})
	w.dispatch(t.Context())
	awaited(t, "the stack is read", read)
	awaited(t, "it is applied", w.done)()
	w.changed(w.tree.resolve(map[string]bool{stack: true})) // by its second event
	if w.stale {
		t.Error("the same edit is to be carried out twice")
	}
	w.running.Wait()
}

// What was there before the stack was read has not changed.
func TestAWatchBeginsWithNothingToDo(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/a": "1", "stack.yaml": "one", "stage/n/deep/c": "1"})
	must(t, os.Symlink("a", dir+"/src/link"))
	for !FileClock().After(ctimeOf(t, dir+"/src/link")) { // what is written within one tick of that clock counts
	}
	l := newTree(scope{[]*Rule{rule(spec.WatchSync, dir+"/src", "/app"), fileRule(dir + "/stack.yaml")}}, deaf{})
	since := FileClock()
	if got := l.begin(since); len(got) > 0 {
		t.Errorf("changed are %q", got)
	}
	write(t, dir, map[string]string{"src/b": "1"})
	must(t, os.Rename(dir+"/stage/n", dir+"/src/n"))
	if got := newTree(l.scope, deaf{}).begin(since); !slices.Equal(got, []string{dir + "/src/b", dir + "/src/n", dir + "/src/n/deep", dir + "/src/n/deep/c"}) {
		t.Errorf("changed are %q", got)
	}
}

func ctimeOf(t *testing.T, path string) time.Time {
	t.Helper()
	info, err := os.Lstat(path)
	must(t, err)
	return time.Unix(info.Sys().(*syscall.Stat_t).Ctim.Unix())
}

// What an image was built with and is gone by the time that the watch begins is taken out of the containers; what is there is left.
func TestWhatWasDeletedDuringTheFirstUpIsGone(t *testing.T) {
	dir := realTemp(t)
	write(t, dir, map[string]string{"src/kept": "1", "src/lost": "1", "src/old/a": "1", "src/skipped/a": "1", "other": "1"})
	rules := &spec.Develop{Watch: []spec.WatchRule{{Path: filepath.Join(dir, "src"), Action: spec.WatchSync, Target: "/app", Ignore: []string{"skipped"}}}}
	project := &spec.Project{Name: "p", Services: map[string]*spec.Service{"web": {Name: "web", Image: "nginx", Develop: rules}}}
	held, err := Held(project, nil, Options{})
	must(t, err)
	for i, file := range held {
		held[i] = strings.TrimPrefix(file, dir+"/")
	}
	if want := []string{"src", "src/kept", "src/lost", "src/old", "src/old/a"}; !slices.Equal(held, want) {
		t.Errorf("held are %q, want %q", held, want)
	}
	for i, file := range held {
		held[i] = filepath.Join(dir, file)
	}
	must(t, os.RemoveAll(filepath.Join(dir, "src/old")))
	must(t, os.Remove(filepath.Join(dir, "src/lost")))
	must(t, os.RemoveAll(filepath.Join(dir, "src/skipped")))
	executor := &fakeExecutor{synced: make(chan Entry, 8)}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	end := watched(ctx, Config{Project: project, Held: held, Executor: executor})
	var got []string
	for range 3 {
		e := awaited(t, "a removal", executor.synced)
		if e.Kind != Removal {
			t.Errorf("what is synced is %+v", e)
		}
		got = append(got, e.Path)
	}
	if want := []string{"/app/lost", "/app/old", "/app/old/a"}; !slices.Equal(got, want) {
		t.Errorf("removed are %q, want %q", got, want)
	}
	cancel()
	awaited(t, "the watch", end)
	if len(executor.synced) > 0 {
		t.Errorf("and %+v", <-executor.synced)
	}
}
