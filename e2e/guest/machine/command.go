package machine

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/orlop/orlop/e2e/guest/wire"
)

// Command is one that runs in a guest.
type Command struct {
	machine *Machine
	id      int
	argv    []string
	heard   func(output []byte)
	done    chan struct{}

	mu             sync.Mutex // guards what follows
	output, errors bytes.Buffer
	code           int
	err            error
}

// Start starts a command in the guest. Heard is called with what it prints, as it
// comes; it may be nil.
func (m *Machine) Start(heard func(output []byte), argv ...string) (*Command, error) {
	c := &Command{machine: m, argv: argv, heard: heard, done: make(chan struct{})}
	m.mu.Lock()
	if m.gone {
		m.mu.Unlock()
		return nil, ErrGone
	}
	m.next++
	c.id = m.next
	m.commands[c.id] = c
	m.mu.Unlock()
	return c, m.ask(wire.Request{ID: c.id, Argv: argv, Dir: "/"})
}

func (c *Command) take(r wire.Reply) {
	c.mu.Lock()
	c.output.Write(r.Output)
	c.errors.Write(r.Errors)
	c.mu.Unlock()
	if c.heard != nil && len(r.Output) > 0 {
		c.heard(r.Output)
	}
	if r.Ended {
		c.end(r.Code, nil)
	}
}

func (c *Command) end(code int, err error) {
	c.mu.Lock()
	c.code, c.err = code, err
	c.mu.Unlock()
	close(c.done)
}

// Result is what a command printed, and how it ended.
type Result struct {
	Output, Errors string
	Code           int
}

// Wait waits for the end of a command.
func (c *Command) Wait(ctx context.Context) (Result, error) {
	var err error
	select {
	case <-c.done:
	case <-ctx.Done():
		err = fmt.Errorf("%s does not end: %w", strings.Join(c.argv, " "), context.Cause(ctx))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		err = c.err
	}
	return Result{c.output.String(), c.errors.String(), c.code}, err
}

// Try runs a command, however it ends.
func (m *Machine) Try(ctx context.Context, argv ...string) (Result, error) {
	c, err := m.Start(nil, argv...)
	if err != nil {
		return Result{}, err
	}
	return c.Wait(ctx)
}

// Run runs a command that must succeed, and gives its standard output.
func (m *Machine) Run(ctx context.Context, argv ...string) (string, error) {
	r, err := m.Try(ctx, argv...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("exit code %d", r.Code)
	}
	if err != nil {
		return r.Output, fmt.Errorf("%s: %w\n%s%s", strings.Join(argv, " "), err, r.Output, r.Errors)
	}
	return r.Output, nil
}
