package inventory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// Image are the verbs about images.
func (v *Verbs) Image() []*cobra.Command {
	return []*cobra.Command{v.imageHistory(), v.imageInspect(), v.imageLoad(), v.imageLs(), v.imageRm(), v.imageSave(), v.imageTag()}
}

// imageLine is an image as "image ls --format json" prints it.
type imageLine struct {
	Name      string
	Digest    string
	ID        string
	Size      int64
	CreatedAt string
	Platforms []string
}

func (v *Verbs) imageLs() *cobra.Command {
	var quiet bool
	var format string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List images", Example: "  orlop image ls --format json", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				reply, err := client.Images(ctx, &api.ImagesRequest{})
				if err != nil {
					return err
				}
				slices.SortFunc(reply.Images, func(x, y *api.ImageInfo) int { return cmp.Compare(x.Name, y.Name) })
				return v.printImages(reply.Images, quiet, format)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "IDs only")
	c.Flags().StringVar(&format, "format", "table", "table or json")
	return c
}

func (v *Verbs) printImages(images []*api.ImageInfo, quiet bool, format string) error {
	w := v.Of().Stdout
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	if !quiet && format == "table" {
		fmt.Fprintln(t, "NAME\tID\tCREATED\tSIZE")
	}
	for _, i := range images {
		created := time.UnixMilli(i.CreatedUnixMs)
		if i.CreatedUnixMs == 0 {
			created = time.Time{}
		}
		switch {
		case quiet:
			fmt.Fprintln(t, cmp.Or(i.Id, i.Digest))
		case format == "json":
			err := json.NewEncoder(t).Encode(imageLine{
				Name: i.Name, Digest: i.Digest, ID: i.Id, Size: i.SizeBytes, CreatedAt: created.UTC().Format(time.RFC3339), Platforms: i.Platforms,
			})
			if err != nil {
				return err
			}
		default:
			when := "-"
			if !created.IsZero() {
				when = display.Ago(v.Of().Now(), created)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", i.Name, display.ShortDigest(cmp.Or(i.Id, i.Digest)), when, display.Bytes(i.SizeBytes))
		}
	}
	return t.Flush()
}

func (v *Verbs) imageRm() *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use: "rm NAME...", Aliases: []string{"remove"}, Short: "Remove images", Example: "  orlop image rm shop-api",
		Args: cli.AtLeast(1, "an image"),
		RunE: func(c *cobra.Command, names []string) error {
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				var errs []error
				for _, name := range names {
					_, err := client.RemoveImage(ctx, &api.RemoveImageRequest{Name: name, Force: force})
					errs = append(errs, cli.Cause(ctx, err))
				}
				return errors.Join(errs...)
			})
		},
	}
	c.Flags().BoolVarP(&force, "force", "f", false, "even if containers use it")
	return c
}

func (v *Verbs) imageTag() *cobra.Command {
	return &cobra.Command{
		Use: "tag SOURCE TARGET", Short: "Give an image another name", Example: "  orlop image tag shop-api registry.example/api:2",
		Args: cobra.MatchAll(cli.AtLeast(2, "a source and a target"), cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				_, err := client.TagImage(ctx, &api.TagRequest{Source: args[0], Target: args[1]})
				return err
			})
		},
	}
}
