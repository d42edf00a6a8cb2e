package inventory

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
)

// stackImage is the image of a container as "images --format json" prints it: Compose's
// fields, then ours.
type stackImage struct {
	ID            string
	ContainerName string
	Repository    string
	Tag           string
	Platform      string
	Size          int64      // of its layers on the disk, in bytes
	Created       *time.Time `json:",omitempty"`
	Service       string
	Image         string // as the stack names it
	Digest        string
}

func stackImageHeaders() format.Headers {
	return format.Headers{
		"ID": "IMAGE ID", "ContainerName": "CONTAINER", "Repository": "REPOSITORY", "Tag": "TAG", "Platform": "PLATFORM", "Size": "SIZE", "Created": "CREATED", "Service": "SERVICE", "Image": "IMAGE", "Digest": "DIGEST",
	}
}

// StackImages is the verb that lists the images of a stack.
func (v *Verbs) StackImages() *cobra.Command {
	var quiet bool
	var text string
	c := &cobra.Command{
		Use: "images [SERVICE...]", Short: "List the images that the containers are made from", Example: "  orlop images\n  orlop images --format '{{.Service}} {{.Repository}}:{{.Tag}}'",
		RunE: func(c *cobra.Command, services []string) error {
			shape, err := format.Parse[stackImage](text, "images", stackImageHeaders())
			if err != nil {
				return err
			}
			return v.Of().WithStack(c.Context(), services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
				lines, err := stackImages(ctx, client, s, services)
				if err != nil {
					return err
				}
				return v.printStackImages(lines, quiet, shape)
			})
		},
	}
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "IDs only, each once")
	c.Flags().StringVar(&text, "format", "table", format.Help)
	return c
}

// stackImages are the images of a stack's containers, with what is known of those that are
// still here.
func stackImages(ctx context.Context, client *api.Client, s cli.Stack, services []string) ([]stackImage, error) {
	containers, err := cli.Observe(ctx, client, s)
	if err != nil {
		return nil, err
	}
	reply, err := client.Images(ctx, &api.ImagesRequest{Sizes: true})
	if err != nil {
		return nil, err
	}
	lines := []stackImage{}
	for i := range containers {
		c := &containers[i]
		if len(services) > 0 && !slices.Contains(services, c.Service) {
			continue
		}
		line := stackImage{ContainerName: c.Name, Service: c.Service, Image: display.ImageText(c, s.Name)}
		if c.Applied != nil {
			line.Digest = c.Applied.Image
			line.describe(imageWith(reply.Images, line.Digest, line.Image))
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// imageWith is the image of a digest: by the name that is asked for, or any that it has.
func imageWith(all []*api.ImageInfo, digest, name string) (found *api.ImageInfo) {
	for _, i := range all {
		if i.Digest == digest && (found == nil || strings.Contains(i.Name, name)) {
			found = i
		}
	}
	return found
}

func (l *stackImage) describe(i *api.ImageInfo) {
	if i == nil { // it was removed under its container
		return
	}
	l.ID, l.Size, l.Repository = cmp.Or(i.Id, i.Digest), i.DiskBytes, familiar(i.Name)
	if at := strings.LastIndexByte(i.Name, ':'); at > strings.LastIndexByte(i.Name, '/') && !strings.Contains(i.Name, "@") {
		l.Repository, l.Tag = familiar(i.Name[:at]), i.Name[at+1:]
	}
	l.Platform = strings.Join(i.Platforms, ",")
	if i.CreatedUnixMs != 0 {
		created := time.UnixMilli(i.CreatedUnixMs).UTC()
		l.Created = &created
	}
}

// familiar is the name of a repository without the registry and the name space that are
// meant where none is written, as Docker shows it.
func familiar(repository string) string {
	rest, isDefault := strings.CutPrefix(repository, "docker.io/")
	if !isDefault {
		return repository
	}
	return strings.TrimPrefix(rest, "library/")
}

func (v *Verbs) printStackImages(lines []stackImage, quiet bool, shape *format.Format[stackImage]) error {
	switch {
	case quiet:
		return printImageIDs(v.Of().Stdout, lines)
	case shape.IsJSON(): // as Compose has it, in one
		return json.NewEncoder(v.Of().Stdout).Encode(lines)
	case !shape.IsTable():
		return shape.Print(v.Of().Stdout, lines)
	}
	t := display.NewTable(v.Of().Stdout)
	fmt.Fprintln(t, "CONTAINER\tREPOSITORY\tTAG\tPLATFORM\tIMAGE ID\tSIZE\tCREATED")
	for _, l := range lines {
		created := "unknown"
		if l.Created != nil {
			created = display.Ago(v.Of().Now(), *l.Created)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.ContainerName, cmp.Or(l.Repository, l.Image), cmp.Or(l.Tag, "<none>"), l.Platform,
			display.ShortDigest(cmp.Or(l.ID, l.Digest)), display.Bytes(l.Size), created)
	}
	return t.Flush()
}

// printImageIDs prints the ID of each image once and bare, as Compose does; of one that was removed under its container, its digest.
func printImageIDs(w io.Writer, lines []stackImage) error {
	t := display.NewTable(w)
	printed := map[string]bool{}
	for _, l := range lines {
		if _, id, _ := strings.Cut(cmp.Or(l.ID, l.Digest), ":"); id != "" && !printed[id] {
			printed[id] = true
			fmt.Fprintln(t, id)
		}
	}
	return t.Flush()
}
