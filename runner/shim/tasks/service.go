// Package tasks serves containerd's task API as containerd-shim-runc-v2 does, with its code
// for containers and their processes, in a shim that begins processes itself: how they end is
// told by a reaper that leaves libcontainer's own children to it.
package tasks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/cgroups/v3"
	"github.com/containerd/cgroups/v3/cgroup1"
	"github.com/containerd/cgroups/v3/cgroup2"
	eventsapi "github.com/containerd/containerd/api/events"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/runc/options"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/process"
	"github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2/runc"
	"github.com/containerd/containerd/v2/core/runtime"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/containerd/v2/pkg/shutdown"
	"github.com/containerd/containerd/v2/pkg/stdio"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	gorunc "github.com/containerd/go-runc"
	"github.com/containerd/log"
	"github.com/containerd/ttrpc"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/orlop/orlop/runner/shim/fifos"
	"github.com/orlop/orlop/runner/shim/native/root"
	"github.com/orlop/orlop/runner/shim/reaper"
)

// Service is the task service of a shim.
type Service struct {
	ctx      context.Context
	reaper   *reaper.Reaper
	library  Library
	shutdown shutdown.Service
	platform stdio.Platform
	oom      oomWatcher
	events   chan any

	mu         sync.Mutex
	containers map[string]*held // guarded by mu
}

// Library tells of containers what go-runc has no call for.
type Library interface {
	// HasOwnPIDs says that a container's processes end with its first.
	HasOwnPIDs(r *gorunc.Runc, id string) (bool, error)
}

// held is a container of the shim.
type held struct {
	*runc.Container
	rootfs string     // where its root file system is mounted, "" if nowhere
	pipes  fifos.Held // of its first process, which may end while no engine reads them: until it is deleted

	// Guarded by Service.mu.
	busy  int          // calls that begin a process of it, and processes that have joined it
	ended *reaper.Exit // of its first process, from when it is reaped until it is told
	over  bool         // no process may join it any more
	gone  bool         // it is deleted, but for where its root file system is mounted
}

var _ taskapi.TTRPCTaskService = (*Service)(nil)

// New is a service that tells publisher what happens. ctx carries the namespace.
func New(ctx context.Context, publisher shim.Publisher, end shutdown.Service, r *reaper.Reaper, l Library) (*Service, error) {
	platform, err := runc.NewPlatform()
	if err != nil {
		return nil, fmt.Errorf("cannot prepare terminals: %w", err)
	}
	end.RegisterCallback(func(context.Context) error { return platform.Close() })
	s := &Service{
		ctx: ctx, reaper: r, library: l, shutdown: end, platform: platform, events: make(chan any, 128), containers: map[string]*held{},
	}
	if s.oom, err = newOOM(ctx, publisher, s.send); err != nil {
		return nil, fmt.Errorf("cannot watch for a lack of memory: %w", err)
	}
	go s.tell(publisher)
	go r.Run(ctx)
	return s, nil
}

// RegisterTTRPC has a server serve it.
func (s *Service) RegisterTTRPC(server *ttrpc.Server) error {
	taskapi.RegisterTTRPCTaskService(server, s)
	return nil
}

// send tells of an event, in the order of the calls.
func (s *Service) send(event any) {
	select {
	case s.events <- event:
	case <-s.shutdown.Done():
	}
}

// tell passes events on, those that are left when the shim ends, too.
func (s *Service) tell(publisher shim.Publisher) {
	defer publisher.Close()
	ns, _ := namespaces.Namespace(s.ctx)
	ctx := namespaces.WithNamespace(context.Background(), ns)
	publish := func(event any) {
		if err := publisher.Publish(ctx, runtime.GetTopic(event), event); err != nil {
			log.G(ctx).WithError(err).Error("cannot tell of an event")
		}
	}
	for {
		select {
		case event := <-s.events:
			publish(event)
			continue
		case <-s.shutdown.Done():
		}
		for {
			select {
			case event := <-s.events:
				publish(event)
			default:
				return
			}
		}
	}
}

func (s *Service) find(id string) (*held, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.containers[id]; c != nil {
		return c, nil
	}
	return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "container not created")
}

