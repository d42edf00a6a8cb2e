package watch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// engine answers the calls of a watch as a test has laid down.
type engine struct {
	api.UnimplementedEngineServer
	containers []planner.Container
	lines      []*api.LogLine
	sync       *api.SyncReply
	absent     bool // no container of the service exists
	exitCode   int32
	plan       *planner.Plan
	events     []planner.Event
	verdict    *api.Verdict

	mu        sync.Mutex // guards what follows
	synced    []*api.SyncInput
	started   []*api.ProcessStart
	lifecycle []*api.LifecycleRequest
	applied   []planner.Options
}

func (e *engine) Observe(context.Context, *api.ObserveRequest) (*api.ObserveReply, error) {
	doc, err := cli.Marshal(planner.Observed{Containers: e.containers})
	return &api.ObserveReply{Observed: doc}, err
}

func (e *engine) Logs(_ *api.LogsRequest, s grpc.ServerStreamingServer[api.LogLine]) error {
	for _, l := range e.lines {
		if err := s.Send(l); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) Sync(s grpc.ClientStreamingServer[api.SyncInput, api.SyncReply]) error {
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		e.mu.Lock()
		e.synced = append(e.synced, m)
		e.mu.Unlock()
	}
	if e.absent {
		return status.Error(codes.FailedPrecondition, "no container")
	}
	return s.SendAndClose(e.sync)
}

func (e *engine) Exec(s grpc.BidiStreamingServer[api.ProcessInput, api.ProcessOutput]) error {
	m, err := s.Recv()
	if err != nil {
		return err
	}
	e.mu.Lock()
	e.started = append(e.started, m.GetStart())
	e.mu.Unlock()
	for _, out := range []*api.ProcessOutput{
		{Of: &api.ProcessOutput_Stdout{Stdout: []byte("one\ntw")}}, {Of: &api.ProcessOutput_Stderr{Stderr: []byte("o\n")}},
		{Of: &api.ProcessOutput_ExitCode{ExitCode: e.exitCode}},
	} {
		if err := s.Send(out); err != nil {
			return err
		}
	}
	return nil
}

func (e *engine) progress(s grpc.ServerStreamingServer[api.Progress]) error {
	if e.plan != nil {
		if err := s.Send(&api.Progress{Of: &api.Progress_Plan{Plan: api.NewPlan(e.plan)}}); err != nil {
			return err
		}
	}
	for _, event := range e.events {
		if err := s.Send(&api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(event)}}); err != nil {
			return err
		}
	}
	return s.Send(&api.Progress{Of: &api.Progress_Verdict{Verdict: e.verdict}})
}

func (e *engine) Lifecycle(r *api.LifecycleRequest, s grpc.ServerStreamingServer[api.Progress]) error {
	e.mu.Lock()
	e.lifecycle = append(e.lifecycle, r)
	e.mu.Unlock()
	return e.progress(s)
}

func (e *engine) Apply(r *api.ApplyRequest, s grpc.ServerStreamingServer[api.Progress]) error {
	var o planner.Options
	if err := cli.Unmarshal(r.Options, &o); err != nil {
		return err
	}
	e.mu.Lock()
	e.applied = append(e.applied, o)
	e.mu.Unlock()
	return e.progress(s)
}

func (e *engine) Plan(context.Context, *api.ApplyRequest) (*api.PlanReply, error) {
	return &api.PlanReply{Plan: api.NewPlan(e.plan)}, nil
}

