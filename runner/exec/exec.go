// Package exec runs processes that join a running container: those that a user
// asks for, with their streams, and those that are run to their end within bounds,
// such as probes. It says nothing about what runs, or when.
package exec

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"
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

// Started is a process that runs.
type Started struct {
	process containerd.Process
	exits   <-chan containerd.ExitStatus
}

// Start begins a process in a task. spawn is given what has to go on until the
// input has ended, or ctx has.
func Start(ctx context.Context, task containerd.Task, doc *specs.Process, s Streams, spawn func(func())) (*Started, error) {
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
	return &Started{process: p, exits: exits}, nil
}

// Resize sets the size of its terminal, in characters.
func (s *Started) Resize(ctx context.Context, columns, rows uint32) error {
	return s.process.Resize(ctx, columns, rows)
}

// Kill sends it a signal.
func (s *Started) Kill(ctx context.Context, sig syscall.Signal) error {
	return s.process.Kill(ctx, sig)
}

// Wait gives its exit code once it has ended and its output is read. When its
// caller goes away it is killed: nobody could end it any more.
func (s *Started) Wait(ctx context.Context) (int, error) {
	clean := context.WithoutCancel(ctx)
	defer s.process.IO().Close()
	select {
	case status := <-s.exits:
		_, err := s.process.Delete(clean)
		if err != nil && strings.Contains(err.Error(), "not found") {
			err = nil // it is gone already
		}
		return int(status.ExitCode()), errors.Join(status.Error(), err)
	case <-ctx.Done():
		_ = s.process.Kill(clean, syscall.SIGKILL)
		_, _ = s.process.Delete(clean, containerd.WithProcessKill)
		return -1, context.Cause(ctx)
	}
}
