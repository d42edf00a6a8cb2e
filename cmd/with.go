package cmd

import (
	"context"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
)

// withEngine connects, runs f, and disconnects.
func (a *app) withEngine(ctx context.Context, f func(context.Context, *api.Client) error) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return cli.Cause(ctx, f(ctx, client))
}

// withStack tells which project a verb about what runs means, connects, runs f,
// and disconnects. services are those that the verb names.
func (a *app) withStack(ctx context.Context, services []string, f func(context.Context, *api.Client, cli.Stack) error) error {
	ctx, cancel := a.Interruptible(ctx)
	defer cancel()
	s, err := a.Identify(ctx, services)
	if err != nil {
		return err
	}
	client, err := a.Connect(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	return cli.Cause(ctx, f(ctx, client, s))
}
