package files

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// change is a file as "diff --format json" prints it.
type change struct {
	Kind  string // A, C or D
	Path  string
	Size  int64  `json:",omitempty"`
	Layer string `json:",omitempty"` // of two images: the one that it comes with
}

// Diff is the verb "container diff".
func (v *Verbs) Diff() *cobra.Command {
	var format string
	var index int32
	c := &cobra.Command{
		Use: "diff CONTAINER|SERVICE", Short: "List the files in which a container differs from its image",
		Long: "List the files in which a container differs from its image: A was added, C changed, D deleted.\n" +
			"What is mounted in it is no part of it.",
		Example: "  orlop container diff web\n  orlop container diff --format json shop-web-2",
		Args:    cobra.MatchAll(cli.AtLeast(1, "a container or a service"), cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			target := cli.Target{Container: args[0], Service: args[0], Index: index}
			return v.Of().WithTarget(c.Context(), target, func(ctx context.Context, client *api.Client, r *api.ContainerRequest) error {
				stream, err := client.File.Changes(ctx, r)
				if err != nil {
					return cli.Cause(ctx, err)
				}
				return printChanges(ctx, v.Of().Stdout, stream.Recv, format, false)
			})
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or json")
	c.Flags().Int32Var(&index, "index", 0, "`number` of the service's container; the first without it")
	return c
}

// ImageDiff is the verb "image diff".
func (v *Verbs) ImageDiff() *cobra.Command {
	var format, platform string
	c := &cobra.Command{
		Use: "diff FROM TO", Short: "List the files in which two images differ, with the layers that they come with",
		Example: "  orlop image diff api:1 api:2",
		Args:    cobra.MatchAll(cli.AtLeast(2, "two images"), cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			if err := cli.Choice("format", format, "table", "json"); err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				stream, err := client.File.Compare(ctx, &api.CompareRequest{From: args[0], To: args[1], Platform: platform})
				if err != nil {
					return cli.Cause(ctx, err)
				}
				return printChanges(ctx, v.Of().Stdout, stream.Recv, format, true)
			})
		},
	}
	c.Flags().StringVar(&format, "format", "table", "table or json")
	c.Flags().StringVar(&platform, "platform", "", "the images of a `platform`")
	return c
}

func printChanges(ctx context.Context, w io.Writer, recv func() (*api.FileChanges, error), format string, layers bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for {
		m, err := recv()
		if errors.Is(err, io.EOF) {
			return t.Flush()
		}
		if err != nil {
			return cli.Cause(ctx, err)
		}
		for _, c := range m.Changes {
			if err := printChange(t, c, format, layers); err != nil {
				return err
			}
		}
	}
}

func printChange(t io.Writer, c *api.FileChange, format string, layers bool) error {
	if format == "json" {
		return json.NewEncoder(t).Encode(change{Kind: c.Kind, Path: string(c.Path), Size: c.Size, Layer: c.Layer})
	}
	text := c.Kind + " " + display.Printable(string(c.Path))
	size := ""
	if c.File && c.Kind == "A" {
		size = display.Bytes(c.Size)
	}
	switch {
	case layers && c.Layer != "":
		text += "\t" + size + "\t" + display.ShortDigest(c.Layer)
	case size != "":
		text += "\t" + size
	}
	_, err := fmt.Fprintln(t, text)
	return err
}
