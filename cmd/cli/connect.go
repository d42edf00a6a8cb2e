package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/orlop/orlop/api"
)

// answerTimeout is how long the engine may take for its first answer. One that
// was killed is back within a second; what takes longer hangs.
const answerTimeout = 30 * time.Second

// ErrHangs is the cause of what is given up because the engine does not answer.
var ErrHangs = errors.New("the engine does not answer")

// reach gives a client of the engine, which it starts when none answers, and the
// engine's first answer. One that is just leaving is passed over, once.
func (inv *Invocation) reach(ctx context.Context) (*api.Client, *api.StatusReply, error) {
	for again := true; ; again = false {
		client, err := api.Dial(ctx, inv.Socket())
		if errors.Is(err, api.ErrAbsent) {
			if err := inv.StartTheEngine(ctx); err != nil {
				return nil, nil, err
			}
			client, err = api.Dial(ctx, inv.Socket())
		}
		if err != nil {
			return nil, nil, inv.DialError(err)
		}
		client.Verb, client.Proxies = inv.Verb, api.ProxiesOf(inv.Env)
		if inv.DryRun {
			client.May = inv.mayForesee
		}
		status, err := inv.greet(ctx, client, true)
		if err == nil {
			return client, status, nil
		}
		client.Close()
		if !again || !errors.Is(err, api.ErrLost) && !errors.Is(err, api.ErrAbsent) || !inv.Root {
			return nil, nil, err
		}
		if err := inv.StartTheEngine(ctx); err != nil {
			return nil, nil, err
		}
	}
}

// Connect gives a client of the engine, which it starts when none answers.
func (inv *Invocation) Connect(ctx context.Context) (*api.Client, error) {
	client, status, err := inv.reach(ctx)
	if err != nil {
		return nil, err
	}
	if err := api.CheckEngine(status, inv.Version); err != nil {
		client.Close()
		return nil, err
	}
	if inv.connected.Swap(true) {
		return client, nil // it was told
	}
	inv.warnOfEngine(status.Warnings)
	inv.warnOfDisk(status.Root)
	if status.Version != inv.Version {
		fmt.Fprintln(inv.Stderr, inv.ErrStyle().Yellow(fmt.Sprintf(
			"engine is %s, command is %s: run \"orlop engine restart\"; containers keep running", status.Version, inv.Version)))
	}
	return client, nil
}

// Greet waits for the engine's first answer, which says all that it tells of itself.
func (inv *Invocation) Greet(ctx context.Context, client *api.Client) (*api.StatusReply, error) {
	return inv.greet(ctx, client, false)
}

func (inv *Invocation) greet(ctx context.Context, client *api.Client, brief bool) (*api.StatusReply, error) {
	ctx, cancel := inv.patient(ctx)
	defer cancel()
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	answered := make(chan struct{})
	defer close(answered)
	go func() {
		select {
		case <-client.Absent():
			lost(api.ErrAbsent)
		case <-answered:
		}
	}()
	status, err := client.Status(ctx, &api.StatusRequest{Brief: brief})
	if err = Cause(ctx, err); errors.Is(err, api.ErrCannotStart) {
		err = fmt.Errorf("%w\nSee: orlop engine logs", err)
	}
	return status, err
}

// Shutdown asks the engine to end, or to be followed by another.
func (inv *Invocation) Shutdown(ctx context.Context, client *api.Client, restart bool) error {
	ctx, cancel := inv.patient(ctx)
	defer cancel()
	_, err := client.Shutdown(ctx, &api.ShutdownRequest{Restart: restart})
	return Cause(ctx, err)
}

// patient bounds the wait for an answer that comes at once from an engine that
// does not hang.
func (inv *Invocation) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	late := fmt.Errorf("%w at %s: see \"orlop engine logs\", or run \"orlop engine restart\"", ErrHangs, inv.Socket())
	return context.WithTimeoutCause(ctx, answerTimeout, late)
}

// longestStateDir is as long as the path of the state directory may be in bytes:
// below it are sockets, whose paths the kernel bounds.
const longestStateDir = 40

func checkStateDir(dir string) error {
	switch {
	case !filepath.IsAbs(dir):
		return fmt.Errorf("ORLOP_STATE is %q: it must be an absolute path", dir)
	case len(dir) > longestStateDir:
		return fmt.Errorf("ORLOP_STATE is %s: it must be at most %d characters long, as there are sockets below it", dir, longestStateDir)
	}
	return nil
}

// StartTheEngine starts an engine where the caller may.
func (inv *Invocation) StartTheEngine(ctx context.Context) error {
	if !inv.Root {
		return fmt.Errorf("no engine is running at %s, and only root may start one: run \"sudo orlop engine start\"", inv.Socket())
	}
	return inv.StartEngine(ctx, inv.RootDir(), inv.StateDir())
}

// DialError is an error of api.Dial in words.
func (inv *Invocation) DialError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("only root may talk to the engine at %s: run the command with sudo", inv.Socket())
	}
	return fmt.Errorf("cannot reach the engine at %s: %w", inv.Socket(), err)
}

// Marshal is the JSON of a document that goes to the engine.
func Marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("internal error: cannot write a document for the engine: %w", err)
	}
	return data, nil
}

// Unmarshal reads a document of the engine.
func Unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("cannot read the engine's answer (%w): run \"orlop engine restart\"", err)
	}
	return nil
}
