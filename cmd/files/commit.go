package files

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
)

// Commit is the verb commit, of a service.
func (v *Verbs) Commit() *cobra.Command {
	var index int32
	c := &cobra.Command{
		Use: "commit SERVICE [NAME[:TAG]]", Short: "Make an image of a service's container",
		Example: "  orlop commit db shop-db:seeded\n  orlop commit -c 'ENV DEBUG=1' -m 'with traces' api api:debug",
		Args:    cobra.MatchAll(cli.AtLeast(1, "a service"), cobra.MaximumNArgs(2)),
	}
	c.Flags().Int32Var(&index, "index", 0, "`number` of the container; the first without it")
	return v.committing(c, func(name string) cli.Target { return cli.Target{Service: name, Index: index} })
}

// ContainerCommit is the verb "container commit".
func (v *Verbs) ContainerCommit() *cobra.Command {
	return v.committing(&cobra.Command{
		Use: "commit CONTAINER [NAME[:TAG]]", Short: "Make an image of a container",
		Example: "  orlop container commit shop-db-1 shop-db:seeded",
		Args:    cobra.MatchAll(cli.AtLeast(1, "a container"), cobra.MaximumNArgs(2)),
	}, func(name string) cli.Target { return cli.Target{Container: name} })
}

func (v *Verbs) committing(c *cobra.Command, of func(string) cli.Target) *cobra.Command {
	r := &api.CommitRequest{}
	c.Long = c.Short + ".\n\n" +
		"What it has written becomes a layer on those of its image; what is mounted in it does not.\n" +
		"The image says of itself what the container was made with: its command, environment and so on."
	c.Flags().StringVarP(&r.Author, "author", "a", "", "`name` of who has made it")
	c.Flags().StringVarP(&r.Message, "message", "m", "", "`text` for the image's history")
	c.Flags().StringArrayVarP(&r.Changes, "change", "c", nil, "`instruction` of a Dockerfile that the image gets: CMD, ENV, USER, ...")
	c.Flags().BoolVarP(&r.Pause, "pause", "p", true, "hold the container's processes still meanwhile")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) > 1 {
			r.Name = args[1]
		}
		return v.Of().WithTarget(c.Context(), of(args[0]), func(ctx context.Context, client *api.Client, target *api.ContainerRequest) error {
			r.Of = target
			if v.Of().DryRun {
				_, err := fmt.Fprintf(v.Of().Stdout, " + image %s   of a container of %s\n", cmp.Or(r.Name, "without a name"), args[0])
				return err
			}
			made, err := client.File.Commit(ctx, r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(v.Of().Stdout, made.Id)
			return err
		})
	}
	return c
}
