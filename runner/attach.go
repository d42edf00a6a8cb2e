package runner

import (
	"context"
	"fmt"
	"io"
	"syscall"

	containerd "github.com/containerd/containerd/v2/client"

	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/stdio"
)

// Attach starts a container and connects to the streams of its process, so that nothing
// it prints is missed. Its input ends with the caller's.
func (r *Runner) Attach(ctx context.Context, id string, stdin io.Reader, stdout, stderr io.Writer) (*exec.Process, error) {
	c := r.lookup(id)
	if c == nil {
		return nil, fmt.Errorf("no container with ID %s", id)
	}
	sub := c.tap.Attach()
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
	if stdin != nil {
		r.wg.Go(func() {
			if c.tap.Feed(stdin) {
				c.closeStdin()
			}
		})
	}
	return c.connected(sub, stdout, stderr), nil
}

// Join connects to the streams of a container that runs, beside whoever else does. Its
// process waits for none of them, and its input goes on without them.
func (r *Runner) Join(id string, stdin io.Reader, stdout, stderr io.Writer) (*exec.Process, error) {
	c := r.lookup(id)
	if c == nil {
		return nil, fmt.Errorf("no container with ID %s", id)
	}
	sub := c.tap.Look()
	if err := c.mayJoin(); err != nil {
		c.tap.Detach(sub)
		return nil, err
	}
	if stdin != nil {
		r.wg.Go(func() { c.tap.Feed(stdin) })
	}
	return c.connected(sub, stdout, stderr), nil
}

// connected is the container's process as somebody has it who reads its output.
func (c *container) connected(sub *stdio.Reader, stdout, stderr io.Writer) *exec.Process {
	c.mu.Lock()
	task, end := c.task, c.ending
	c.mu.Unlock()
	controls := exec.Controls{
		Wait: func(ctx context.Context) (int, error) {
			defer c.tap.Detach(sub)
			if err := sub.Copy(ctx, end.reaped, stdout, stderr); err != nil {
				return -1, err
			}
			return end.code, nil
		},
		Over: func(ctx context.Context) {
			select {
			case <-c.over:
			case <-c.r.ctx.Done():
			case <-ctx.Done():
			}
		},
	}
	if task != nil { // it has not ended by now
		controls.Resize = task.Resize
		controls.Kill = func(ctx context.Context, sig syscall.Signal) error { return c.signal(ctx, task, sig) }
	}
	return exec.NewProcess(controls)
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
