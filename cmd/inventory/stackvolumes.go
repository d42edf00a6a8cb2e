package inventory

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/format"
	"github.com/orlop/orlop/planner"
)

// StackVolumes is the verb that lists the volumes of a stack.
func (v *Verbs) StackVolumes() *cobra.Command {
	var quiet bool
	var text string
	c := &cobra.Command{
		Use: "volumes [SERVICE...]", Short: "List the volumes of the stack", Example: "  orlop volumes db",
		RunE: func(c *cobra.Command, services []string) error {
			print, err := volumeFormat()(text)
			if err != nil {
				return err
			}
			return v.Of().WithStack(c.Context(), services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
				return v.stackVolumes(ctx, client, s, services, quiet, print)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "names only")
	c.Flags().StringVar(&text, "format", "table", format.Help)
	return c
}

func (v *Verbs) stackVolumes(ctx context.Context, client *api.Client, s cli.Stack, services []string, quiet bool, print printing) error {
	list, err := volumeThings(ctx, client)
	if err != nil {
		return err
	}
	containers, err := cli.Observe(ctx, client, s)
	if err != nil {
		return err
	}
	isUser := func(name string) bool {
		return slices.ContainsFunc(containers, func(c planner.Container) bool { return c.Name == name && slices.Contains(services, c.Service) })
	}
	list = slices.DeleteFunc(list, func(r resource) bool {
		return r.project != s.Name || len(services) > 0 && !slices.ContainsFunc(r.users, isUser)
	})
	return printResources(v.Of().Stdout, volumeHeader, list, quiet, print)
}
