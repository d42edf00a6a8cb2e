package container

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/format"
)

func (v *Verbs) inspect() *cobra.Command {
	var text string
	c := &cobra.Command{
		Use: "inspect CONTAINER...", Short: "Tell how containers are made and how they stand, in Docker's words", Args: cli.AtLeast(1, "a container"),
		Example:           "  orlop container inspect -f '{{.State.Health.Status}}' shop-db-1\n  orlop container inspect shop-web-1",
		ValidArgsFunction: v.complete,
		RunE: func(c *cobra.Command, names []string) error {
			print, err := format.Documents(text)
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				found, missing := find(ctx, client, names)
				all, err := members(ctx, client)
				if err != nil {
					return err
				}
				list := []any{}
				for _, m := range found {
					m.owners = ownersOf(&m, all)
					details, err := client.Container.Inspect(ctx, &api.InspectContainerRequest{Id: m.ID})
					if err != nil {
						return err
					}
					doc, err := documentOf(&m, details)
					if err != nil {
						return err
					}
					list = append(list, doc)
				}
				out, err := print(list)
				if err == nil {
					_, err = v.Of().Stdout.Write(out)
				}
				return errors.Join(missing, err)
			})
		},
	}
	c.Flags().StringVarP(&text, "format", "f", "json", format.DocumentsHelp)
	c.Flags().Bool("size", false, "")
	c.Flags().Lookup("size").Hidden = true
	return c
}
