package inventory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// Image are the verbs about images.
func (v *Verbs) Image() []*cobra.Command {
	return []*cobra.Command{v.imageHistory(), v.imageInspect(), v.imageLoad(), v.imageLs(), v.imagePrune(), v.imageRm(), v.imageSave(), v.imageTag()}
}

// imageLine is an image as "image ls --format json" prints it, and as templates see it.
type imageLine struct {
	Name         string
	Repository   string
	Tag          string
	Digest       string
	ID           string
	Size         int64 // of its layers on the disk, in bytes
	SharedSize   int64 // of those that another image has too
	UniqueSize   int64
	CreatedAt    string
	CreatedSince string
	Platforms    []string
	UsedBy       []string // names of containers
}

func (v *Verbs) lineOf(i *api.ImageInfo) imageLine {
	l := imageLine{
		Name: i.Name, Repository: i.Name, Digest: i.Digest, ID: i.Id, Size: i.DiskBytes, SharedSize: i.SharedBytes, UniqueSize: i.DiskBytes - i.SharedBytes,
		CreatedAt: time.Time{}.Format(time.RFC3339), CreatedSince: "-", Platforms: i.Platforms, UsedBy: []string{},
	}
	if at := strings.LastIndexByte(i.Name, ':'); at > strings.LastIndexByte(i.Name, '/') && !strings.Contains(i.Name, "@") {
		l.Repository, l.Tag = i.Name[:at], i.Name[at+1:]
	}
	if i.CreatedUnixMs != 0 {
		created := time.UnixMilli(i.CreatedUnixMs)
		l.CreatedAt, l.CreatedSince = created.UTC().Format(time.RFC3339), display.Ago(v.Of().Now(), created)
	}
	for _, u := range i.Users {
		l.UsedBy = append(l.UsedBy, u.Container)
	}
	return l
}

func (v *Verbs) imageLs() *cobra.Command {
	var quiet bool
	var format string
	c := &cobra.Command{
		Use: "ls", Aliases: []string{"list"}, Short: "List images, with what they take on the disk and who uses them",
		Example: "  orlop image ls --format json\n  orlop image ls --format '{{.Name}} {{.Digest}}'", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			shape, err := imageTemplate(format)
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				reply, err := client.Images(ctx, &api.ImagesRequest{Sizes: !quiet})
				if err != nil {
					return err
				}
				slices.SortFunc(reply.Images, func(x, y *api.ImageInfo) int { return cmp.Compare(x.Name, y.Name) })
				return v.printImages(reply.Images, quiet, format, shape)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "IDs only")
	c.Flags().StringVar(&format, "format", "table", "table, json or a Go template such as '{{.Name}}'")
	return c
}

// imageTemplate is the template that a format is; nil of table and json.
func imageTemplate(format string) (*template.Template, error) {
	if !strings.Contains(format, "{{") {
		return nil, cli.Choice("format", format, "table", "json")
	}
	t, err := template.New("").Parse(strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(strings.TrimPrefix(format, "table ")))
	if err == nil {
		err = t.Execute(io.Discard, imageLine{})
	}
	if err != nil {
		return nil, fmt.Errorf("--format is %q: %s", format, strings.TrimPrefix(err.Error(), "template: :"))
	}
	return t, nil
}

// mostUsers is how many containers a row names.
const mostUsers = 3

func (v *Verbs) printImages(images []*api.ImageInfo, quiet bool, format string, shape *template.Template) error {
	t := tabwriter.NewWriter(v.Of().Stdout, 0, 0, 3, ' ', 0)
	if !quiet && format == "table" {
		fmt.Fprintln(t, "NAME\tDIGEST\tCREATED\tSIZE\tSHARED\tUNIQUE\tUSED BY")
	}
	for _, i := range images {
		l := v.lineOf(i)
		var err error
		switch {
		case quiet:
			fmt.Fprintln(t, cmp.Or(l.ID, l.Digest))
		case shape != nil:
			err = shape.Execute(t, l)
			fmt.Fprintln(t)
		case format == "json":
			err = json.NewEncoder(t).Encode(l)
		default:
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, display.ShortDigest(l.Digest), l.CreatedSince,
				display.Bytes(l.Size), display.Bytes(l.SharedSize), display.Bytes(l.UniqueSize), userNames(l.UsedBy))
		}
		if err != nil {
			return err
		}
	}
	return t.Flush()
}

func userNames(all []string) string {
	switch {
	case len(all) == 0:
		return "-"
	case len(all) > mostUsers:
		return fmt.Sprintf("%s and %d more", strings.Join(all[:mostUsers-1], ", "), len(all)-mostUsers+1)
	}
	return strings.Join(all, ", ")
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