// Create makes a container with its first process, which waits for Start.
func (s *Service) Create(ctx context.Context, r *taskapi.CreateTaskRequest) (*taskapi.CreateTaskResponse, error) {
	defer s.reaper.Call()()
	asked, at := r.Rootfs, ""
	if len(asked) > 0 {
		at = filepath.Join(r.Bundle, root.Dir)
	}
	r, err := noted(r)
	if err != nil {
		return nil, err
	}
	made, err := runc.NewContainer(ctx, s.platform, r)
	if err != nil {
		if left := removeRoot(at); left != nil {
			log.G(ctx).WithError(left).WithField("container", r.ID).Warn("cannot unmount the root of a container that was not made")
		}
		return nil, err
	}
	leaveRoot(made)
	c := &held{Container: made, rootfs: at, pipes: fifos.Hold(r.Stdout, r.Stderr)}
	s.mu.Lock()
	s.containers[r.ID] = c
	s.mu.Unlock()
	pid := c.Pid()
	s.send(&eventsapi.TaskCreate{
		ContainerID: r.ID, Bundle: r.Bundle, Rootfs: asked, Checkpoint: r.Checkpoint, Pid: uint32(pid),
		IO: &eventsapi.TaskIO{Stdin: r.Stdin, Stdout: r.Stdout, Stderr: r.Stderr, Terminal: r.Terminal},
	})
	if pid > 0 { // a container to be restored has no process yet
		s.watchFirst(ctx, c)
	}
	return &taskapi.CreateTaskResponse{Pid: uint32(pid)}, nil
}

// watchFirst watches the first process of a container, and for a lack of memory.
func (s *Service) watchFirst(ctx context.Context, c *held) {
	if err := s.oom.Add(c.ID, c.Pid(), c.Cgroup()); err != nil {
		log.G(ctx).WithError(err).WithField("container", c.ID).Error("cannot watch for a lack of memory")
	}
	s.reaper.Watch(c.Pid(), func(e reaper.Exit) { s.firstEnded(c, e) })
}

// Start has the first process go on with the container's program, or begins one that joins it.
func (s *Service) Start(ctx context.Context, r *taskapi.StartRequest) (*taskapi.StartResponse, error) {
	defer s.reaper.Call()()
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if r.ExecID != "" && (c.over || c.ended != nil) {
		s.mu.Unlock()
		return nil, errgrpc.ToGRPCf(errdefs.ErrFailedPrecondition, "container %s init process is not running", c.ID)
	}
	c.busy++
	s.mu.Unlock()
	had := c.Pid()
	p, err := c.Start(ctx, r)
	if err != nil {
		s.free(c)
		return nil, errgrpc.ToGRPC(err)
	}
	pid := uint32(p.Pid())
	if r.ExecID != "" {
		s.send(&eventsapi.TaskExecStarted{ContainerID: c.ID, ExecID: r.ExecID, Pid: pid})
		s.reaper.Watch(p.Pid(), func(e reaper.Exit) {
			s.toldOf(c, p, e)
			s.free(c)
		})
		return &taskapi.StartResponse{Pid: pid}, nil
	}
	s.send(&eventsapi.TaskStart{ContainerID: c.ID, Pid: pid})
	if had == 0 {
		s.watchFirst(ctx, c)
	}
	s.free(c)
	return &taskapi.StartResponse{Pid: pid}, nil
}

// firstEnded is called when the first process of a container is reaped. Its end is the last that
// is told of the container.
func (s *Service) firstEnded(c *held, e reaper.Exit) {
	s.mu.Lock()
	c.over, c.ended = true, &e
	c.busy++
	s.mu.Unlock()
	if p, err := c.Process(""); err == nil {
		first := p.(*process.Init)
		if own, err := s.library.HasOwnPIDs(first.Runtime(), c.ID); err != nil || !own {
			if err := first.KillAll(s.ctx); err != nil {
				log.G(s.ctx).WithError(err).WithField("container", c.ID).Error("cannot end what has stayed of a container")
			}
		}
	}
	s.free(c)
}

// free notes that one has ended of those for which the end of a container waits.
func (s *Service) free(c *held) {
	s.mu.Lock()
	c.busy--
	last := c.ended
	if c.busy > 0 {
		last = nil
	}
	if last != nil {
		c.ended = nil
	}
	s.mu.Unlock()
	if last == nil {
		return
	}
	if p, err := c.Process(""); err == nil {
		s.oom.Remove(c.ID)
		s.toldOf(c, p, *last)
	}
}

// toldOf notes and tells how a process has ended.
func (s *Service) toldOf(c *held, p process.Process, e reaper.Exit) {
	p.SetExited(e.Code)
	id := p.ID()
	s.send(&eventsapi.TaskExit{
		ContainerID: c.ID, ID: id, Pid: uint32(e.Pid), ExitStatus: uint32(e.Code), ExitedAt: protobuf.ToTimestamp(p.ExitedAt()),
	})
}

