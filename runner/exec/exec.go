// Package exec runs processes that join a running container: those that a user
// asks for, with their streams, and those that are run to their end within bounds,
// such as probes. It says nothing about what runs, or when.
package exec

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/moby/sys/signal"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/runner/shim"
)

// id is one for a process that containerd knows by it; what begins it says whose
// it is.
func id(kind string) string { return kind + strings.ToLower(rand.Text()[:12]) }

// Streams are those of a process.
type Streams struct {
	Dir    string    // where its pipes are made
	Stdin  io.Reader // nil: none
	Stdout io.Writer
	Stderr io.Writer // nil with a terminal
}

// Process is a process that the caller talks to.
type Process struct{ controls Controls }

// Controls are how a process is reached. One that has ended has neither Resize nor Kill.
type Controls struct {
	Resize func(ctx context.Context, columns, rows uint32) error
	Kill   func(ctx context.Context, sig syscall.Signal) error
	Wait   func(ctx context.Context) (int, error)
	Over   func(ctx context.Context) // nil: nothing follows from its end
}

// errEnded is the error of a call to a process that is no more.
var errEnded = errors.New("the process has ended")

// NewProcess is a process that somebody else has begun.
func NewProcess(c Controls) *Process { return &Process{controls: c} }

// Resize sets the size of the process's terminal, in characters.
func (p *Process) Resize(ctx context.Context, columns, rows uint32) error {
	if p.controls.Resize == nil {
		return errEnded
	}
	return p.controls.Resize(ctx, columns, rows)
}

// Signal sends a signal by its name or number.
func (p *Process) Signal(ctx context.Context, name string) error {
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return fmt.Errorf("no signal named %q", name)
	}
	if p.controls.Kill == nil {
		return errEnded
	}
	return p.controls.Kill(ctx, sig)
}

// Wait gives the exit code once the process has ended and its output is read.
func (p *Process) Wait(ctx context.Context) (int, error) { return p.controls.Wait(ctx) }

// AwaitOver returns when what follows from the end of the process is done: the
// removal of a container that goes with it.
func (p *Process) AwaitOver(ctx context.Context) {
	if p.controls.Over != nil {
		p.controls.Over(ctx)
	}
}

// Start begins a process in a task. spawn is given what has to go on until the
// input has ended, or ctx has.
func Start(ctx context.Context, task containerd.Task, doc *specs.Process, s Streams, spawn func(func())) (*Process, error) {
	p, err := task.Exec(ctx, id("x"), doc, newPipes(s.Dir, doc.Terminal, s.Stdin != nil, s.Stdout, s.Stderr))
	if err != nil {
		return nil, err
	}
	clean := context.WithoutCancel(ctx)
	exits, err := p.Wait(clean)
	if err == nil {
		err = p.Start(ctx)
	}
	streams := p.IO().(*pipes)
	if err != nil {
		_, _ = p.Delete(clean, containerd.WithProcessKill)
		streams.Close()
		return nil, shim.Explain(err)
	}
	streams.handOver()
	if s.Stdin != nil {
		fed := make(chan struct{})
		go func() { streams.feed(s.Stdin); close(fed) }() // as long as its caller's input lasts
		// The shim holds the pipe open until it is told.
		spawn(func() {
			select {
			case <-fed:
				_ = p.CloseIO(clean, containerd.WithStdinCloser)
			case <-ctx.Done():
			}
		})
	}
	return NewProcess(Controls{
		Resize: p.Resize,
		Kill:   func(ctx context.Context, sig syscall.Signal) error { return p.Kill(ctx, sig) },
		Wait:   func(ctx context.Context) (int, error) { return wait(ctx, p, exits) },
	}), nil
}

// wait gives the exit code of a process once it has ended and its output is read.
// When its caller goes away it is killed: nobody could end it any more.
func wait(ctx context.Context, process containerd.Process, exits <-chan containerd.ExitStatus) (int, error) {
	clean := context.WithoutCancel(ctx)
	defer process.IO().Close()
	select {
	case status := <-exits:
		_, err := process.Delete(clean)
		if err != nil && strings.Contains(err.Error(), "not found") {
			err = nil // it is gone already
		}
		return int(status.ExitCode()), errors.Join(status.Error(), err)
	case <-ctx.Done():
		_ = process.Kill(clean, syscall.SIGKILL)
		_, _ = process.Delete(clean, containerd.WithProcessKill)
		return -1, context.Cause(ctx)
	}
}
