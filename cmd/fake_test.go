package cmd_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
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
	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
)

// fakeEngine answers as a test has laid down, and remembers what it was asked.
type fakeEngine struct {
	api.UnimplementedEngineServer
	version      string
	observed     planner.Observed
	plan         *planner.Plan
	notice       string // before the plan
	events       []planner.Event
	verdict      *api.Verdict
	verdictAfter chan struct{} // what comes before the verdict; nil: nothing
	projects     []*api.ProjectInfo
	lines        []*api.LogLine
	files        []*api.FilePart
	readError    error // of ReadFiles, after the files
	exitCode     int32
	stopped      bool // what Create makes is stopped by another command
	stats        []*api.StatsReply
	changes      chan *api.ContainerChange // of Watch, after the first snapshot
	hold         chan struct{}             // Apply waits for it, or for its caller to leave
	downError    error
	stopError    error               // of the next Lifecycle
	stopVerdict  *api.Verdict        // of each Lifecycle; nil: that of what is applied
	stopEvents   []planner.Event     // before it
	createNotice string              // what the making of a container waits for
	makeError    error               // of Create
	dies         []planner.Container // Attach dies once, and leaves these
	holds        []string            // how each Hold ends, one after the other
	reached      chan string         // is told the name of each call that streams

	mu        sync.Mutex // guards what follows
	apply     *api.ApplyRequest
	down      *api.DownRequest
	shutdown  *api.ShutdownRequest
	stop      func() // of the server, at a shutdown
	volumes   []*api.VolumeInfo
	networks  []*api.NetworkInfo
	images    []*api.ImageInfo
	removed   []string // volumes, networks and images
	collect   []*api.CollectRequest
	collected *api.CollectReply
	lifecycle []*api.LifecycleRequest
	logs      []*api.LogsRequest
	create    *api.CreateRequest
	measure   *api.StatsRequest
	start     *api.ProcessStart
	released  bool // the hold, with a word
	stdin     bytes.Buffer
	loaded    bytes.Buffer
	refuses   error // of LoadImages
}

func (f *fakeEngine) note(call string) {
	if f.reached != nil {
		f.reached <- call
	}
}

func (f *fakeEngine) Status(context.Context, *api.StatusRequest) (*api.StatusReply, error) {
	return &api.StatusReply{
		Version: f.version, Protocol: api.Protocol, Pid: 42, KeeperPid: 41, KeeperVersion: "v1", StartedUnixMs: then.Add(-time.Hour * 3).UnixMilli(),
		KeeperStartedUnixMs: then.Add(-72 * time.Hour).UnixMilli(), MemoryBytes: 61_400_000, KeeperMemoryBytes: 9_800_000,
		ShimMemoryBytes: 24_000_000, Containers: 3, Activities: []string{"building api for shop"}, Root: "/r", State: "/s",
		Components: map[string]string{"runc": "1.5.2", "containerd": "v2.3.7"},
	}, nil
}

func (f *fakeEngine) Shutdown(_ context.Context, r *api.ShutdownRequest) (*api.ShutdownReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.shutdown = r
	if f.stop != nil {
		go f.stop()
	}
	return &api.ShutdownReply{}, nil
}

func (f *fakeEngine) Volumes(context.Context, *api.VolumesRequest) (*api.VolumesReply, error) {
	return &api.VolumesReply{Volumes: f.volumes}, nil
}

func (f *fakeEngine) CreateVolume(_ context.Context, r *api.VolumeInfo) (*api.VolumeInfo, error) {
	f.volumes = append(f.volumes, r)
	return r, nil
}

func (f *fakeEngine) RemoveVolume(_ context.Context, r *api.RemoveVolumeRequest) (*api.RemoveVolumeReply, error) {
	f.removed = append(f.removed, r.Name)
	return &api.RemoveVolumeReply{Absent: !slices.ContainsFunc(f.volumes, func(v *api.VolumeInfo) bool { return v.Name == r.Name })}, nil
}

