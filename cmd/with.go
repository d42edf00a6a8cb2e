package cmd

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/vault"
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

// vaultVerbs are those about secrets or configs that the engine keeps.
func (a *app) vaultVerbs(kind string) []*cobra.Command {
	v := &vault.Verbs{
		Kind:    kind,
		Streams: func() (io.Reader, io.Writer) { return a.Stdin, a.Stdout },
		With: func(ctx context.Context, f func(context.Context, api.VaultClient) error) error {
			return a.withEngine(ctx, func(ctx context.Context, client *api.Client) error { return f(ctx, client.Vault) })
		},
	}
	return v.Commands()
}

func (a *app) secretCommand() *cobra.Command {
	return verbGroup("secret", "Secrets that the engine keeps for stacks", "  orlop secret create token token.txt\n  orlop secret ls", a.vaultVerbs("secret")...)
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
