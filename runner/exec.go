package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/oci"
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

// ErrNotRunning is the error of a call that needs a running container.
var ErrNotRunning = errors.New("is not running")

// Exec runs a process in a running container. Standard input may be nil.
func (r *Runner) Exec(ctx context.Context, id string, opts ProcessOptions, stdin io.Reader, stdout, stderr io.Writer) (*exec.Process, error) {
	c := r.lookup(id)
	if c == nil {
		return nil, fmt.Errorf("no container with ID %s", id)
	}
	c.mu.Lock()
	task, running, paused := c.task, c.task != nil && c.state.HasProcess(), c.state.Paused
	c.mu.Unlock()
	if paused {
		return nil, fmt.Errorf("%s is paused: resume it with \"orlop unpause\"", c.name)
	}
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
	if opts.Privileged {
		r.nets.LeaveAlone(c.snapshot().Netns) // it may change that
	}
	process, err := exec.Start(ctx, task, doc, exec.Streams{
		Dir: r.fifoDir(c.id), Stdin: stdin, Stdout: stdout, Stderr: stderr,
	}, r.wg.Go)
	if err != nil {
		return nil, fmt.Errorf("cannot run %q in %s: %w", opts.Command[0], c.name, err)
	}
	return process, nil
}

// processSpec is the OCI document of a further process: the container's own
// with what the options change.
func (c *container) processSpec(ctx context.Context, opts ProcessOptions) (*specs.Process, error) {
	c.mu.Lock()
	task := c.task
	c.mu.Unlock()
	doc, err := c.ctr.Spec(ctx)
	if err != nil {
		return nil, err
	}
	e := oci.Exec{
		Args: opts.Command, Terminal: opts.Terminal, Env: opts.Environment, Cwd: opts.WorkingDir, Privileged: opts.Privileged,
	}
	if opts.User != "" && task != nil {
		who, err := image.NumericUser(opts.User)
		if root := fmt.Sprintf("/proc/%d/root", task.Pid()); !c.foreign {
			if _, err := os.Stat(root); err != nil {
				return nil, fmt.Errorf("%s %w", c.name, ErrNotRunning)
			}
			who, err = image.LookupUser(root, opts.User)
		}
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

// feed gives the process its input, to the input's end.
func (c *container) feed(stdin io.Reader) {
	buf := make([]byte, 32<<10)
	for {
		n, err := stdin.Read(buf)
		if n > 0 && c.tap.WriteStdin(buf[:n]) != nil {
			return
		}
		if err != nil {
			c.closeStdin()
			return
		}
	}
}

// Attach connects to the streams of a container's own process. With start it
// is started after that, so that nothing it prints is missed.
func (r *Runner) Attach(ctx context.Context, id string, start bool, stdin io.Reader, stdout, stderr io.Writer) (*exec.Process, error) {
	c := r.lookup(id)
	if c == nil {
		return nil, fmt.Errorf("no container with ID %s", id)
	}
	sub := c.tap.Attach()
	if start {
		err := c.op.Lock(ctx)
		if err == nil {
			// What is begun is finished, though the caller goes away: a start that is
			// given up in the middle leaves a process that nobody knows of.
			err = c.startUnlessGone(context.WithoutCancel(ctx))
			c.op.Unlock()
		}
		if err != nil {
			c.tap.Detach(sub)
			c.autoRemove(context.WithoutCancel(ctx))
			return nil, err
		}
	}
	c.mu.Lock()
	task, end := c.task, c.ending
	c.mu.Unlock()
	if stdin != nil {
		r.wg.Go(func() { c.feed(stdin) })
	}
	return exec.NewProcess(exec.Controls{
		Resize: func(ctx context.Context, columns, rows uint32) error {
			if task == nil {
				return ErrNotRunning
			}
			return task.Resize(ctx, columns, rows)
		},
		Kill: func(ctx context.Context, sig syscall.Signal) error {
			if task == nil {
				return ErrNotRunning
			}
			return c.signal(ctx, task, sig)
		},
		Wait: func(ctx context.Context) (int, error) {
			defer c.tap.Detach(sub)
			if err := sub.Copy(ctx, end.reaped, stdout, stderr); err != nil {
				return -1, err
			}
			return c.snapshot().ExitCode, nil
		},
		Over: func(ctx context.Context) {
			select {
			case <-c.over:
			case <-r.ctx.Done():
			case <-ctx.Done():
			}
		},
	}), nil
}

// closeStdin ends the process's standard input: our end of the pipe, and the
// shim's, which it keeps open for the engines to come.
func (c *container) closeStdin() {
	c.tap.CloseStdin()
	c.mu.Lock()
	task := c.task
	c.mu.Unlock()
	if task != nil {
		_ = task.CloseIO(c.r.ctx, containerd.WithStdinCloser)
	}
}