func (f *fakeEngine) Networks(context.Context, *api.NetworksRequest) (*api.NetworksReply, error) {
	return &api.NetworksReply{Networks: f.networks}, nil
}

func (f *fakeEngine) CreateNetwork(_ context.Context, r *api.NetworkInfo) (*api.NetworkInfo, error) {
	f.networks = append(f.networks, r)
	return r, nil
}

func (f *fakeEngine) RemoveNetwork(_ context.Context, r *api.RemoveNetworkRequest) (*api.RemoveNetworkReply, error) {
	f.removed = append(f.removed, r.Name)
	return &api.RemoveNetworkReply{Absent: !slices.ContainsFunc(f.networks, func(n *api.NetworkInfo) bool { return n.Name == r.Name })}, nil
}

func (f *fakeEngine) Images(context.Context, *api.ImagesRequest) (*api.ImagesReply, error) {
	return &api.ImagesReply{Images: f.images}, nil
}

func (f *fakeEngine) RemoveImage(_ context.Context, r *api.RemoveImageRequest) (*api.RemoveImageReply, error) {
	if r.Name == "nosuch" && r.Force {
		return &api.RemoveImageReply{Absent: true}, nil
	}
	if r.Name == "used" && !r.Force {
		return nil, errors.New("web/1 uses it")
	}
	f.removed = append(f.removed, r.Name)
	if r.Name == "stuck" {
		return &api.RemoveImageReply{Untagged: []string{"docker.io/library/stuck:1"}, Unfinished: "cannot remove stuck:2"}, nil
	}
	return &api.RemoveImageReply{Untagged: []string{"docker.io/library/" + r.Name + ":latest"}, Deleted: "sha256:" + r.Name}, nil
}

func (f *fakeEngine) TagImage(_ context.Context, r *api.TagRequest) (*api.TagReply, error) {
	f.images = append(f.images, &api.ImageInfo{Name: r.Target, Id: r.Source})
	return &api.TagReply{}, nil
}

func (f *fakeEngine) Collect(_ context.Context, r *api.CollectRequest) (*api.CollectReply, error) {
	f.collect = append(f.collect, r)
	return f.collected, nil
}

func (f *fakeEngine) Plan(_ context.Context, r *api.ApplyRequest) (*api.PlanReply, error) {
	f.mu.Lock()
	f.apply = r
	plan := f.plan
	f.mu.Unlock()
	f.note("plan")
	return &api.PlanReply{Plan: api.NewPlan(cmp.Or(plan, &planner.Plan{}))}, nil
}

func (f *fakeEngine) Apply(r *api.ApplyRequest, s grpc.ServerStreamingServer[api.Progress]) error {
	f.mu.Lock()
	f.apply = r
	f.mu.Unlock()
	f.note("apply")
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
	return f.progress(s)
}

