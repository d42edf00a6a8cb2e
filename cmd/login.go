package cmd

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/registries"
)

func (a *app) loginCommand() *cobra.Command {
	var f registries.LoginFlags
	c := &cobra.Command{
		Use:   "login [REGISTRY]",
		Short: "Log in at a registry; without one, at Docker Hub",
		Example: "  orlop login registry.example\n" +
			"  orlop login registry.example -u ann --password-stdin < token",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if f.FromStdin && f.Password != "" {
				return errors.New("--password and --password-stdin both give the password: leave one out")
			}
			if f.Password != "" {
				a.SayNotice("--password can be read by others on this machine: use --password-stdin")
			}
			return a.WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return registries.Login(ctx, a.Invocation, client, append(args, "")[0], f)
			})
		},
	}
	c.Flags().StringVarP(&f.User, "username", "u", "", "`name` of the user")
	c.Flags().StringVarP(&f.Password, "password", "p", "", "`password` or token, which others on this machine can read")
	c.Flags().BoolVar(&f.FromStdin, "password-stdin", false, "read the password from standard input")
	return c
}

func (a *app) logoutCommand() *cobra.Command {
	return &cobra.Command{
		Use: "logout [REGISTRY]", Short: "Forget the login at a registry; without one, at Docker Hub", Example: "  orlop logout registry.example",
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ctx, cancel := a.Interruptible(c.Context())
			defer cancel()
			return registries.Logout(ctx, a.Invocation, append(args, "")[0])
		},
	}
}
