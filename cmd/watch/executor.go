package watch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// executor carries out what a watch decides, by the calls that the other
// verbs make too.
type executor struct {
	*cli.Invocation
	client *api.Client
	source cli.Source
	ask    bool
	// confirm asks by a key of the menu; nil: there is none.
	confirm func(ctx context.Context, question string) bool

	mu      sync.Mutex    // guards project
	project *spec.Project // as it was applied last
}

func (c *executor) current() *spec.Project {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.project
}

// A message of a sync carries up to so many entries and bytes.
const (
	syncEntries = 256
	syncBytes   = 1 << 20
)

// Sync writes entries into all containers of a service.
func (c *executor) Sync(ctx context.Context, service string, each func(put func(loop.Entry) error) error) (loop.Synced, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.client.Sync(ctx)
	if err != nil {
		return loop.Synced{}, cli.Cause(ctx, err)
	}
	msg, size := &api.SyncInput{Project: c.current().Name, Service: service}, 0
	flush := func() error {
		err := stream.Send(msg)
		msg, size = &api.SyncInput{}, 0
		return err
	}
	err = each(func(e loop.Entry) error {
		msg.Entries = append(msg.Entries, syncEntry(e))
		if size += len(e.Content); size >= syncBytes || len(msg.Entries) >= syncEntries {
			return flush()
		}
		return nil
	})
	if err == nil {
		err = flush()
	}
	if err != nil && !errors.Is(err, io.EOF) { // what ended the stream comes with its end
		return loop.Synced{}, cli.Cause(ctx, err)
	}
	reply, err := stream.CloseAndRecv()
	if status.Code(err) == codes.FailedPrecondition {
		return loop.Synced{}, c.absence(ctx, service)
	}
	if err != nil {
		return loop.Synced{}, cli.Cause(ctx, err)
	}
	done := loop.Synced{Files: int(reply.Files), Removed: int(reply.Removed)}
	if reply.Still == reply.Containers {
		done.Still = c.absence(ctx, service)
	}
	for _, f := range reply.Failures {
		done.Failures = append(done.Failures, loop.Failure{Container: f.Container, Path: f.Path, Message: f.Error})
	}
	if reply.Cut != "" {
		return done, errors.New(reply.Cut)
	}
	return done, nil
}

func syncEntry(e loop.Entry) *api.SyncEntry {
	out := &api.SyncEntry{Path: e.Path, Mode: uint32(e.Mode), Link: e.Link, Content: e.Content, Unfinished: e.Unfinished,
		InPlace: e.InPlace, Anew: e.Anew}
	switch e.Kind {
	case loop.File:
		out.Kind = api.SyncEntry_FILE
	case loop.Directory:
		out.Kind = api.SyncEntry_DIRECTORY
	case loop.Symlink:
		out.Kind = api.SyncEntry_SYMLINK
	case loop.Removal:
		out.Kind = api.SyncEntry_REMOVE
	case loop.More:
		out.Kind = api.SyncEntry_MORE
	}
	return out
}

// Restart restarts the containers of a service.
func (c *executor) Restart(ctx context.Context, service string) error {
	return c.lifecycle(ctx, planner.Restart, nil, service)
}

// RestartAll restarts services as one restart of them all.
func (c *executor) RestartAll(ctx context.Context, services []string, ended func(service string, err error)) error {
	containers, err := cli.Observe(ctx, c.client, cli.Stack{Name: c.current().Name})
	if err != nil {
		return err
	}
	services = slices.DeleteFunc(slices.Clone(services), func(name string) bool {
		return !slices.ContainsFunc(containers, func(k planner.Container) bool {
			return k.Service == name && !k.OneOff && !k.IsCompleted()
		})
	})
	if len(services) == 0 {
		return nil // none would stand for all
	}
	outcomes := restarts{}
	err = c.lifecycle(ctx, planner.Restart, outcomes.event, services...)
	for _, name := range slices.Sorted(maps.Keys(outcomes)) {
		ended(name, outcomes[name])
	}
	if outcomes.failed() && ctx.Err() == nil {
		return nil // told
	}
	return err
}

// restarts is how the restart of each service ended.
type restarts map[string]error

func (r restarts) event(e planner.Event) {
	switch {
	case e.Kind == planner.Failed && r[e.Service] == nil:
		r[e.Service] = &loop.OutputError{Message: e.Text, Lines: e.Lines}
	case e.Kind == planner.Skipped && r[e.Service] == nil:
		r[e.Service] = errors.New(e.Text)
	case e.Kind == planner.Done && e.Action == planner.Restart && r[e.Service] == nil:
		r[e.Service] = nil
	}
}

func (r restarts) failed() bool {
	for _, err := range r {
		if err != nil {
			return true
		}
	}
	return false
}

func (c *executor) lifecycle(ctx context.Context, action planner.Action, event func(planner.Event), services ...string) error {
	stream, err := c.client.Lifecycle(ctx, &api.LifecycleRequest{Project: c.current().Name, Action: string(action), Services: services})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	_, err = cli.Follow(ctx, stream, nil, event)
	return withOutput(err)
}

// Exec runs a command in each running container of a service.
func (c *executor) Exec(ctx context.Context, service string, hook *spec.Hook) (output []string, err error) {
	containers, err := cli.Observe(ctx, c.client, cli.Stack{Name: c.current().Name})
	if err != nil {
		return nil, err
	}
	var env []string
	for _, name := range slices.Sorted(maps.Keys(hook.Environment)) {
		if value := hook.Environment[name]; value != nil {
			env = append(env, name+"="+*value)
		}
	}
	for _, k := range containers {
		if k.Service != service || k.OneOff || k.State != planner.Running {
			continue
		}
		start := &api.ProcessStart{
			Project: c.current().Name, Container: k.ID, Command: hook.Command, User: hook.User,
			WorkingDir: hook.WorkingDir, Privileged: hook.Privileged, Environment: cli.FillEnvironment(env, c.current().Variables),
		}
		printed, err := c.execOne(ctx, start)
		if err != nil {
			return output, err
		}
		output = append(output, printed...)
	}
	return output, nil
}

// execOne gives the end of what the command printed.
func (c *executor) execOne(ctx context.Context, start *api.ProcessStart) ([]string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.client.Exec(ctx)
	if err == nil {
		err = stream.Send(&api.ProcessInput{Of: &api.ProcessInput_Start{Start: start}})
	}
	if err != nil && !errors.Is(err, io.EOF) { // what ended the stream comes with its end
		return nil, cli.Cause(ctx, err)
	}
	output := display.Tail{Most: hookLines}
	for {
		m, err := stream.Recv()
		if err != nil {
			return nil, cli.Cause(ctx, err)
		}
		switch of := m.Of.(type) {
		case *api.ProcessOutput_Stdout:
			_, _ = output.Write(of.Stdout)
		case *api.ProcessOutput_Stderr:
			_, _ = output.Write(of.Stderr)
		case *api.ProcessOutput_ExitCode:
			if of.ExitCode == 0 {
				return output.Marked(), nil
			}
			return nil, &loop.OutputError{Message: fmt.Sprintf("exit code %d", of.ExitCode), Lines: output.Marked()}
		}
	}
}

// hookLines is how many of its last lines are shown of what a command printed.
const hookLines = 100