func (f *fakeEngine) progress(s grpc.ServerStreamingServer[api.Progress]) error {
	f.mu.Lock()
	plan, events, verdict := f.plan, f.events, f.verdict
	f.mu.Unlock()
	if f.notice != "" {
		if err := s.Send(&api.Progress{Of: &api.Progress_Notice{Notice: f.notice}}); err != nil {
			return err
		}
	}
	if plan != nil {
		if err := s.Send(&api.Progress{Of: &api.Progress_Plan{Plan: api.NewPlan(plan)}}); err != nil {
			return err
		}
	}
	for _, e := range events {
		if err := s.Send(&api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(e)}}); err != nil {
			return err
		}
	}
	if f.verdictAfter != nil {
		select {
		case <-f.verdictAfter:
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
	if verdict == nil {
		verdict = &api.Verdict{Ok: true, UpToDate: plan == nil || plan.IsEmpty()}
	}
	return s.Send(&api.Progress{Of: &api.Progress_Verdict{Verdict: verdict}})
}

func (f *fakeEngine) Down(r *api.DownRequest, s grpc.ServerStreamingServer[api.Progress]) error {
	f.mu.Lock()
	f.down = r
	f.observed.Containers = nil
	f.mu.Unlock()
	f.note("down")
	if f.downError != nil {
		return f.downError
	}
	f.mu.Lock()
	if f.verdict != nil { // of what came before
		f.verdict, f.events = nil, nil
	}
	f.mu.Unlock()
	return f.progress(s)
}

func (f *fakeEngine) Hold(s grpc.BidiStreamingServer[api.HoldInput, api.HoldReply]) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	f.mu.Lock()
	end := ""
	if len(f.holds) > 0 {
		end, f.holds = f.holds[0], f.holds[1:]
	}
	f.mu.Unlock()
	died := status.Error(codes.Unavailable, "the engine died")
	switch end {
	case "refused":
		return errors.New("another command holds it")
	case "dies before its answer":
		return died
	}
	if err := s.Send(&api.HoldReply{}); err != nil || end == "dies" {
		return died
	}
	m, err := s.Recv()
	if end == "dies at the release" {
		return died
	}
	f.mu.Lock()
	f.released = err == nil && m.Release
	f.mu.Unlock()
	f.note("hold ended")
	return nil
}

func (f *fakeEngine) Lifecycle(r *api.LifecycleRequest, s grpc.ServerStreamingServer[api.Progress]) error {
	f.mu.Lock()
	f.lifecycle = append(f.lifecycle, r)
	err := f.stopError
	f.stopError = nil
	f.mu.Unlock()
	f.note(r.Action)
	if err != nil {
		return err
	}
	for _, service := range r.Services {
		done := planner.Event{Action: planner.Action(r.Action), Service: service, Resource: service + "/1", Kind: planner.Done}
		if err := s.Send(&api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(done)}}); err != nil {
			return err
		}
	}
	if f.stopVerdict != nil {
		for _, e := range f.stopEvents {
			if err := s.Send(&api.Progress{Of: &api.Progress_Event{Event: api.NewEvent(e)}}); err != nil {
				return err
			}
		}
		return s.Send(&api.Progress{Of: &api.Progress_Verdict{Verdict: f.stopVerdict}})
	}
	return f.progress(s)
}

func (f *fakeEngine) Sync(s grpc.ClientStreamingServer[api.SyncInput, api.SyncReply]) error {
	files := 0
	for {
		m, err := s.Recv()
		if err != nil {
			return s.SendAndClose(&api.SyncReply{Files: int32(files)})
		}
		files += len(m.Entries)
	}
}

func (f *fakeEngine) Observe(context.Context, *api.ObserveRequest) (*api.ObserveReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return &api.ObserveReply{Observed: must(json.Marshal(f.observed))}, nil
}

func (f *fakeEngine) Projects(context.Context, *api.ProjectsRequest) (*api.ProjectsReply, error) {
	return &api.ProjectsReply{Projects: f.projects}, nil
}

func (f *fakeEngine) Watch(_ *api.ObserveRequest, s grpc.ServerStreamingServer[api.ContainerChange]) error {
	f.mu.Lock()
	containers := f.observed.Containers
	f.mu.Unlock()
	for _, c := range containers {
		if err := s.Send(&api.ContainerChange{Container: must(api.NewContainer(c)), Initial: true}); err != nil {
			return err
		}
	}
	if err := s.Send(&api.ContainerChange{Synced: true}); err != nil {
		return err
	}
	f.note("watch")
	for {
		select {
		case c := <-f.changes:
			if err := s.Send(c); err != nil {
				return err
			}
		case <-s.Context().Done():
			return s.Context().Err()
		}
	}
}

func (f *fakeEngine) Stats(r *api.StatsRequest, s grpc.ServerStreamingServer[api.StatsReply]) error {
	f.mu.Lock()
	f.measure = r
	f.mu.Unlock()
	for _, m := range f.stats {
		if err := s.Send(m); err != nil {
			return err
		}
	}
	<-s.Context().Done()
	return s.Context().Err()
}

