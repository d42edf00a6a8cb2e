package runc

import (
	"context"
	"os/exec"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
	process "github.com/orlop/go-runc"
)

// What is said to runc and what it says is as in go-runc.
type (
	Blkio            = process.Blkio
	BlkioEntry       = process.BlkioEntry
	CgroupMode       = process.CgroupMode
	CheckpointAction = process.CheckpointAction
	CheckpointOpts   = process.CheckpointOpts
	ConsoleSocket    = process.ConsoleSocket
	Container        = process.Container
	Cpu              = process.Cpu      //nolint:revive // its name
	CpuUsage         = process.CpuUsage //nolint:revive // its name
	CreateOpts       = process.CreateOpts
	DeleteOpts       = process.DeleteOpts
	Event            = process.Event
	ExecOpts         = process.ExecOpts
	Exit             = process.Exit
	ExitError        = process.ExitError
	Format           = process.Format
	Hugetlb          = process.Hugetlb
	IO               = process.IO
	IOOpt            = process.IOOpt
	IOOption         = process.IOOption
	KillOpts         = process.KillOpts
	Memory           = process.Memory
	MemoryEntry      = process.MemoryEntry
	NetworkInterface = process.NetworkInterface
	PidfdSocket      = process.PidfdSocket
	Pids             = process.Pids
	ProcessMonitor   = process.ProcessMonitor
	RestoreOpts      = process.RestoreOpts
	Socket           = process.Socket
	StartCloser      = process.StartCloser
	Stats            = process.Stats
	Throttling       = process.Throttling
	TopResults       = process.TopResults
	Version          = process.Version
)

const (
	// JSON and Text are the forms of runc's log.
	JSON = process.JSON
	Text = process.Text

	// Soft, Full and Strict are the ways to restore cgroups.
	Soft   = process.Soft
	Full   = process.Full
	Strict = process.Strict
)

// DefaultCommand is what is called where a Runc names no program.
var DefaultCommand = process.DefaultCommand

// ErrParseRuncVersion is as in go-runc.
var ErrParseRuncVersion = process.ErrParseRuncVersion //nolint:staticcheck // deprecated there

// Monitor waits for the processes of calls; whoever sets it does so before the first.
var Monitor ProcessMonitor = process.Monitor

func init() { process.Monitor = chosen{} }

// chosen is what Monitor says at the time of a call.
type chosen struct{}

func (chosen) Start(c *exec.Cmd) (chan Exit, error)       { return Monitor.Start(c) }
func (chosen) StartLocked(c *exec.Cmd) (chan Exit, error) { return Monitor.StartLocked(c) }
func (chosen) Wait(c *exec.Cmd, ended chan Exit) (int, error) {
	return Monitor.Wait(c, ended)
}

// NewConsoleSocket and those below are as in go-runc.
func NewConsoleSocket(path string) (*Socket, error) { return process.NewConsoleSocket(path) }

func NewTempConsoleSocket() (*Socket, error) { return process.NewTempConsoleSocket() }

func NewPidfdSocket(path string) (*Socket, error) { return process.NewPidfdSocket(path) }

func NewTempPidfdSocket() (*Socket, error) { return process.NewTempPidfdSocket() }

func NewPipeIO(uid, gid int, opts ...IOOpt) (IO, error) { return process.NewPipeIO(uid, gid, opts...) }

func NewSTDIO() (IO, error) { return process.NewSTDIO() }

func NewNullIO() (IO, error) { return process.NewNullIO() }

func ReadPidFile(path string) (int, error) { return process.ReadPidFile(path) }

func ParsePSOutput(output []byte) (*TopResults, error) { return process.ParsePSOutput(output) }

func LeaveRunning(args []string) []string { return process.LeaveRunning(args) }

func PreDump(args []string) []string { return process.PreDump(args) }

func WithExtraEnv(ctx context.Context, env ...string) context.Context {
	return process.WithExtraEnv(ctx, env...)
}

// The calls below start a runc process in any case.

func (r *Runc) List(ctx context.Context) ([]*Container, error) { return r.process().List(ctx) }

func (r *Runc) State(ctx context.Context, id string) (*Container, error) {
	return r.process().State(ctx, id)
}

func (r *Runc) Run(ctx context.Context, id, bundle string, opts *CreateOpts) (int, error) {
	return r.process().Run(ctx, id, bundle, opts)
}

func (r *Runc) Stats(ctx context.Context, id string) (*Stats, error) {
	return r.process().Stats(ctx, id)
}

func (r *Runc) Events(ctx context.Context, id string, interval time.Duration) (chan *Event, error) {
	return r.process().Events(ctx, id, interval)
}

func (r *Runc) Top(ctx context.Context, id, options string) (*TopResults, error) {
	return r.process().Top(ctx, id, options)
}

func (r *Runc) Checkpoint(ctx context.Context, id string, opts *CheckpointOpts, actions ...CheckpointAction) error {
	return r.process().Checkpoint(ctx, id, opts, actions...)
}

func (r *Runc) Restore(ctx context.Context, id, bundle string, opts *RestoreOpts) (int, error) {
	return r.process().Restore(ctx, id, bundle, opts)
}

func (r *Runc) Update(ctx context.Context, id string, resources *specs.LinuxResources) error {
	return r.process().Update(ctx, id, resources)
}

func (r *Runc) Version(ctx context.Context) (Version, error) { return r.process().Version(ctx) }

func (r *Runc) Features(ctx context.Context) (*features.Features, error) {
	return r.process().Features(ctx)
}
