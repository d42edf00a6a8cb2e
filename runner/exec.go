package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/moby/sys/signal"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/oci"
	"github.com/orlop/orlop/runner/shim"
)

// ProcessOptions say what Exec runs.
type ProcessOptions struct {
	Command     []string
	Terminal    bool
	User        string // "" is the container's
	WorkingDir  string // "" is the container's
	Environment []string
	Privileged  bool
	Columns     uint32 // of the terminal
	Rows        uint32
}

// Process is a process that the caller talks to.
type Process struct {
	resize func(ctx context.Context, columns, rows uint32) error
	signal func(ctx context.Context, sig syscall.Signal) error
	wait   func(ctx context.Context) (int, error)
	over   func(ctx context.Context)
}

// Resize sets the size of the process's terminal, in characters.
func (p *Process) Resize(ctx context.Context, columns, rows uint32) error {
	return p.resize(ctx, columns, rows)
}

// Signal sends a signal by its name or number.
func (p *Process) Signal(ctx context.Context, name string) error {
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return fmt.Errorf("no signal named %q", name)
	}
	return p.signal(ctx, sig)
}

// Wait gives the exit code once the process has ended and its output is read.
func (p *Process) Wait(ctx context.Context) (int, error) { return p.wait(ctx) }

// AwaitOver returns when what follows from the end of the process is done: the
// removal of a container that goes with it.
func (p *Process) AwaitOver(ctx context.Context) { p.over(ctx) }

// ErrNotRunning is the error of a call that needs a running container.
var ErrNotRunning = errors.New("is not running")

// Exec runs a process in a running container. Standard input may be nil.
func (r *Runner) Exec(ctx context.Context, id string, opts ProcessOptions, stdin io.Reader, stdout, stderr io.Writer) (*Process, error) {
	c := r.lookup(id)
	if c == nil {
		return nil, fmt.Errorf("no container with ID %s", id)
	}
	c.mu.Lock()
	task, running := c.task, c.task != nil && c.state.hasProcess()
	c.mu.Unlock()
	if !running {
		return nil, fmt.Errorf("%s %w: start it with \"orlop start\"", c.name, ErrNotRunning)
	}
	doc, err := c.processSpec(ctx, opts)
	if err != nil {
		return nil, err
	}
	if opts.Terminal && opts.Columns > 0 {
		// From the start: a program asks once, often at once.
		doc.ConsoleSize = &specs.Box{Width: uint(opts.Columns), Height: uint(opts.Rows)}
	}
	process, err := task.Exec(ctx, "x"+newID()[:12], doc, c.execStreams(opts.Terminal, stdin != nil, stdout, stderr))
	if err != nil {
		return nil, fmt.Errorf("cannot run %q in %s: %w", opts.Command[0], c.name, err)
	}
	clean := context.WithoutCancel(ctx)
	exits, err := process.Wait(clean)
	if err == nil {
		err = process.Start(ctx)
	}
	streams := process.IO().(*execIO)
	if err != nil {
		process.Delete(clean, containerd.WithProcessKill)
		streams.Close()
		return nil, fmt.Errorf("cannot run %q in %s: %w", opts.Command[0], c.name, shim.Explain(err))
	}
	streams.handOver()
	if stdin != nil {
		fed := make(chan struct{})
		go func() { streams.feed(stdin); close(fed) }() // as long as its caller's input lasts
		// The shim holds the pipe open until it is told.
		r.wg.Go(func() {
			select {
			case <-fed:
				_ = process.CloseIO(clean, containerd.WithStdinCloser)
			case <-ctx.Done():
			}
		})
	}
	return &Process{
		resize: func(ctx context.Context, columns, rows uint32) error { return process.Resize(ctx, columns, rows) },
		signal: func(ctx context.Context, sig syscall.Signal) error { return process.Kill(ctx, sig) },
		wait:   func(ctx context.Context) (int, error) { return waitProcess(ctx, process, exits) },
		over:   func(context.Context) {},
	}, nil
}

// waitProcess waits for a process that exec began. When its caller goes away
// it is killed: nobody could end it any more.
func waitProcess(ctx context.Context, process containerd.Process, exits <-chan containerd.ExitStatus) (int, error) {
	clean := context.WithoutCancel(ctx)
	defer process.IO().Close()
	select {
	case status := <-exits:
		_, err := process.Delete(clean)
		return int(status.ExitCode()), errors.Join(status.Error(), ignoreGone(err))
	case <-ctx.Done():
		_ = process.Kill(clean, syscall.SIGKILL)
		_, _ = process.Delete(clean, containerd.WithProcessKill)
		return -1, context.Cause(ctx)
	}
}

