package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

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
	if err := c.mayJoin(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	task := c.task
	c.mu.Unlock()
	if task == nil {
		return nil, fmt.Errorf("%s %w", c.name, ErrNotRunning)
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

// mayJoin refuses to join a container that does not run, or is paused.
func (c *container) mayJoin() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.task == nil || !c.state.HasProcess():
		return fmt.Errorf("%s %w: start it with \"orlop start\"", c.name, ErrNotRunning)
	case c.state.Paused:
		return fmt.Errorf("%s is paused: resume it with \"orlop unpause\"", c.name)
	}
	return nil
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
