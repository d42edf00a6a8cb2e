// Package provider runs the programs that provide services in place of containers,
// and the one that runs language models. It speaks the protocol of Docker Compose:
// a program is called with "compose up" or "compose down", and writes lines of JSON.
package provider

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Verbs of a provider.
const (
	Up   = "up"
	Down = "down"
	Stop = "stop"
	Pull = "pull" // it has the service's image where it runs
)

// messagesVariable tells a provider the types of messages that are understood. One
// that needs others can say so.
const messagesVariable = "COMPOSE_PROVIDER_MESSAGES"

// messages are those types.
var messages = strings.Join([]string{"error", "info", "setenv", "rawsetenv", "debug", "get-service-config", "get-image"}, ",")

// endTime is how long a provider that is interrupted gets to end.
const endTime = 10 * time.Second

// World is what programs see of the caller.
type World struct {
	Dir string // in which they run
	Env map[string]string
}

// Call is one call of a provider.
type Call struct {
	World
	Project string
	Service string
	Type    string // names the program
	Options map[string][]string
	Config  func() ([]byte, error) // the service as JSON, for a provider that asks
	Image   *Image                 // of Pull
	Say     func(string)           // what it does now
	Debug   func(string)
}

// ErrNoStop is the error of a provider that cannot pause what it provides.
var ErrNoStop = errors.New("the provider knows no stop")

// Variables are what a provider gives to what depends on its service.
type Variables map[string]string

// Knows says whether a provider has said that it knows a verb.
func (c *Call) Knows(ctx context.Context, verb string) (bool, error) {
	path, err := c.find(c.Type)
	if err != nil {
		return false, err
	}
	_, is := c.metadata(ctx, path)[verb]
	return is, nil
}

// Run calls a provider. The variables are those of up.
func (c *Call) Run(ctx context.Context, verb string) (Variables, error) {
	if c.Type == "compose" {
		return nil, errors.New("compose is no provider")
	}
	path, err := c.find(c.Type)
	if err != nil {
		return nil, err
	}
	known := c.metadata(ctx, path)
	of, isKnown := known[verb]
	if verb == Stop && !isKnown {
		return nil, ErrNoStop
	}
	if err := of.lacks(c.Options); isKnown && err != nil {
		return nil, fmt.Errorf("%s: %w", c.Type, err)
	}
	args := []string{"compose", "--project-name=" + c.Project, verb}
	for _, name := range slices.Sorted(maps.Keys(c.Options)) {
		if len(known) > 0 && !of.has(name) {
			continue
		}
		for _, value := range c.Options[name] {
			args = append(args, "--"+name+"="+value)
		}
	}
	if verb == Pull {
		args = append(args, c.Image.flags()...)
	}
	vars, err := c.converse(ctx, c.command(ctx, path, append(args, c.Service)...))
	if reason := context.Cause(ctx); err != nil && reason != nil {
		err = reason
	}
	return vars, err
}

// command is a call of a program, which an end of ctx interrupts.
func (w *World) command(ctx context.Context, path string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = w.Dir
	for name, value := range w.Env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	slices.Sort(cmd.Env)
	cmd.Env = append(cmd.Env, messagesVariable+"="+messages)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what it has started ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) }
	cmd.WaitDelay = endTime
	return cmd
}

// message is a line that a provider writes.
type message struct {
	Type     string `json:"type"`
	Message  string `json:"message"`
	Platform string `json:"platform"`
}

// converse runs a provider and takes in what it says.
func (c *Call) converse(ctx context.Context, cmd *exec.Cmd) (Variables, error) {
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	last := &tail{}
	cmd.Stderr = last
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot run %s: %w", c.Type, err)
	}
	a := &answers{to: stdin}
	vars := Variables{}
	failed := c.listen(ctx, stdout, a, vars)
	if failed != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	ended := cmd.Wait()
	a.close()
	switch {
	case failed != nil:
		return nil, failed
	case ended != nil:
		return nil, fmt.Errorf("%s: %w%s", c.Type, ended, last.after())
	}
	return vars, nil
}

// longestMessage is how much of what a provider writes is taken at most, in bytes.
const longestMessage = 16 << 20

// listen takes in messages up to the end, or to one that is a failure.
func (c *Call) listen(ctx context.Context, from io.Reader, a *answers, vars Variables) error {
	in := json.NewDecoder(io.LimitReader(from, longestMessage))
	for {
		var m message
		switch err := in.Decode(&m); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("%s: it must write lines of JSON: %w", c.Type, err)
		}
		if err := c.take(ctx, m, a, vars); err != nil {
			return err
		}
	}
}

// take takes one message in.
func (c *Call) take(ctx context.Context, m message, a *answers, vars Variables) error {
	switch m.Type {
	case "error":
		return fmt.Errorf("%s: %s", c.Type, m.Message)
	case "info":
		c.Say(firstLine(m.Message))
	case "debug":
		c.Debug(m.Message)
	case "setenv", "rawsetenv":
		name, value, ok := strings.Cut(m.Message, "=")
		if !ok || name == "" {
			return fmt.Errorf("%s: %s %q is not NAME=VALUE", c.Type, m.Type, m.Message)
		}
		if m.Type == "setenv" {
			name = strings.ToUpper(c.Service) + "_" + name
		}
		vars[name] = value
	case "get-service-config":
		config, err := c.Config()
		if err != nil {
			return err
		}
		a.send(config)
	case "get-image":
		if c.Image == nil {
			return fmt.Errorf("%s: it asks for an image, which it may do in its pull alone", c.Type)
		}
		a.stream(func(out io.Writer) error { return c.Image.send(ctx, out, m) })
	default:
		return fmt.Errorf("%s: it needs %q, which is not supported: %s knows %s", c.Type, m.Type, messagesVariable, messages)
	}
	return nil
}

// answers go to a provider beside what it says: it need not read before it has
// said all.
type answers struct {
	to io.WriteCloser
	wg sync.WaitGroup
	mu sync.Mutex // one answer at a time
}

func (a *answers) send(line []byte) {
	a.wg.Go(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		_, _ = a.to.Write(append(bytes.TrimRight(line, "\n"), '\n')) // one that has ended reads no answer
	})
}

// stream sends an answer that takes long. One that breaks off is the last.
func (a *answers) stream(write func(io.Writer) error) {
	a.wg.Go(func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		if write(a.to) != nil {
			a.to.Close()
		}
	})
}

// close ends them once the provider has.
func (a *answers) close() {
	a.to.Close()
	a.wg.Wait()
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return line
}

// tail keeps the last of what is written to it.
type tail struct{ text []byte }

// tailSize is how much that is, in bytes.
const tailSize = 2048

func (t *tail) Write(b []byte) (int, error) {
	t.text = append(t.text, b...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append([]byte(nil), t.text[over:]...)
	}
	return len(b), nil
}

// after is what follows an error.
func (t *tail) after() string {
	if text := strings.TrimSpace(string(t.text)); text != "" {
		return ": " + text
	}
	return ""
}