// Delete removes what is left of a container, or of a process that has joined it.
func (s *Service) Delete(ctx context.Context, r *taskapi.DeleteRequest) (*taskapi.DeleteResponse, error) {
	defer s.reaper.Call()()
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	p, err := s.remove(ctx, c, r)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	out := &taskapi.DeleteResponse{Pid: uint32(p.Pid()), ExitStatus: uint32(p.ExitStatus()), ExitedAt: protobuf.ToTimestamp(p.ExitedAt())}
	if r.ExecID == "" {
		s.mu.Lock()
		delete(s.containers, r.ID)
		s.mu.Unlock()
		c.pipes.Close()
		s.send(&eventsapi.TaskDelete{ContainerID: c.ID, Pid: out.Pid, ExitStatus: out.ExitStatus, ExitedAt: out.ExitedAt})
	}
	return out, nil
}

// remove is Delete, to be asked for once more where something is left.
func (s *Service) remove(ctx context.Context, c *held, r *taskapi.DeleteRequest) (process.Process, error) {
	if r.ExecID != "" {
		return c.Delete(ctx, r)
	}
	s.mu.Lock()
	isGone := c.gone
	s.mu.Unlock()
	if !isGone {
		if _, err := c.Delete(ctx, r); err != nil {
			return nil, err
		}
		s.mu.Lock()
		c.gone = true
		s.mu.Unlock()
	}
	if err := removeRoot(c.rootfs); err != nil {
		return nil, err
	}
	return c.Process("")
}

// Exec prepares a process that is to join a container.
func (s *Service) Exec(ctx context.Context, r *taskapi.ExecProcessRequest) (*emptypb.Empty, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	ok, cancel := c.ReserveProcess(r.ExecID)
	if !ok {
		return nil, errgrpc.ToGRPCf(errdefs.ErrAlreadyExists, "id %s", r.ExecID)
	}
	p, err := c.Exec(ctx, r)
	if err != nil {
		cancel()
		return nil, errgrpc.ToGRPC(err)
	}
	s.send(&eventsapi.TaskExecAdded{ContainerID: c.ID, ExecID: p.ID()})
	return &emptypb.Empty{}, nil
}

// on does something with a container; of the calls that answer nothing.
func (s *Service) on(id string, do func(*held) error) (*emptypb.Empty, error) {
	c, err := s.find(id)
	if err != nil {
		return nil, err
	}
	if err := do(c); err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &emptypb.Empty{}, nil
}

// ResizePty changes the size of a process's terminal.
func (s *Service) ResizePty(ctx context.Context, r *taskapi.ResizePtyRequest) (*emptypb.Empty, error) {
	return s.on(r.ID, func(c *held) error { return c.ResizePty(ctx, r) })
}

// Pause freezes a container.
func (s *Service) Pause(ctx context.Context, r *taskapi.PauseRequest) (*emptypb.Empty, error) {
	return s.on(r.ID, func(c *held) error {
		err := c.Pause(ctx)
		if err == nil {
			s.send(&eventsapi.TaskPaused{ContainerID: c.ID})
		}
		return err
	})
}

// Resume has a frozen container go on.
func (s *Service) Resume(ctx context.Context, r *taskapi.ResumeRequest) (*emptypb.Empty, error) {
	return s.on(r.ID, func(c *held) error {
		err := c.Resume(ctx)
		if err == nil {
			s.send(&eventsapi.TaskResumed{ContainerID: c.ID})
		}
		return err
	})
}

// Kill sends a signal to a process.
func (s *Service) Kill(ctx context.Context, r *taskapi.KillRequest) (*emptypb.Empty, error) {
	return s.on(r.ID, func(c *held) error { return c.Kill(ctx, r) })
}

// CloseIO closes what a process reads.
func (s *Service) CloseIO(ctx context.Context, r *taskapi.CloseIORequest) (*emptypb.Empty, error) {
	return s.on(r.ID, func(c *held) error { return c.CloseIO(ctx, r) })
}

// Checkpoint writes a container to files.
func (s *Service) Checkpoint(ctx context.Context, r *taskapi.CheckpointTaskRequest) (*emptypb.Empty, error) {
	defer s.reaper.Call()()
	return s.on(r.ID, func(c *held) error { return c.Checkpoint(ctx, r) })
}

