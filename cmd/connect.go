package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/keeper"
)

// answerTimeout is how long the engine may take for its first answer. One that
// was killed is back within a second; what takes longer hangs.
const answerTimeout = 30 * time.Second

// errHangs is the cause of what is given up because the engine does not answer.
var errHangs = errors.New("the engine does not answer")

// connect gives a client of the engine, which it starts when none answers.
func (a *app) connect(ctx context.Context) (*api.Client, error) {
	client, err := api.Dial(ctx, a.socket())
	if errors.Is(err, api.ErrAbsent) {
		if err := a.startEngine(ctx); err != nil {
			return nil, err
		}
		client, err = api.Dial(ctx, a.socket())
	}
	if err != nil {
		return nil, a.dialError(err)
	}
	client.Verb = a.verb
	status, err := a.greet(ctx, client)
	if err != nil {
		client.Close()
		return nil, err
	}
	if err := api.CheckEngine(status, a.world.Version); err != nil {
		client.Close()
		return nil, err
	}
	if status.Version != a.world.Version {
		fmt.Fprintln(a.world.Stderr, a.errStyle().yellow(fmt.Sprintf(
			"engine is %s, command is %s: run \"orlop engine restart\"; containers keep running", status.Version, a.world.Version)))
	}
	return client, nil
}

// greet waits for the engine's first answer.
func (a *app) greet(ctx context.Context, client *api.Client) (*api.StatusReply, error) {
	late := fmt.Errorf("%w at %s: see \"orlop engine logs\", or run \"orlop engine restart\"", errHangs, a.socket())
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, late)
	defer cancel()
	status, err := client.Status(ctx, &api.StatusRequest{})
	return status, cause(ctx, err)
}

func (a *app) startEngine(ctx context.Context) error {
	if !a.world.Root {
		return fmt.Errorf("no engine runs at %s, and only root may start one: run \"sudo orlop engine start\"", a.socket())
	}
	return a.world.StartEngine(ctx, a.rootDir(), a.stateDir())
}

func (a *app) dialError(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("only root may talk to the engine at %s: run the command with sudo", a.socket())
	}
	return fmt.Errorf("cannot reach the engine at %s: %w", a.socket(), err)
}

// StartKeeper starts the keeper that is installed with the command: beside it,
// or in ../libexec/orlop.
func StartKeeper(ctx context.Context, root, state string) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("cannot tell where the command is installed: %w", err)
	}
	path, err := findKeeper(self)
	if err != nil {
		return err
	}
	return keeper.Start(ctx, keeper.StartOptions{Path: path, Root: root, State: state})
}

func findKeeper(self string) (string, error) {
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	dir := filepath.Dir(self)
	places := []string{filepath.Join(dir, "orlopd"), filepath.Join(filepath.Dir(dir), "libexec", "orlop", "orlopd")}
	for _, path := range places {
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot start the engine: orlopd is neither at %s nor at %s: install Orlop whole (make install)", places[0], places[1])
}

// marshal is the JSON of a document that goes to the engine.
func marshal(v any) ([]byte, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("internal error: cannot write a document for the engine: %w", err)
	}
	return data, nil
}

// unmarshal reads a document of the engine.
func unmarshal(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("cannot read the engine's answer (%w): run \"orlop engine restart\"", err)
	}
	return nil
}
