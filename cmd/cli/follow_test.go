package cli

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// serve puts an engine on a socket of its own.
func serve(t *testing.T, engine api.EngineServer) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "orlop-cli-") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	api.RegisterEngineServer(server, engine)
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { server.Stop(); wg.Wait(); os.RemoveAll(dir) })
	return socket
}

// dying is an engine whose log breaks off, as often as is laid down.
type dying struct {
	api.UnimplementedEngineServer
	lines  []*api.LogLine
	breaks []int // after how many lines each call does

	mu    sync.Mutex // guards asked
	asked []*api.LogsRequest
}

func (d *dying) Logs(r *api.LogsRequest, s grpc.ServerStreamingServer[api.LogLine]) error {
	d.mu.Lock()
	call := len(d.asked)
	d.asked = append(d.asked, r)
	d.mu.Unlock()
	for i, l := range d.lines {
		if call < len(d.breaks) && i == d.breaks[call] {
			return status.Error(codes.Unavailable, "the engine died")
		}
		if l.TimeUnixNs < r.SinceUnixNs {
			continue
		}
		if err := s.Send(l); err != nil {
			return err
		}
	}
	return nil
}

func TestLogsGoOnWithTheNextEngineAfterTheirLastLine(t *testing.T) {
	line := func(container, text string, at int64) *api.LogLine {
		return &api.LogLine{ContainerId: container, Text: []byte(text), TimeUnixNs: at}
	}
	d := &dying{
		lines:  []*api.LogLine{line("a", "a1", 10), line("b", "b1", 11), line("a", "a2", 12), line("b", "b2", 13)},
		breaks: []int{3, 3},
	}
	client, err := api.Dial(t.Context(), serve(t, d))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got []string
	read := func(follow bool) error {
		got, d.asked = nil, nil
		return ReadLines(t.Context(), client, &api.LogsRequest{Follow: follow, Tail: 5}, func(l *api.LogLine) { got = append(got, string(l.Text)) })
	}
	if err := read(true); err != nil || strings.Join(got, " ") != "a1 b1 a2 b2" {
		t.Errorf("followed are %q, %v", got, err)
	}
	if last := d.asked[len(d.asked)-1]; len(d.asked) != 3 || last.Tail != -1 || last.SinceUnixNs == 0 {
		t.Errorf("asked was %v", d.asked)
	}
	if err := read(false); !errors.Is(api.Cause(err), api.ErrLost) || strings.Join(got, " ") != "a1 b1 a2" {
		t.Errorf("read once are %q, %v", got, err)
	}
}

func TestWhatOutlastsAnEngineEndsWithItsContext(t *testing.T) {
	calls := 0
	stop := errors.New("enough")
	err := AcrossEngines(context.Background(), func() error {
		if calls++; calls < 3 {
			return api.ErrLost
		}
		return stop
	})
	if calls != 3 || !errors.Is(err, stop) {
		t.Errorf("%d calls, %v", calls, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	calls = 0
	err = AcrossEngines(ctx, func() error {
		calls++
		cancel()
		return api.ErrLost
	})
	if calls != 1 || !errors.Is(err, api.ErrLost) {
		t.Errorf("after the end: %d calls, %v", calls, err)
	}
}

func TestTheCauseOfAnEndIsWhatIsSaid(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	plain := errors.New("plain")
	if got := Cause(ctx, plain); !errors.Is(got, plain) {
		t.Errorf("an error of its own becomes %v", got)
	}
	cancel(ErrInterrupted)
	if got := Cause(ctx, status.Error(codes.Canceled, "context canceled")); !errors.Is(got, ErrInterrupted) {
		t.Errorf("what an interrupt ended is %v", got)
	}
	late := errors.New("too late")
	ctx, stop := context.WithTimeoutCause(context.Background(), time.Millisecond, late)
	defer stop()
	if got := Cause(ctx, context.DeadlineExceeded); !errors.Is(got, late) {
		t.Errorf("what a deadline ended is %v", got)
	}
	if Cause(ctx, nil) != nil {
		t.Error("no error has a cause")
	}
}

// told is a progress without a display.
func told(events []planner.Event, verdict *api.Verdict) *said {
	s := said{{Of: &api.Progress_Plan{Plan: api.NewPlan(&planner.Plan{Project: "p", Steps: []*planner.Step{{ID: "x", Action: planner.Build}}})}}}
	for _, e := range events {
		s = append(s, &api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(e)}})
	}
	if verdict != nil {
		s = append(s, &api.Progress{Of: &api.Progress_Verdict{Verdict: verdict}})
	}
	return &s
}

func TestAProgressIsFollowedToItsVerdict(t *testing.T) {
	done := planner.Event{Step: "x", Kind: planner.Done}
	failed := planner.Event{Step: "x", Kind: planner.Failed, Text: "exit code 1", Lines: []string{"no such file"}}
	for name, test := range map[string]struct {
		stream  *said
		planned error
		changed bool
		want    string
	}{
		"nothing changed":   {told(nil, &api.Verdict{Ok: true}), nil, false, ""},
		"something changed": {told([]planner.Event{done}, &api.Verdict{Ok: true}), nil, true, ""},
		"a step failed":     {told([]planner.Event{done, failed, {Kind: planner.Failed, Text: "another"}}, &api.Verdict{Error: "1 step failed"}), nil, true, "exit code 1"},
		"no step at all":    {told(nil, &api.Verdict{Error: "locked"}), nil, false, "locked"},
		"no reason":         {told(nil, &api.Verdict{}), nil, false, "the engine gave no reason"},
		"it breaks off":     {told([]planner.Event{done}, nil), nil, true, api.ErrLost.Error()},
		"nothing to lend":   {told(nil, &api.Verdict{Ok: true}), errors.New("no session"), false, "no session"},
	} {
		var events int
		changed, err := Follow(context.Background(), test.stream, func(*planner.Plan) error { return test.planned }, func(planner.Event) { events++ })
		if changed != test.changed || (err == nil) != (test.want == "") || err != nil && err.Error() != test.want {
			t.Errorf("%s: changed %t, %v, want %q", name, changed, err, test.want)
		}
		if step, ok := errors.AsType[*StepError](err); ok != (name == "a step failed") || ok && step.Lines[0] != "no such file" {
			t.Errorf("%s: the step's error is %v", name, step)
		}
	}
}