func ignoreGone(err error) error {
	if err != nil && strings.Contains(err.Error(), "not found") {
		return nil
	}
	return err
}

// processSpec is the OCI document of a further process: the container's own
// with what the options change.
func (c *container) processSpec(ctx context.Context, opts ProcessOptions) (*specs.Process, error) {
	c.mu.Lock()
	ctr, task := c.ctr, c.task
	c.mu.Unlock()
	doc, err := ctr.Spec(ctx)
	if err != nil {
		return nil, err
	}
	e := oci.Exec{
		Args: opts.Command, Terminal: opts.Terminal, Env: opts.Environment, Cwd: opts.WorkingDir, Privileged: opts.Privileged,
	}
	if opts.User != "" && task != nil {
		root := fmt.Sprintf("/proc/%d/root", task.Pid())
		if _, err := os.Stat(root); err != nil {
			return nil, fmt.Errorf("%s %w", c.name, ErrNotRunning)
		}
		who, err := image.LookupUser(root, opts.User)
		if err != nil {
			return nil, err
		}
		user := who.Spec()
		e.User = &user
	}
	return e.Process(doc.Process), nil
}

// startUnlessGone starts a container that may have been removed while its
// caller waited for it; the caller holds op.
func (c *container) startUnlessGone(ctx context.Context) error {
	if c.isRemoving() {
		return fmt.Errorf("%s is gone: it was removed meanwhile", c.name)
	}
	return c.start(ctx)
}

// Attach connects to the streams of a container's own process. With start it
// is started after that, so that nothing it prints is missed.
func (r *Runner) Attach(ctx context.Context, id string, start bool, stdin io.Reader, stdout, stderr io.Writer) (*Process, error) {
	c := r.lookup(id)
	if c == nil {
		return nil, fmt.Errorf("no container with ID %s", id)
	}
	sub := c.tap.subscribe()
	if start {
		err := c.op.Lock(ctx)
		if err == nil {
			// What is begun is finished, though the caller goes away: a start that is
			// given up in the middle leaves a process that nobody knows of.
			err = c.startUnlessGone(context.WithoutCancel(ctx))
			c.op.Unlock()
		}
		if err != nil {
			c.tap.unsubscribe(sub)
			c.autoRemove(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	c.mu.Lock()
	task, end := c.task, c.ending
	c.mu.Unlock()
	if stdin != nil {
		r.wg.Go(func() {
			buf := make([]byte, 32<<10)
			for {
				n, err := stdin.Read(buf)
				if n > 0 && c.tap.writeStdin(buf[:n]) != nil {
					return
				}
				if err != nil {
					c.closeStdin()
					return
				}
			}
		})
	}
	return &Process{
		resize: func(ctx context.Context, columns, rows uint32) error {
			if task == nil {
				return ErrNotRunning
			}
			return task.Resize(ctx, columns, rows)
		},
		signal: func(ctx context.Context, sig syscall.Signal) error {
			if task == nil {
				return ErrNotRunning
			}
			return c.signal(ctx, task, sig)
		},
		wait: func(ctx context.Context) (int, error) {
			defer c.tap.unsubscribe(sub)
			return c.pump(ctx, sub, end, stdout, stderr)
		},
		over: func(ctx context.Context) {
			select {
			case <-c.over:
			case <-r.ctx.Done():
			case <-ctx.Done():
			}
		},
	}, nil
}

// pump hands on what the process prints until it has ended.
func (c *container) pump(ctx context.Context, sub *tapReader, end *ending, stdout, stderr io.Writer) (int, error) {
	give := func(chunk tapChunk) error {
		w := stdout
		if chunk.stderr {
			w = stderr
		}
		_, err := w.Write(chunk.data)
		return err
	}
	for {
		select {
		case chunk := <-sub.ch:
			if err := give(chunk); err != nil {
				return -1, err
			}
		case <-end.reaped:
			for {
				select {
				case chunk := <-sub.ch:
					if err := give(chunk); err != nil {
						return -1, err
					}
				default:
					c.mu.Lock()
					defer c.mu.Unlock()
					return c.state.ExitCode, nil
				}
			}
		case <-ctx.Done():
			return -1, context.Cause(ctx)
		}
	}
}

// closeStdin ends the process's standard input: our end of the pipe, and the
// shim's, which it keeps open for the engines to come.
func (c *container) closeStdin() {
	c.tap.closeStdin()
	c.mu.Lock()
	task := c.task
	c.mu.Unlock()
	if task != nil {
		_ = task.CloseIO(c.r.ctx, containerd.WithStdinCloser)
	}
}
