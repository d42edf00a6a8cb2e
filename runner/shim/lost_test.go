package shim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// short is a directory whose sockets have short paths.
func short(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "s")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// told is a shim that knows how its processes are.
type told struct {
	taskapi.TTRPCTaskService
	state tasktypes.Status
	ends  chan struct{}
}

var exitedAt = time.Unix(1_700_000_000, 0).UTC()

func (f *told) State(context.Context, *taskapi.StateRequest) (*taskapi.StateResponse, error) {
	if f.state == tasktypes.Status_UNKNOWN {
		return nil, errdefs.ErrNotFound
	}
	return &taskapi.StateResponse{Status: f.state, ExitStatus: 3, ExitedAt: timestamppb.New(exitedAt)}, nil
}

func (f *told) Wait(ctx context.Context, _ *taskapi.WaitRequest) (*taskapi.WaitResponse, error) {
	select {
	case <-f.ends:
		return &taskapi.WaitResponse{ExitStatus: 7, ExitedAt: timestamppb.New(exitedAt)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bundle is containerd's directory of a task whose shim is as told.
func bundle(t *testing.T, dir, id string, f *told) {
	t.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	taskapi.RegisterTTRPCTaskService(server, f)
	path := filepath.Join(dir, id+".sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(t.Context(), l) }()
	t.Cleanup(func() { server.Close(); <-served })
	put(t, filepath.Join(dir, "bundles", id, "bootstrap.json"), fmt.Sprintf(`{"address": "unix://%s"}`, path))
}

// What a shim knows of a process that has ended, or ends, while there is no
// engine is not lost.
func TestExitsThatNoEngineHasSeen(t *testing.T) {
	dir := short(t)
	ending := &told{state: tasktypes.Status_RUNNING, ends: make(chan struct{})}
	bundle(t, dir, "ended", &told{state: tasktypes.Status_STOPPED})
	bundle(t, dir, "ending", ending)
	bundle(t, dir, "running", &told{state: tasktypes.Status_RUNNING, ends: make(chan struct{})})
	bundle(t, dir, "forgotten", &told{})
	put(t, filepath.Join(dir, "bundles", "dead", "bootstrap.json"), `{"address": "unix:///nosuch"}`)
	put(t, filepath.Join(dir, "bundles", "odd", "bootstrap.json"), `{`)
	put(t, filepath.Join(dir, "bundles", "bare", "config.json"), `{}`)
	exits := AwaitExits(t.Context(), filepath.Join(dir, "bundles"))
	if len(exits) != 3 {
		t.Fatalf("known are %v", exits)
	}
	close(ending.ends)
	for id, want := range map[string]int{"ended": 3, "ending": 7} {
		if code, at, known := exits[id].Result(); !known || code != want || !at.Equal(exitedAt) {
			t.Errorf("%s: code %d at %s, known %t", id, code, at, known)
		}
	}
	if _, _, known := exits["running"].Result(); known {
		t.Error("one that runs has ended")
	}
	if _, _, known := exits["dead"].Result(); known {
		t.Error("one that nobody knows of has ended")
	}
	for _, e := range exits {
		e.Close()
	}
}

func TestAShimThatIsGone(t *testing.T) {
	for err, want := range map[error]bool{
		syscall.ECONNREFUSED:                                           true,
		fmt.Errorf("asked: %w", ttrpc.ErrClosed):                       true,
		errdefs.ErrUnavailable:                                         true,
		errors.New("rpc error: ttrpc: closed: unknown"):                true,
		errors.New("read unix: connection reset by peer"):              true,
		errors.New("dial unix /x: connect: no such file or directory"): true,
		errors.New(`exec: "x": no such file or directory`):             false,
		errdefs.ErrNotFound:                                            false,
	} {
		if IsGone(err) != want {
			t.Errorf("%v: %t", err, !want)
		}
	}
}

// TestAShimGoesOnForATaskThatCouldNotBeDeleted: until somebody has deleted that. Asked
// before, it would say yes, go on, and be forgotten.
func TestAShimGoesOnForATaskThatCouldNotBeDeleted(t *testing.T) {
	p, ctx := poolOf(t, "exit 1")
	dir := filepath.Join(p.Dir, "shop-1")
	address := "unix://" + filepath.Join(p.Dir, "..", "sock")
	put(t, filepath.Join(dir, "shim.json"), fmt.Sprintf(`{"project": "shop", "program": "orlop-shim", "address": %q}`, address))
	f := serveShim(t, address)
	p.find()
	first, err := p.acquire(ctx, shop)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.acquire(ctx, shop); err != nil {
		t.Fatal(err)
	}
	p.EndUnused(ctx)
	p.Release(ctx, first, "full", syscall.ENOSPC)
	p.Release(ctx, first, "other", nil)
	select {
	case id := <-f.asked:
		t.Fatalf("%s is asked to end while it has a task", id)
	default:
	}
	p.Deleted(ctx, "other")
	p.Deleted(ctx, "full")
	if id := <-f.asked; id != "shop-1" {
		t.Errorf("%s is ended", id)
	}
	if len(p.undeleted) > 0 {
		t.Errorf("still undeleted are %v", p.undeleted)
	}
}

// A shim that says nothing of its program is of a version that had containerd's alone: it goes on with what
// it has, and takes containers that runc makes.
func TestAShimOfAnEarlierVersion(t *testing.T) {
	p, _ := poolOf(t, "exit 1")
	put(t, filepath.Join(p.Dir, "shop-1", "shim.json"), `{"project": "shop", "address": "unix:///nosuch"}`)
	p.find()
	if p.used[shop] != nil || p.used[use{"shop", callingShim}] == nil {
		t.Errorf("the shims of the project are %v", p.used)
	}
}

// A shim ends with the last task that it is lent to, and one that has died is
// not used again.
func TestAShimIsCounted(t *testing.T) {
	p, ctx := poolOf(t, "exit 1")
	dir := filepath.Join(p.Dir, "shop-1")
	address := "unix://" + filepath.Join(p.Dir, "..", "sock")
	put(t, filepath.Join(dir, "shim.json"), fmt.Sprintf(`{"project": "shop", "program": "orlop-shim", "address": %q}`, address))
	put(t, filepath.Join(p.Dir, "odd", "config.json"), "{}")
	p.Bundles = filepath.Join(p.Dir, "..", "bundles")
	put(t, filepath.Join(p.Bundles, "c1", "bootstrap.json"), fmt.Sprintf(`{"address": %q}`, address))
	put(t, filepath.Join(p.Bundles, "c2", "bootstrap.json"), `{"address": "unix:///another"}`)
	f := serveShim(t, address)
	p.find()
	if _, err := os.Stat(filepath.Join(p.Dir, "odd")); err == nil {
		t.Error("a directory without a word of its shim is kept")
	}
	mine := p.Join("c1")
	if mine == nil || p.Join("c2") != nil || p.Join("c3") != nil {
		t.Fatalf("joined is %+v", mine)
	}
	another, err := p.acquire(ctx, shop)
	if err != nil || another != mine {
		t.Fatalf("the project has another shim: %+v, %v", another, err)
	}
	p.EndUnused(ctx)
	p.Release(ctx, mine, "c", nil)
	select {
	case id := <-f.asked:
		t.Fatalf("%s is ended under a task", id)
	default:
	}
	p.Release(ctx, another, "c", nil)
	if id := <-f.asked; id != "shop-1" {
		t.Errorf("%s is ended", id)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}

func TestAShimThatHasDiedIsNotUsedAgain(t *testing.T) {
	p, ctx := poolOf(t, "exit 1")
	put(t, filepath.Join(p.Dir, "shop-1", "shim.json"), `{"project": "shop", "program": "orlop-shim", "address": "unix:///nosuch"}`)
	p.find()
	s := p.used[shop][0]
	p.Release(ctx, s, "c", syscall.ECONNREFUSED)
	if p.used[shop] != nil {
		t.Error("it is still the project's")
	}
	if _, err := p.acquire(ctx, shop); err == nil || !strings.Contains(err.Error(), "cannot start the parent process of shop's containers") {
		t.Errorf("got %v", err)
	}
}

// What containerd could not remove whole, and will never look at again, goes; nothing else does.
func TestHalvesOfBundlesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	id := strings.Repeat("0123456789abcdef", 4)
	p := newPool(Config{Bundles: dir, Log: slog.New(slog.DiscardHandler)})
	for _, name := range []string{"." + id, id, ".other"} {
		put(t, filepath.Join(dir, name, "work"), "")
	}
	p.removeHalves()
	for name, want := range map[string]bool{"." + id: false, id: true, ".other": true} {
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Containerd reaches the tasks of an earlier version by the program of this one.
func TestContainerdIsToldTheProgram(t *testing.T) {
	dir := t.TempDir()
	put(t, filepath.Join(dir, "c1", "bootstrap.json"), "{}")
	put(t, filepath.Join(dir, "c1", "shim-binary-path"), "/old/containerd-shim-runc-v2")
	put(t, filepath.Join(dir, "c2", "bootstrap.json"), "{}")
	put(t, filepath.Join(dir, "c3", "config.json"), "{}")
	put(t, filepath.Join(dir, "c4", "bootstrap.json"), "{}")
	put(t, filepath.Join(dir, "c5", "bootstrap.json"), "{}")
	put(t, filepath.Join(dir, "c5", "shim-binary-path"), "/old/orlop-shim")
	put(t, filepath.Join(dir, "c4", "shim-binary-path"), "/opt/containerd-shim-kata-v2")
	for range 2 {
		if err := NoteProgram(dir, "/new/orlop-shim", "/new/containerd-shim-runc-v2"); err != nil {
			t.Fatal(err)
		}
	}
	for id, want := range map[string]string{"c1": "/new/containerd-shim-runc-v2", "c2": "/new/containerd-shim-runc-v2", "c3": "", "c4": "/opt/containerd-shim-kata-v2", "c5": "/new/orlop-shim"} {
		if got, _ := os.ReadFile(filepath.Join(dir, id, "shim-binary-path")); string(got) != want {
			t.Errorf("%s has %q", id, got)
		}
	}
}

func TestTidyRemovesWhatNobodyUses(t *testing.T) {
	dir := short(t)
	p := newPool(Config{Dir: filepath.Join(dir, "shims"), Sockets: filepath.Join(dir, "s"), State: filepath.Join(dir, "runc"), Log: slog.New(slog.DiscardHandler)})
	put(t, filepath.Join(dir, "runc", "busy", "c1", "state.json"), "{}")
	for _, d := range []string{p.Sockets, filepath.Join(p.State, "idle")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	used, err := net.Listen("unix", filepath.Join(p.Sockets, "used"))
	if err != nil {
		t.Fatal(err)
	}
	defer used.Close()
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(p.Sockets, "dead"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	if !p.IsKnownToRunc("c1") || p.IsKnownToRunc("c2") {
		t.Error("what runc knows is not what it has")
	}
	p.Tidy()
	for path, want := range map[string]bool{"s/used": true, "s/dead": false, "runc/busy/c1/state.json": true, "runc/idle": false} {
		if _, err := os.Lstat(filepath.Join(dir, path)); (err == nil) != want {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A pool without directories of its own would take those of others for its own.
func TestAPoolNeedsItsOwnDirectories(t *testing.T) {
	for _, cfg := range []Config{{}, {Dir: "/x", Sockets: "/y"}, {Dir: "/x", State: "/z"}, {Sockets: "/y", State: "/z"}} {
		if _, err := Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "internal error") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

func TestWhatRuncSaysOfMountsAndMemory(t *testing.T) {
	const create = "OCI runtime create failed: runc create failed: unable to start container process: "
	e := Explain(errors.New(create + `error during container init: error mounting "/a" to rootfs at "/b": mount /a: permission denied`))
	if source, target, said, ok := e.Mount(); !ok || source != "/a" || target != "/b" || said != "mount /a: permission denied" || e.Memory() != "" {
		t.Errorf("got %q, %q, %q, %t", source, target, said, ok)
	}
	e = Explain(errors.New(create + "container init was OOM-killed (memory limit too low?)"))
	if _, _, _, ok := e.Mount(); ok || !strings.HasPrefix(e.Memory(), "it is too little") {
		t.Errorf("got %q", e.Memory())
	}
}

// TestWhatDoesNotEndKeepsItsDirectory: it would go on with its root taken away. All else
// is removed nevertheless, each within a time of its own.
func TestWhatDoesNotEndKeepsItsDirectory(t *testing.T) {
	p, ctx := poolWithoutTasks(t)
	p.Runc = filepath.Join(p.Dir, "..", "runc.sh")
	note := filepath.Join(p.Dir, "..", "asked")
	put(t, p.Runc, "#!/bin/sh\necho \"$3 $5\" > "+note+"\n")
	if err := os.Chmod(p.Runc, 0o700); err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(p.Bundles, "c")
	put(t, filepath.Join(bundle, "config.json"), "{}")
	p.killAll = func(ctx context.Context, _ string) error {
		p.Client = clientOf(t, noTasks{asked: func(own context.Context) {
			if ctx.Err() == nil || own.Err() != nil {
				t.Error("two parts share a deadline")
			}
		}})
		return context.DeadlineExceeded
	}
	p.DeleteLost(ctx, "c")
	if _, err := os.Stat(bundle); err != nil {
		t.Errorf("the directory of what runs on: %v", err)
	}
	if said, _ := os.ReadFile(note); string(said) != "delete c\n" {
		t.Errorf("the runtime was asked: %q", said)
	}
	p.killAll = func(context.Context, string) error { return nil }
	p.DeleteLost(ctx, "c")
	if _, err := os.Stat(bundle); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory of what has ended: %v", err)
	}
}