func TestWhatCouldNotBePlannedIsOneReason(t *testing.T) {
	inv, errs := invoked(t, nil)
	stream := said{{Of: &api.Progress_Notice{Notice: "waiting for: up of shop"}}, {Of: &api.Progress_Verdict{Verdict: &api.Verdict{Error: "shop is locked"}}}}
	if _, err := inv.Show(t.Context(), &stream, Progress{}); err == nil || err.Error() != "shop is locked" || errs.String() != " waiting for: up of shop\n" {
		t.Errorf("%v, said is %q", err, errs)
	}
	stream = said{{Of: &api.Progress_Notice{Notice: "x"}}}
	if _, err := inv.Show(t.Context(), &stream, Progress{}); !errors.Is(err, api.ErrLost) {
		t.Errorf("a stream that breaks off: %v", err)
	}
}

func TestABuildSessionIsConnectedBeforeItsPlanIsShown(t *testing.T) {
	inv, errs := invoked(t, nil)
	lent := false
	_, err := inv.Show(t.Context(), told(nil, &api.Verdict{Ok: true}), Progress{Lend: func(p *planner.Plan) error {
		lent = p.Project == "p" && errs.Len() == 0
		return nil
	}})
	if err != nil || !lent {
		t.Errorf("%v, lent first %t", err, lent)
	}
	if _, err := inv.Show(t.Context(), told(nil, &api.Verdict{Ok: true}), Progress{Lend: func(*planner.Plan) error { return errors.New("no agent") }}); err == nil || err.Error() != "no agent" {
		t.Errorf("what can't be lent: %v", err)
	}
}

func TestAddressesAreThoseOfWebPages(t *testing.T) {
	for want, b := range map[string]planner.Binding{
		"http://localhost:8080":  {HostIP: "0.0.0.0", HostPort: 8080, Target: 80},
		"https://localhost:8443": {HostIP: "::1", HostPort: 8443, Target: 443},
		"http://10.0.0.7:3000":   {HostIP: "10.0.0.7", HostPort: 3000, Target: 3000},
		"http://[fd00::1]:5173":  {HostIP: "fd00::1", HostPort: 5173, Target: 5173},
	} {
		if got := webAddress(b); got != want || !IsWebPort(b.Target) {
			t.Errorf("%v is %s, want %s", b, got, want)
		}
	}
	if IsWebPort(5432) {
		t.Error("a database is worth a click")
	}
	for state, want := range map[planner.State]int{planner.Running: 1, planner.Restarting: 1, planner.Created: 0, planner.Exited: 0} {
		known := []planner.Container{{Service: "web", State: state, Published: []planner.Binding{{HostPort: 8080, Target: 80}}}}
		if got := addresses(known, []string{"web"}); len(got) != want {
			t.Errorf("of a container that is %s the addresses are %q", state, got)
		}
	}
}

// batching is an engine that sends batches to who asks for them.
type batching struct {
	api.UnimplementedEngineServer
	batches []*api.LogBatch
}

func (b *batching) Logs(r *api.LogsRequest, s grpc.ServerStreamingServer[api.LogLine]) error {
	if !r.Batched {
		return errors.New("batches are not asked for")
	}
	for _, one := range b.batches {
		if err := s.Send(&api.LogLine{Batch: one}); err != nil {
			return err
		}
	}
	return nil
}

// flushed notes lines, and when they are to be shown.
type flushed struct{ text strings.Builder }

func (f *flushed) Add(l *api.LogLine) {
	f.text.WriteString(l.Service + map[bool]string{true: "!"}[l.Stderr] + ":" + string(l.Text) + map[bool]string{true: "+"}[l.Partial] + " ")
}
func (f *flushed) Flush() { f.text.WriteString("| ") }

// TestLinesOfABatch come one by one, as they were printed, and are shown together.
func TestLinesOfABatch(t *testing.T) {
	both := []*api.LogLine{{Service: "web", ContainerId: "1"}, {Service: "db", ContainerId: "2"}}
	engine := &batching{batches: []*api.LogBatch{
		{Containers: both, Text: []byte("abcd"), Lengths: []uint32{1, 2, 0, 1}, Kinds: []uint32{0, 7, 0, 4}, TimesUnixNs: []int64{1, 2, 3, 4}},
		{Containers: both[1:], Text: []byte("e"), Lengths: []uint32{1}, Kinds: []uint32{2}, TimesUnixNs: []int64{5}},
	}}
	client, err := api.Dial(t.Context(), serve(t, engine))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	var got flushed
	if err := PrintLines(t.Context(), client, &api.LogsRequest{Tail: -1}, &got); err != nil {
		t.Fatal(err)
	}
	if want := "web:a db!:bc+ web: db:d | db!:e | "; got.text.String() != want {
		t.Errorf("got  %s\nwant %s", got.text.String(), want)
	}
	engine.batches[0].Lengths[3] = 100
	if err := PrintLines(t.Context(), client, &api.LogsRequest{Tail: -1}, &got); err == nil {
		t.Error("a batch whose parts do not fit is taken")
	}
}
