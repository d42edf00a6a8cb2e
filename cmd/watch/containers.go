package watch

import (
	"context"
	"errors"
	"io"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/watch/loop"
	"github.com/orlop/orlop/planner"
)

// followContainers tells which containers run, from engine to engine.
func followContainers(ctx context.Context, client *api.Client, project string, out chan<- loop.Container) error {
	known := true // what runs when the watch begins
	return cli.AcrossEngines(ctx, func() error {
		defer func() { known = false }()
		return followOnce(ctx, client, project, known, out)
	})
}

func followOnce(ctx context.Context, client *api.Client, project string, known bool, out chan<- loop.Container) error {
	stream, err := client.Watch(ctx, &api.ObserveRequest{Project: project})
	if err != nil {
		return cli.Cause(ctx, err)
	}
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return api.ErrLost
		}
		if err != nil {
			return cli.Cause(ctx, err)
		}
		if m.Synced {
			continue
		}
		c, err := m.Container.Planner()
		if err != nil {
			return err
		}
		if c.OneOff {
			continue
		}
		running := c.State == planner.Running && !m.Removed
		select {
		case out <- loop.Container{Service: c.Service, ID: c.ID, Running: running, Known: known && m.Initial}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