func (f *fakeEngine) Logs(r *api.LogsRequest, s grpc.ServerStreamingServer[api.LogLine]) error {
	f.mu.Lock()
	f.logs = append(f.logs, r)
	f.mu.Unlock()
	for _, l := range f.lines {
		if err := s.Send(l); err != nil {
			return err
		}
	}
	if r.Follow {
		<-s.Context().Done()
	}
	return nil
}

func (f *fakeEngine) ReadFiles(_ *api.ReadFilesRequest, s grpc.ServerStreamingServer[api.FilePart]) error {
	for _, part := range f.files {
		if err := s.Send(part); err != nil {
			return err
		}
	}
	return f.readError
}

func (f *fakeEngine) Create(r *api.CreateRequest, s grpc.ServerStreamingServer[api.CreateReply]) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.makeError != nil {
		return f.makeError
	}
	f.create = r
	f.observed.Containers = append(f.observed.Containers, planner.Container{ID: "c1", Service: r.Service, OneOff: true, State: planner.Exited, ExitCode: int(f.exitCode), Stopped: f.stopped})
	if f.createNotice != "" {
		if err := s.Send(&api.CreateReply{Notice: f.createNotice}); err != nil {
			return err
		}
	}
	return s.Send(&api.CreateReply{Id: "c1", Name: "shop-web-run-1"})
}

func (f *fakeEngine) Exec(s grpc.BidiStreamingServer[api.ProcessInput, api.ProcessOutput]) error {
	return f.process(s)
}

func (f *fakeEngine) Attach(s grpc.BidiStreamingServer[api.ProcessInput, api.ProcessOutput]) error {
	f.mu.Lock()
	left := f.dies
	if f.dies = nil; left != nil {
		f.observed.Containers = left
	}
	f.mu.Unlock()
	if left != nil {
		return status.Error(codes.Unavailable, "the engine died")
	}
	return f.process(s)
}

// process is cat: it prints what it reads, a word to stderr, and ends with
// exitCode at the end of its input, or when a signal comes.
func (f *fakeEngine) process(s grpc.BidiStreamingServer[api.ProcessInput, api.ProcessOutput]) error {
	for {
		m, err := s.Recv()
		if err != nil {
			return err
		}
		f.mu.Lock()
		var out *api.ProcessOutput
		end := false
		switch of := m.Of.(type) {
		case *api.ProcessInput_Start:
			f.start = of.Start
			out = &api.ProcessOutput{Of: &api.ProcessOutput_Stderr{Stderr: []byte("started\n")}}
			end = !of.Start.Stdin && f.reached == nil
		case *api.ProcessInput_Stdin:
			f.stdin.Write(of.Stdin)
			out = &api.ProcessOutput{Of: &api.ProcessOutput_Stdout{Stdout: of.Stdin}}
		case *api.ProcessInput_CloseStdin:
			end = f.reached == nil
		case *api.ProcessInput_Signal:
			f.stdin.WriteString(of.Signal)
			end = true
		}
		f.mu.Unlock()
		if out != nil {
			if err := s.Send(out); err != nil {
				return err
			}
		}
		if _, started := m.Of.(*api.ProcessInput_Start); started {
			f.note("process")
		}
		if end {
			return s.Send(&api.ProcessOutput{Of: &api.ProcessOutput_ExitCode{ExitCode: f.exitCode}})
		}
	}
}

