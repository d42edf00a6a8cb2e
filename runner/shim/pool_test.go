package shim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

// shop is what the shims of the tests are for.
var shop = use{"shop", ownShim}

// fakeShim is the task service of a shim that has no tasks.
type fakeShim struct {
	taskapi.TTRPCTaskService
	server *ttrpc.Server
	asked  chan string
}

func (f *fakeShim) Shutdown(_ context.Context, req *taskapi.ShutdownRequest) (*emptypb.Empty, error) {
	f.asked <- req.ID
	go f.server.Close()
	return &emptypb.Empty{}, nil
}

func (f *fakeShim) Connect(context.Context, *taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	return nil, errdefs.ErrNotFound
}

// serveShim lets a shim answer at an address until it is shut down.
func serveShim(t *testing.T, address string) *fakeShim {
	t.Helper()
	server, err := ttrpc.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	f := &fakeShim{server: server, asked: make(chan string, 1)}
	taskapi.RegisterTTRPCTaskService(server, f)
	l, err := net.Listen("unix", strings.TrimPrefix(address, "unix://"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(t.Context(), l) }()
	t.Cleanup(func() { server.Close(); <-served })
	return f
}

// poolOf is a pool that has no containerd; program is what it starts as a shim.
func poolOf(t *testing.T, program string) (*Pool, context.Context) {
	t.Helper()
	dir, err := os.MkdirTemp("", "s") // the path of a socket must be short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "shim")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+program), 0o700); err != nil {
		t.Fatal(err)
	}
	p := newPool(Config{
		Dir: filepath.Join(dir, "shims"), Sockets: filepath.Join(dir, "s"), State: filepath.Join(dir, "runc"), Address: "/run/x.sock",
		Program: path, Log: slog.New(slog.DiscardHandler),
	})
	if err := os.Mkdir(filepath.Join(dir, "s"), 0o700); err != nil {
		t.Fatal(err)
	}
	return p, namespaces.WithNamespace(context.Background(), "orlop")
}

// An engine may be killed between the start of a shim and the moment when it
// is told of its address. What it noted before must be enough for the next
// engine to end the shim.
func TestAShimThatNobodyHeardOf(t *testing.T) {
	p, ctx := poolOf(t, "cp -r . ../../kept; exit 1")
	if _, err := p.acquire(ctx, shop); err == nil {
		t.Fatal("a shim that can't be started is used")
	}
	if left, _ := os.ReadDir(p.Dir); len(left) > 0 {
		t.Errorf("of a failed start %s is left", left[0].Name())
	}
	// The directory as it was while the shim was being started.
	dir := filepath.Join(p.Dir, "shop-1")
	if err := os.Rename(filepath.Join(p.Dir, "..", "kept"), dir); err != nil {
		t.Fatal(err)
	}
	next := newPool(p.Config)
	next.find()
	if len(next.used[shop]) != 1 {
		t.Fatal("nothing was noted before the start")
	}
	s := next.used[shop][0]
	f := serveShim(t, s.address)
	next.EndUnused(ctx)
	if got := <-f.asked; got != "shop-1" {
		t.Errorf("%s was ended", got)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its directory: %v", err)
	}
}