// executing is an executor whose calls go to an engine, and what it prints.
func executing(t *testing.T, e *engine, p *spec.Project) (*executor, *bytes.Buffer) {
	t.Helper()
	if e.verdict == nil {
		e.verdict = &api.Verdict{Ok: true}
	}
	dir, err := os.MkdirTemp("", "orlop-watch-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	api.RegisterEngineServer(server, e)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	client, err := api.Dial(t.Context(), filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = client.Status(t.Context(), &api.StatusRequest{}) // the connection stands
	t.Cleanup(func() { client.Close(); server.Stop(); wg.Wait(); os.RemoveAll(dir) })
	var errs bytes.Buffer
	inv := cli.New(cli.NewSettings(cli.World{Dir: dir, Now: time.Now, Stdin: strings.NewReader("")}), display.NewOutput(io.Discard, &errs))
	return &executor{Invocation: inv, client: client, project: p}, &errs
}

func shop() *spec.Project {
	return &spec.Project{Name: "shop", Variables: map[string]string{"HOME": "/me"}, Services: map[string]*spec.Service{
		"web":   {Name: "web", Build: &spec.Build{Context: ".", AdditionalContexts: map[string]string{"b": "service:base"}}},
		"base":  {Name: "base", Build: &spec.Build{Context: "."}},
		"proxy": {Name: "proxy", DependsOn: map[string]spec.Dependency{"web": {Restart: true}}},
		"logs":  {Name: "logs", DependsOn: map[string]spec.Dependency{"proxy": {Restart: true}, "db": {}}},
		"db":    {Name: "db"},
	}}
}

// TestASyncIsSentInMessagesOfBoundedSize has more entries, and more bytes, than
// one message takes.
func TestASyncIsSentInMessagesOfBoundedSize(t *testing.T) {
	for name, test := range map[string]struct{ entries, size, messages int }{
		"a few": {3, 10, 1}, "many": {syncEntries + 1, 10, 2}, "large ones": {3, syncBytes, 4},
	} {
		e := &engine{sync: &api.SyncReply{Files: int32(test.entries), Containers: 1}}
		x, _ := executing(t, e, shop())
		done, err := x.Sync(t.Context(), "web", func(put func(loop.Entry) error) error {
			for range test.entries {
				if err := put(loop.Entry{Path: "/f", Kind: loop.File, Content: make([]byte, test.size)}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || done.Files != test.entries || done.Still != nil {
			t.Errorf("%s: %+v, %v", name, done, err)
		}
		if len(e.synced) != test.messages || e.synced[0].Project != "shop" || e.synced[0].Service != "web" {
			t.Errorf("%s: %d messages, want %d", name, len(e.synced), test.messages)
		}
	}
}

func TestWhatASyncComesTo(t *testing.T) {
	one := func(put func(loop.Entry) error) error { return put(loop.Entry{Path: "/f", Kind: loop.Removal}) }
	e := &engine{sync: &api.SyncReply{Removed: 1, Containers: 2, Failures: []*api.SyncFailure{{Container: "web/2", Path: "/f", Error: "read-only"}}}}
	x, _ := executing(t, e, shop())
	done, err := x.Sync(t.Context(), "web", one)
	if want := []loop.Failure{{Container: "web/2", Path: "/f", Message: "read-only"}}; err != nil || done.Removed != 1 || !slices.Equal(done.Failures, want) {
		t.Errorf("%+v, %v", done, err)
	}
	e.sync.Cut = "the engine was asked to stop"
	if _, err := x.Sync(t.Context(), "web", one); err == nil || err.Error() != e.sync.Cut {
		t.Errorf("one that was cut: %v", err)
	}
	broken := errors.New("cannot read it")
	if _, err := x.Sync(t.Context(), "web", func(func(loop.Entry) error) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("what can't be read: %v", err)
	}
	e.containers = []planner.Container{{ID: "w", Service: "web", Number: 1, State: planner.Exited, ExitCode: 3, StartedAt: time.Unix(10, 0), ExitedAt: time.Unix(12, 0)}}
	e.lines = []*api.LogLine{{ContainerId: "w", Text: []byte("panic: no")}}
	e.absent = true
	_, err = x.Sync(t.Context(), "web", one)
	output, ok := errors.AsType[*loop.OutputError](err)
	if !errors.Is(err, loop.ErrAbsent) || !ok || output.Message != "web/1 exited with code 3 after 2.0 s. See: orlop logs web" || !slices.Equal(output.Lines, []string{"panic: no"}) {
		t.Errorf("without a container: %v, %+v", err, output)
	}
}

func TestAHookRunsInEachContainerThatRuns(t *testing.T) {
	value := "1"
	e := &engine{containers: []planner.Container{
		{ID: "1", Service: "web", State: planner.Running}, {ID: "2", Service: "web", State: planner.Exited},
		{ID: "3", Service: "web", State: planner.Running}, {ID: "4", Service: "web", State: planner.Running, OneOff: true}, {ID: "5", Service: "db", State: planner.Running},
	}}
	x, _ := executing(t, e, shop())
	hook := &spec.Hook{Command: spec.Command{"reload"}, User: "me", WorkingDir: "/w", Environment: map[string]*string{"A": &value, "HOME": nil}}
	output, err := x.Exec(t.Context(), "web", hook)
	if want := []string{"one", "two", "one", "two"}; err != nil || !slices.Equal(output, want) {
		t.Errorf("printed is %q, %v", output, err)
	}
	if len(e.started) != 2 || e.started[0].Container != "1" || e.started[1].Container != "3" || e.started[0].User != "me" || !slices.Equal(e.started[0].Environment, []string{"A=1"}) {
		t.Errorf("started are %v", e.started)
	}
	e.exitCode = 2
	_, err = x.Exec(t.Context(), "web", hook)
	if o, ok := errors.AsType[*loop.OutputError](err); !ok || o.Message != "exit code 2" || !slices.Equal(o.Lines, []string{"one", "two"}) || len(e.started) != 3 {
		t.Errorf("one that fails: %v, %d started", err, len(e.started))
	}
}

func TestABuildIsOfTheServiceAndWhatItBuildsOn(t *testing.T) {
	failed := planner.Event{Step: "build web", Action: planner.Build, Kind: planner.Failed, Text: "exit code 1", Lines: []string{"main.go:3:1: syntax error"}}
	for name, test := range map[string]struct {
		plan         *planner.Plan
		events       []planner.Event
		verdict      *api.Verdict
		ran, changed bool
		fails        bool
	}{
		"nothing to do": {&planner.Plan{Project: "shop"}, nil, &api.Verdict{Ok: true, UpToDate: true}, false, false, false},
		"a new image":   {onePlan(), []planner.Event{{Step: "build web", Action: planner.Build, Kind: planner.Done}}, &api.Verdict{Ok: true}, true, true, false},
		"a mistake":     {onePlan(), []planner.Event{failed}, &api.Verdict{Error: "1 step failed"}, true, false, true},
	} {
		e := &engine{plan: test.plan, events: test.events, verdict: test.verdict}
		x, _ := executing(t, e, shop())
		begun := false
		built, err := x.Build(t.Context(), "web", true, func() { begun = true })
		if built.Ran != test.ran || begun != test.ran || built.Changed != test.changed || (err != nil) != test.fails {
			t.Errorf("%s: %+v, begun %t, %v", name, built, begun, err)
		}
		if o, ok := errors.AsType[*loop.OutputError](err); ok != test.fails || ok && o.Lines[0] != "main.go:3:1: syntax error" {
			t.Errorf("%s: the error is %+v", name, o)
		}
		if o := e.applied[0]; !slices.Equal(o.Services, []string{"base", "web"}) || !o.BuildOnly || !o.NoDeps {
			t.Errorf("%s: applied is %+v", name, o)
		}
	}
}

func onePlan() *planner.Plan {
	return &planner.Plan{Project: "shop", Steps: []*planner.Step{{ID: "build web", Action: planner.Build, Resource: "web", Service: "web"}}}
}

func TestAReplacementTakesThoseThatAreRestartedWithIt(t *testing.T) {
	e := &engine{plan: onePlan(), events: []planner.Event{{Step: "replace web/1", Action: planner.Replace, Kind: planner.Done}}}
	x, _ := executing(t, e, shop())
	changed, err := x.Replace(t.Context(), "web")
	if o := e.applied[0]; err != nil || !changed || !slices.Equal(o.Services, []string{"web", "proxy", "logs"}) || !o.NoBuild || !o.Wait {
		t.Errorf("changed %t, %v, applied is %+v", changed, err, o)
	}
}

func TestARestartOfAllLeavesOutWhatHasCompletedAndTellsOfTheRest(t *testing.T) {
	e := &engine{
		containers: []planner.Container{
			{ID: "1", Service: "web", State: planner.Running}, {ID: "2", Service: "migrate", State: planner.Exited}, {ID: "3", Service: "db", State: planner.Exited, ExitCode: 1},
		},
		events: []planner.Event{
			{Service: "web", Action: planner.Restart, Kind: planner.Done}, {Service: "db", Action: planner.Restart, Kind: planner.Failed, Text: "no space left"},
		},
		verdict: &api.Verdict{Error: "1 step failed"},
	}
	x, _ := executing(t, e, shop())
	var told []string
	err := x.RestartAll(t.Context(), []string{"db", "migrate", "web"}, func(service string, err error) {
		text := service
		if err != nil {
			text += ": " + err.Error()
		}
		told = append(told, text)
	})
	if want := []string{"db: no space left", "web"}; err != nil || !slices.Equal(told, want) {
		t.Errorf("%v, told is %q", err, told)
	}
	if got := e.lifecycle[0].Services; slices.Contains(got, "nosuch") || !slices.Contains(got, "web") {
		t.Errorf("restarted are %q", got)
	}
	if err := x.RestartAll(t.Context(), []string{"nosuch"}, nil); err != nil || len(e.lifecycle) != 1 {
		t.Errorf("without a container: %v, asked %d times", err, len(e.lifecycle))
	}
}

func TestAnEditThatRemovesAServiceStopsAndRemovesIt(t *testing.T) {
	e := &engine{plan: &planner.Plan{Project: "shop"}}
	x, errs := executing(t, e, shop())
	after := shop()
	delete(after.Services, "db")
	if err := x.Apply(t.Context(), after); err != nil {
		t.Fatal(err)
	}
	var asked []string
	for _, r := range e.lifecycle {
		asked = append(asked, r.Action+" "+strings.Join(r.Services, ","))
	}
	if want := "stop db; remove db"; strings.Join(asked, "; ") != want || len(e.applied) != 1 || x.current() != after {
		t.Errorf("asked is %q, applied %d times", asked, len(e.applied))
	}
	if !strings.Contains(errs.String(), " - db   no longer in the stack file\n") {
		t.Errorf("said is %q", errs)
	}
}

func TestAnEditIsAppliedAfterAYesIfAskedFor(t *testing.T) {
	for answer, applied := range map[bool]int{true: 1, false: 0} {
		e := &engine{plan: onePlan()}
		x, _ := executing(t, e, shop())
		asked := ""
		x.ask, x.confirm = true, func(_ context.Context, question string) bool {
			asked = question
			return answer
		}
		err := x.Apply(t.Context(), shop())
		if errors.Is(err, loop.ErrDeclined) == answer || len(e.applied) != applied || asked != "Apply this?" {
			t.Errorf("answer %t: %v, applied %d times, asked was %q", answer, err, len(e.applied), asked)
		}
	}
}

func TestAReloadShowsItsMistakesAndRefusesAnotherName(t *testing.T) {
	e := &engine{}
	x, errs := executing(t, e, shop())
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(x.Dir, "stack.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for text, want := range map[string]string{
		"name: shop\nservices: {web: {image: x}}\n":  "",
		"name: other\nservices: {web: {image: x}}\n": "the project is now called other",
		"services: {web: {imag: x}}\n":               `unknown key "imag"`,
	} {
		write(text)
		errs.Reset()
		_, files, err := x.Reload(t.Context())
		if (err == nil) != (want == "") || len(files) == 0 {
			t.Errorf("%q: %v, files %q", text, err, files)
		}
		if want != "" && !strings.Contains(errs.String(), want) && !strings.Contains(errs.String(), "the project is called other now") {
			t.Errorf("%q: said is %q", text, errs)
		}
	}
}

func TestTheInstructionsThatBaseImagesBring(t *testing.T) {
	got := broughtBy(map[string][]string{"web": {"node", "nosuch"}, "api": {"go", "node"}}, []*api.ImageInfo{
		{Name: "node", OnBuild: []string{"COPY . /src"}}, {Name: "go", OnBuild: []string{"RUN make", "COPY a b"}},
	})
	if !slices.Equal(got["web"], []string{"COPY . /src"}) || !slices.Equal(got["api"], []string{"RUN make", "COPY a b", "COPY . /src"}) {
		t.Errorf("brought is %q", got)
	}
}

func TestServicesAreShownOneAfterTheOther(t *testing.T) {
	names := []string{"a", "b"}
	var got []string
	at := ""
	for range 4 {
		at = nextOf(names, at)
		got = append(got, at)
	}
	if want := []string{"a", "b", "", "a"}; !slices.Equal(got, want) || nextOf(nil, "") != "" || nextOf(names, "gone") != "" {
		t.Errorf("shown are %q", got)
	}
}