func (f *fakeEngine) LoadImages(s grpc.BidiStreamingServer[api.Chunk, api.LoadReply]) error {
	for f.refuses == nil {
		m, err := s.Recv()
		if err != nil {
			_ = s.Send(&api.LoadReply{ReadBytes: int64(f.loaded.Len()), Doing: "unpacking layer 1 of 2"})
			return s.Send(&api.LoadReply{Images: []string{"docker.io/library/busybox:latest"}})
		}
		f.loaded.Write(m.Data)
	}
	return f.refuses
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// then is the present of all tests.
var then = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// desk is where a test runs the command: a directory with a stack file, and a
// fake engine.
type desk struct {
	t       *testing.T
	engine  *fakeEngine
	dir     string
	state   string
	stdin   string
	in      io.Reader // in place of stdin
	env     []string
	signals chan os.Signal
	root    bool
	started []string // engines that the command has started

	registry fakeRegistry
	images   fakeImages
	policy   fakePolicy
}

const shop = `name: shop
services:
  db:
    image: postgres
  web:
    image: nginx
    command: ["nginx", "-g", "daemon off;"]
    environment: {LOG: info}
    ports: ["8080:80"]
    depends_on: [db]
`

func newDesk(t *testing.T, stackFile string) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir(), state: t.TempDir(), signals: make(chan os.Signal, 4)}
	d.engine = &fakeEngine{version: "v1", changes: make(chan *api.ContainerChange)}
	if stackFile != "" {
		if err := os.WriteFile(filepath.Join(d.dir, "stack.yaml"), []byte(stackFile), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// fakePolicy notes what it is asked about, and refuses all where it has a reason.
type fakePolicy struct {
	api.UnimplementedSignaturesServer
	asked []*api.AdmitRequest
	why   string
}

func (f *fakePolicy) Admit(_ context.Context, r *api.AdmitRequest) (*api.AdmitReply, error) {
	f.asked = append(f.asked, r)
	if f.why != "" {
		return nil, errors.New(f.why)
	}
	return &api.AdmitReply{}, nil
}

// serve puts the fake engine on its socket.
func (d *desk) serve() *desk {
	d.t.Helper()
	l, err := net.Listen("unix", filepath.Join(d.state, "orlop.sock"))
	if err != nil {
		d.t.Fatal(err)
	}
	server := grpc.NewServer()
	api.RegisterEngineServer(server, d.engine)
	api.RegisterRegistryServer(server, &d.registry)
	api.RegisterImagesServer(server, &d.images)
	api.RegisterSignaturesServer(server, &d.policy)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l)
	}()
	d.engine.stop = server.GracefulStop
	d.t.Cleanup(func() { server.Stop(); <-done })
	return d
}

// run carries a command line out, words separated by spaces.
func (d *desk) run(line string) (stdout, stderr string, code int) {
	return d.runArgs(strings.Fields(line)...)
}

func (d *desk) runArgs(args ...string) (stdout, stderr string, code int) {
	d.t.Helper()
	var out, errs bytes.Buffer
	code = d.runTo(&out, &errs, args)
	return out.String(), errs.String(), code
}

// into has a command write its results elsewhere.
func (d *desk) into(out io.Writer, line string) (code int) {
	return d.runTo(out, io.Discard, strings.Fields(line))
}

func (d *desk) runTo(out, errs io.Writer, args []string) (code int) {
	return cmd.Run(context.Background(), args, cli.World{
		Version: "v1", Dir: d.dir, Environ: append([]string{"ORLOP_STATE=" + d.state, "ORLOP_ROOT=" + d.dir}, d.env...),
		Stdin: cmp.Or[io.Reader](d.in, strings.NewReader(d.stdin)), Stdout: out, Stderr: errs, Signals: d.signals, Root: d.root,
		Now: func() time.Time { return then },
		StartEngine: func(_ context.Context, root, state string) error {
			d.started = append(d.started, root+" "+state)
			d.serve()
			return nil
		},
	})
}

func equal(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s is\n%s\nwant\n%s", what, got, want)
	}
}

// applied reads the planner's options of the last Apply or Plan.
func (d *desk) applied() (o planner.Options) {
	d.t.Helper()
	if d.engine.apply == nil {
		d.t.Fatal("the engine was asked to apply nothing")
	}
	if err := json.Unmarshal(d.engine.apply.Options, &o); err != nil {
		d.t.Fatal(err)
	}
	return o
}