// Update changes a container's limits.
func (s *Service) Update(ctx context.Context, r *taskapi.UpdateTaskRequest) (*emptypb.Empty, error) {
	defer s.reaper.Call()()
	return s.on(r.ID, func(c *held) error { return c.Update(ctx, r) })
}

// State is what a process does, and how it has ended.
func (s *Service) State(ctx context.Context, r *taskapi.StateRequest) (*taskapi.StateResponse, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	p, err := c.Process(r.ExecID)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	status, err := p.Status(ctx)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	states := map[string]tasktypes.Status{
		"created": tasktypes.Status_CREATED, "running": tasktypes.Status_RUNNING, "stopped": tasktypes.Status_STOPPED,
		"paused": tasktypes.Status_PAUSED, "pausing": tasktypes.Status_PAUSING,
	}
	files := p.Stdio()
	return &taskapi.StateResponse{
		ID: p.ID(), Bundle: c.Bundle, Pid: uint32(p.Pid()), Status: states[status], Stdin: files.Stdin, Stdout: files.Stdout,
		Stderr: files.Stderr, Terminal: files.Terminal, ExitStatus: uint32(p.ExitStatus()), ExitedAt: protobuf.ToTimestamp(p.ExitedAt()),
	}, nil
}

// Wait answers when a process has ended.
func (s *Service) Wait(ctx context.Context, r *taskapi.WaitRequest) (*taskapi.WaitResponse, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	p, err := c.Process(r.ExecID)
	if err == nil {
		err = p.Wait(ctx)
	}
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	return &taskapi.WaitResponse{ExitStatus: uint32(p.ExitStatus()), ExitedAt: protobuf.ToTimestamp(p.ExitedAt())}, nil
}

// Pids are the processes of a container, those that have joined it with their names.
func (s *Service) Pids(ctx context.Context, r *taskapi.PidsRequest) (*taskapi.PidsResponse, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	p, err := c.Process("")
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	pids, err := p.(*process.Init).Runtime().Ps(ctx, c.ID)
	if err != nil {
		return nil, errgrpc.ToGRPC(err)
	}
	joined := map[int]string{}
	for _, e := range c.ExecdProcesses() {
		joined[e.Pid()] = e.ID()
	}
	out := &taskapi.PidsResponse{}
	for _, pid := range pids {
		info := &tasktypes.ProcessInfo{Pid: uint32(pid)}
		if id, ok := joined[pid]; ok {
			if info.Info, err = typeurl.MarshalAnyToProto(&options.ProcessDetails{ExecID: id}); err != nil {
				return nil, fmt.Errorf("cannot tell of process %d: %w", pid, err)
			}
		}
		out.Processes = append(out.Processes, info)
	}
	return out, nil
}

// Stats is what a container uses.
func (s *Service) Stats(_ context.Context, r *taskapi.StatsRequest) (*taskapi.StatsResponse, error) {
	c, err := s.find(r.ID)
	if err != nil {
		return nil, err
	}
	var used any
	switch group := c.Cgroup().(type) {
	case nil:
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotFound, "cgroup does not exist")
	case cgroup1.Cgroup:
		used, err = group.Stat(cgroup1.IgnoreNotExist)
	case *cgroup2.Manager:
		used, err = group.Stat()
	default:
		return nil, errgrpc.ToGRPCf(errdefs.ErrNotImplemented, "unsupported cgroup type %T", group)
	}
	if err != nil {
		return nil, err
	}
	data, err := typeurl.MarshalAnyToProto(used)
	if err != nil {
		return nil, err
	}
	return &taskapi.StatsResponse{Stats: data}, nil
}

// Connect tells the processes of the shim and of a container.
func (s *Service) Connect(_ context.Context, r *taskapi.ConnectRequest) (*taskapi.ConnectResponse, error) {
	out := &taskapi.ConnectResponse{ShimPid: uint32(os.Getpid())}
	if c, err := s.find(r.ID); err == nil {
		out.TaskPid = uint32(c.Pid())
	}
	return out, nil
}

// Shutdown ends a shim that has no containers; another goes on.
func (s *Service) Shutdown(context.Context, *taskapi.ShutdownRequest) (*emptypb.Empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.containers) == 0 {
		s.shutdown.Shutdown()
	}
	return &emptypb.Empty{}, nil
}

// isUnified says that cgroups are of version 2 alone.
func isUnified() bool { return cgroups.Mode() == cgroups.Unified }
