package shim

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/tasks/v1"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/cio"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// noTasks is a containerd that knows no task.
type noTasks struct {
	tasks.TasksClient
	asked func(ctx context.Context) // may be nil
}

func (n noTasks) Delete(ctx context.Context, _ *tasks.DeleteTaskRequest, _ ...grpc.CallOption) (*tasks.DeleteResponse, error) {
	if n.asked != nil {
		n.asked(ctx)
	}
	return nil, status.Error(codes.NotFound, "no task")
}

// foreign is a container for a shim of its own, which makes its process as make does.
type foreign struct {
	containerd.Container
	id   string
	make func(ctx context.Context) error
}

func (f *foreign) ID() string { return f.id }

func (f *foreign) Info(context.Context, ...containerd.InfoOpts) (containers.Container, error) {
	return containers.Container{ID: f.id}, nil
}

func (f *foreign) NewTask(ctx context.Context, _ cio.Creator, _ ...containerd.NewTaskOpts) (containerd.Task, error) {
	return nil, f.make(ctx)
}

// shimOf is a process that is started as the shim of a container is.
func shimOf(t *testing.T, id string) (ended chan struct{}) {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read line", "containerd-shim-kata-v2", "-namespace", "orlop", "-id", id)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended = make(chan struct{})
	go func() { _ = cmd.Wait(); close(ended) }()
	t.Cleanup(func() { in.Close(); _ = cmd.Process.Kill(); <-ended })
	return ended
}

func clientOf(t *testing.T, n noTasks) *containerd.Client {
	t.Helper()
	client, err := containerd.New("", containerd.WithServices(containerd.WithTaskClient(n)))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// poolWithoutTasks is a pool whose containerd knows no task.
func poolWithoutTasks(t *testing.T) (*Pool, context.Context) {
	t.Helper()
	p, ctx := poolOf(t, "exit 0")
	p.Client, p.Bundles, p.Runc = clientOf(t, noTasks{}), filepath.Join(p.Dir, "..", "bundles"), "true"
	p.Cgroup = func(string) string { return "/nosuch" }
	p.Log = slog.New(slog.DiscardHandler)
	return p, ctx
}

// TestAForeignShimThatMakesNoProcessIsKilled: it would hold the container for ever.
func TestAForeignShimThatMakesNoProcessIsKilled(t *testing.T) {
	p, ctx := poolWithoutTasks(t)
	p.patience = 50 * time.Millisecond
	id, other := strings.Repeat("ab", 32), strings.Repeat("cd", 32)
	ended, spared := shimOf(t, id), shimOf(t, other)
	made := make(chan error, 1)
	go func() {
		_, _, err := p.NewTask(ctx, "shop", "kata", &foreign{id: id, make: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}}, nil)
		made <- err
	}()
	select {
	case err := <-made:
		if err == nil || !strings.Contains(err.Error(), "did not make its process within 150ms and was killed") {
			t.Errorf("it failed with %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("it is waited for still")
	}
	<-ended
	select {
	case <-spared:
		t.Error("that of another container was killed, too")
	default:
	}
	failed := errors.New("no kernel")
	if _, _, err := p.NewTask(ctx, "shop", "kata", &foreign{id: id, make: func(context.Context) error { return failed }}, nil); !errors.Is(err, failed) {
		t.Errorf("one that fails at once: %v", err)
	}
}

// TestAForeignShimThatHangsIsKilled: the engine knows again where it answers.
func TestAForeignShimThatHangsIsKilled(t *testing.T) {
	p, ctx := poolWithoutTasks(t)
	id := strings.Repeat("ef", 32)
	ended := shimOf(t, id)
	path := filepath.Join(short(t), "mute")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	put(t, filepath.Join(p.Bundles, id, "bootstrap.json"), `{"address": "unix://`+path+`"}`)
	put(t, filepath.Join(p.Bundles, id, "shim-binary-path"), "/opt/kata/bin/containerd-shim-kata-v2")
	s := p.Join(id)
	if s == nil {
		t.Fatal("it is not known")
	}
	if !p.KillHung(ctx, s) {
		t.Error("it does not count as hung")
	}
	<-ended
	p.Release(ctx, s, id, nil) // it was never one of the pool's
}
