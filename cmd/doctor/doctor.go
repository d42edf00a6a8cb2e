// Package doctor looks whether Orlop works on this machine, and packs what
// helps to find out why not. What the machine must have is asked of the engine's
// program, which tries it without an engine that runs; the rest is done as a
// user does it, by the command itself.
package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
)

// Doctor makes the checks.
type Doctor struct {
	Version string // of the command
	// Host examines the machine; fix mends what is safe to mend.
	Host func(ctx context.Context, fix bool) ([]api.Check, error)
	// Run runs the command with arguments and an input, and gives its output. The
	// error has what it said.
	Run func(ctx context.Context, input string, args ...string) (string, error)
	// Running says whether an engine answers; it starts none.
	Running func(ctx context.Context) bool
	// Greet reaches the engine, starting it if none runs.
	Greet func(ctx context.Context) (*api.StatusReply, error)
	// Program is orlopd, of which the image of the trial is made.
	Program string
}

// New is a doctor that works with the programs as they are installed.
func New(inv *cli.Invocation) (*Doctor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("cannot tell where the command is installed: %w", err)
	}
	keeper, err := cli.FindKeeper(self)
	if err != nil {
		return nil, err
	}
	return &Doctor{
		Version: inv.Version, Program: keeper,
		Host: func(ctx context.Context, fix bool) ([]api.Check, error) {
			args := []string{"--doctor", "--root", inv.RootDir(), "--state", inv.StateDir()}
			if fix {
				args = append(args, "--fix")
			}
			out, err := output(exec.CommandContext(ctx, filepath.Join(filepath.Dir(keeper), "orlop-engine"), args...))
			if err != nil {
				return nil, err
			}
			var checks []api.Check
			return checks, json.Unmarshal([]byte(out), &checks)
		},
		Run: func(ctx context.Context, input string, args ...string) (string, error) {
			c := exec.CommandContext(ctx, self, args...)
			c.Stdin, c.Dir = strings.NewReader(input), "/"
			return output(c)
		},
		Running: func(ctx context.Context) bool {
			client, err := api.Dial(ctx, inv.Socket())
			if err == nil {
				client.Close()
			}
			return err == nil
		},
		Greet: func(ctx context.Context) (*api.StatusReply, error) {
			client, err := inv.Connect(ctx)
			if err != nil {
				return nil, err
			}
			defer client.Close()
			return inv.Greet(ctx, client)
		},
	}, nil
}

// output runs a command; its error has the last line that it said.
func output(c *exec.Cmd) (string, error) {
	var said strings.Builder
	c.Stderr = &said
	out, err := c.Output()
	if text := strings.TrimSpace(said.String()); err != nil && text != "" {
		lines := strings.Split(text, "\n")
		err = errors.New(strings.TrimSpace(lines[len(lines)-1]))
	}
	return string(out), err
}

// Examine makes all checks and shows each as it is made. What needs an engine is
// left out where none can be had; one that was started for it is stopped again.
func (d *Doctor) Examine(ctx context.Context, fix bool, show func(api.Check)) error {
	defer d.leaveAsItWas(ctx)()
	return d.examine(ctx, fix, show)
}

// leaveAsItWas gives what stops the engine again where none runs now: who has
// stopped it has a reason.
func (d *Doctor) leaveAsItWas(ctx context.Context) func() {
	if d.Running(ctx) {
		return func() {}
	}
	return func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, _ = d.Run(ctx, "", "engine", "stop") // one that could not be started is not there
	}
}

func (d *Doctor) examine(ctx context.Context, fix bool, show func(api.Check)) error {
	host, err := d.Host(ctx, fix)
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		show(api.Check{Name: "machine", Result: api.CheckFailed, Found: "cannot examine it: " + err.Error(), Cure: "install Orlop whole (make install)"})
	}
	for _, c := range host {
		show(c)
	}
	engine, running := d.engine(ctx)
	show(engine)
	if !running {
		return context.Cause(ctx)
	}
	show(d.ports(ctx))
	show(d.container(ctx))
	return context.Cause(ctx)
}

func (d *Doctor) engine(ctx context.Context) (c api.Check, running bool) {
	c = api.Check{Name: "engine", Result: api.CheckFailed, Cure: "see \"orlop engine logs\" and \"orlop engine logs --keeper\""}
	status, err := d.Greet(ctx)
	switch {
	case err != nil:
		c.Found = err.Error()
		return c, false
	case status.Version != d.Version:
		c.Result, c.Cure = api.CheckWarning, "run \"orlop engine restart\""
		c.Found = fmt.Sprintf("it is version %s, the command is %s", status.Version, d.Version)
	case len(status.Warnings) > 0:
		c.Result, c.Cure = api.CheckWarning, "see \"orlop engine logs\""
		c.Found = strings.Join(status.Warnings, "; ")
	case status.Restarts > 0:
		c.Result = api.CheckWarning
		c.Found = fmt.Sprintf("it was started again %d times by its keeper", status.Restarts)
	default:
		c.Result, c.Cure = api.CheckOK, ""
		c.Found = fmt.Sprintf("version %s, process %d", status.Version, status.Pid)
	}
	return c, true
}