func TestAShimThatStartsSlowlyHoldsUpNoOther(t *testing.T) {
	p, ctx := poolOf(t, "case $PWD in */slow-*) read line < ../../fifo;; esac")
	fifo := filepath.Join(p.Dir, "..", "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	var slow [2]*Shim
	var wg sync.WaitGroup
	for i := range slow {
		wg.Go(func() {
			s, err := p.acquire(ctx, use{"slow", ownShim})
			if err != nil {
				t.Error(err)
			}
			slow[i] = s
		})
	}
	if _, err := p.acquire(ctx, use{"fast", ownShim}); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(fifo, []byte("go\n"), 0o600); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if slow[0] != slow[1] {
		t.Error("two tasks of a project are in different shims")
	}
}

// A back-off may end before all containers are adopted. The shim that it starts in
// the place of one that has died is not one of an earlier engine.
func TestAShimThatIsStartedDuringAdoptionStays(t *testing.T) {
	p, ctx := poolOf(t, "exit 0")
	put(t, filepath.Join(p.Dir, "shop-1", "shim.json"), `{"project": "shop", "program": "orlop-shim", "address": "unix:///nosuch"}`)
	p.find()
	p.Release(ctx, p.used[shop][0], "c", syscall.ECONNREFUSED)
	s, err := p.acquire(ctx, shop)
	if err != nil {
		t.Fatal(err)
	}
	p.EndUnused(ctx)
	if s.ended || s.tasks != 1 || !slices.Equal(p.used[shop], []*Shim{s}) {
		t.Errorf("it has %d tasks, is ended: %t", s.tasks, s.ended)
	}
}

// The race detector is the judge.
func TestATaskIsJoinedWhileAShimIsStarted(t *testing.T) {
	p, ctx := poolOf(t, "exit 0")
	p.Bundles = filepath.Join(p.Dir, "..", "tasks")
	put(t, filepath.Join(p.Bundles, "c1", "bootstrap.json"), `{"address": "unix:///another"}`)
	put(t, filepath.Join(p.Dir, "shop-1", "shim.json"), `{"project": "shop", "program": "orlop-shim", "address": "unix:///nosuch"}`)
	p.find()
	p.Release(ctx, p.used[shop][0], "c", syscall.ECONNREFUSED) // another follows it
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if s := p.Join("c1"); s != nil {
				t.Error("a task is in a shim that it was not made in")
			}
		})
		wg.Go(func() {
			if _, err := p.acquire(ctx, shop); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestAShimThatDoesNotStartIsNotWaitedForWithoutAWord(t *testing.T) {
	p, ctx := poolOf(t, "exec sleep 60")
	p.patience = 100 * time.Millisecond
	_, err := p.acquire(ctx, shop)
	if err == nil || !strings.Contains(err.Error(), "did not start within 100ms: the machine is very busy") {
		t.Errorf("got %v", err)
	}
}

// Each has so many and no more; one that is given back has room.
func TestManyContainersHaveSeveralShims(t *testing.T) {
	p, ctx := poolOf(t, "exit 0")
	var all []*Shim
	for range 2*mostTasks + 1 {
		s, err := p.acquire(ctx, shop)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if first, last := all[0], all[len(all)-1]; len(p.used[shop]) != 3 || first.tasks != mostTasks || last.tasks != 1 {
		t.Errorf("%d shims, with %d and %d tasks", len(p.used[shop]), first.tasks, last.tasks)
	}
	p.mu.Lock()
	all[0].tasks-- // it goes on with the others
	p.mu.Unlock()
	if s, err := p.acquire(ctx, shop); err != nil || s != all[0] {
		t.Errorf("one more is in %v, %v", s, err)
	}
	if other, err := p.acquire(ctx, use{"other", ownShim}); err != nil || other == all[0] {
		t.Errorf("another project's is in %v, %v", other, err)
	}
}

// What an earlier engine made in a shim counts before it is adopted.
func TestAFullShimOfAnEarlierEngineTakesNoMore(t *testing.T) {
	p, ctx := poolOf(t, "exit 0")
	p.Bundles = filepath.Join(p.Dir, "..", "tasks")
	put(t, filepath.Join(p.Dir, "shop-1", "shim.json"), `{"project": "shop", "program": "orlop-shim", "address": "unix:///nosuch"}`)
	for i := range mostTasks {
		put(t, filepath.Join(p.Bundles, fmt.Sprint("c", i), "bootstrap.json"), `{"address": "unix:///nosuch"}`)
	}
	p.find()
	full := p.used[shop][0]
	if s, err := p.acquire(ctx, shop); err != nil || s == full {
		t.Errorf("one more is in the full one: %v", err)
	}
	if s := p.Join("c0"); s != full || s.tasks != 2 || s.more != mostTasks-1 {
		t.Errorf("of those that are adopted one is in %v", s)
	}
	p.mu.Lock()
	full.started, full.tasks = make(chan struct{}), full.tasks+1 // in use, whatever is adopted
	p.mu.Unlock()
	p.EndUnused(ctx)
	if full.more != 0 {
		t.Errorf("%d more are waited for", full.more)
	}
}
