package inventory

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/cmd/format"
)

// historyLine is a step of an image as "image history --format json" prints it, in Docker's
// names.
type historyLine struct {
	ID           string
	CreatedAt    string
	CreatedSince string
	CreatedBy    string
	Size         int64
	Comment      string
}

func historyHeaders() format.Headers {
	return format.Headers{"ID": "LAYER", "CreatedAt": "CREATED AT", "CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Size": "SIZE", "Comment": "COMMENT"}
}

func (v *Verbs) imageHistory() *cobra.Command {
	var whole, quiet bool
	var text, platform string
	c := &cobra.Command{
		Use: "history IMAGE", Short: "Show the steps that an image was made by", ValidArgsFunction: v.complete(imageNames), Args: cobra.MatchAll(cli.AtLeast(1, "an image"), cobra.MaximumNArgs(1)),
		Long: "Show the steps that an image was made by, the last one first, each with what it has added on the disk. A step with a size of its own is a layer,\n" +
			"which other images may have too; what a later layer deletes still counts.",
		Example: "  orlop image history shop-api\n  orlop image history --no-trunc --format json 3f57d9401f8d",
		RunE: func(c *cobra.Command, args []string) error {
			f, err := format.Parse[historyLine](text, "steps", historyHeaders())
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				d, err := client.Image.Describe(ctx, &api.DescribeRequest{Name: args[0], Platform: platform})
				if err != nil {
					return err
				}
				return v.printHistory(d, whole, quiet, f)
			})
		},
	}
	c.Flags().BoolVar(&whole, "no-trunc", false, "whole instructions and digests")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "digests of layers only")
	c.Flags().StringVar(&text, "format", "table", format.Help)
	c.Flags().StringVar(&platform, "platform", "", "the image of a `platform`")
	return c
}

func (v *Verbs) printHistory(d *api.ImageDetails, whole, quiet bool, f *format.Format[historyLine]) error {
	lines := v.historyLines(d)
	if !quiet && !f.IsTable() {
		return f.Print(v.Of().Stdout, lines)
	}
	t := display.NewTable(v.Of().Stdout)
	if !quiet {
		fmt.Fprintln(t, "LAYER\tCREATED\tCREATED BY\tSIZE\tCOMMENT")
	}
	for _, l := range lines {
		switch {
		case !quiet:
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", cmp.Or(shown(l.ID, whole), "-"), cmp.Or(l.CreatedSince, "-"), cut(l.CreatedBy, whole), display.Bytes(l.Size), cut(l.Comment, whole))
		case l.ID != "":
			fmt.Fprintln(t, l.ID)
		}
	}
	return t.Flush()
}

// historyLines are the steps of an image, the last one first.
func (v *Verbs) historyLines(d *api.ImageDetails) (lines []historyLine) {
	for i := len(d.History) - 1; i >= 0; i-- {
		step := d.History[i]
		line := historyLine{CreatedBy: oneLine(step.By), Comment: oneLine(step.Comment)}
		if step.Layer > 0 {
			layer := d.Layers[step.Layer-1]
			line.ID, line.Size = layer.DiffId, max(layer.UnpackedBytes, 0)
		}
		if step.CreatedUnixMs != 0 {
			at := time.UnixMilli(step.CreatedUnixMs)
			line.CreatedAt, line.CreatedSince = at.UTC().Format(time.RFC3339), display.Ago(v.Of().Now(), at)
		}
		lines = append(lines, line)
	}
	return lines
}

// shown is a digest as people read it, or whole.
func shown(digest string, whole bool) string {
	if whole {
		return digest
	}
	return display.ShortDigest(digest)
}

// oneLine is a text that an image has, on a line of its own.
func oneLine(text string) string { return strings.Join(strings.Fields(display.Printable(text)), " ") }

// cut is what a column has of a text.
func cut(text string, whole bool) string {
	const most = 60
	if runes := []rune(text); !whole && len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// imageDocument is an image as "image inspect" prints it: Docker's names, and what Docker
// doesn't tell below Orlop's own.
type imageDocument struct {
	ID           string          `json:"Id"`
	RepoTags     []string        `json:"RepoTags"`
	RepoDigests  []string        `json:"RepoDigests"`
	Created      string          `json:"Created,omitempty"`
	Author       string          `json:"Author,omitempty"`
	Config       json.RawMessage `json:"Config"`
	Architecture string          `json:"Architecture"`
	Variant      string          `json:"Variant,omitempty"`
	OS           string          `json:"Os"`
	Size         int64           `json:"Size"` // on the disk, with what other images share
	RootFS       rootFS          `json:"RootFS"`
	Digest       string          `json:"Digest"`
	Layers       []layerDocument `json:"Layers"`
	Platforms    []platformLine  `json:"Platforms,omitempty"`
	UsedBy       []userLine      `json:"UsedBy"`
	Trust        *trustDocument  `json:"Trust,omitempty"`
}

// trustDocument is what the engine's policy says of an image that is here.
type trustDocument struct {
	MadeHere bool
	SignedBy []string `json:",omitempty"` // keys and certificates of the policy
	Require  string   `json:",omitempty"`
	Place    string   `json:",omitempty"`
	Refused  string   `json:",omitempty"`
}

type rootFS struct {
	Type   string
	Layers []string
}

type layerDocument struct {
	Digest    string
	DiffID    string
	MediaType string
	Size      int64 // as it is sent
}

type platformLine struct {
	Platform     string
	Digest       string
	Here         bool
	Attestations []string `json:",omitempty"`
}

type userLine struct{ Container, Project string }

func (v *Verbs) imageInspect() *cobra.Command {
	var platform, text string
	c := &cobra.Command{
		Use: "inspect IMAGE...", Short: "Show all about images, as JSON", ValidArgsFunction: v.complete(imageNames), Args: cli.AtLeast(1, "an image"),
		Example: "  orlop image inspect shop-api\n  orlop image inspect -f '{{json .Config.Labels}}' shop-api",
		RunE: func(c *cobra.Command, names []string) error {
			print, err := format.Documents(text)
			if err != nil {
				return err
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				list, errs := []any{}, []error(nil)
				for _, name := range names {
					d, err := client.Image.Describe(ctx, &api.DescribeRequest{Name: name, Platform: platform})
					if err != nil {
						errs = append(errs, cli.Cause(ctx, err))
						continue
					}
					one, err := documentOf(d)
					if err != nil {
						errs = append(errs, fmt.Errorf("cannot read the configuration of image %s: %w", name, err))
						continue
					}
					list = append(list, one)
				}
				out, err := print(list)
				if err == nil {
					_, err = v.Of().Stdout.Write(out)
				}
				return errors.Join(append(errs, err)...)
			})
		},
	}
	c.Flags().StringVarP(&text, "format", "f", "json", format.DocumentsHelp)
	c.Flags().StringVar(&platform, "platform", "", "the image of a `platform`")
	return c
}

func documentOf(d *api.ImageDetails) (imageDocument, error) {
	var config struct {
		Created, Author, Architecture, Variant, OS string
		Config                                     json.RawMessage
	}
	if err := json.Unmarshal(d.Config, &config); err != nil {
		return imageDocument{}, err
	}
	out := imageDocument{
		ID: d.Id, Digest: d.Digest, Created: config.Created, Author: config.Author, Config: config.Config,
		Architecture: config.Architecture, Variant: config.Variant, OS: config.OS,
		RepoTags: []string{}, RepoDigests: []string{}, RootFS: rootFS{Type: "layers", Layers: []string{}}, Layers: []layerDocument{}, UsedBy: []userLine{},
	}
	if len(out.Config) == 0 {
		out.Config = json.RawMessage("{}")
	}
	for _, name := range d.Names {
		repository, _, isDigest := strings.Cut(name, "@")
		if !isDigest {
			out.RepoTags = append(out.RepoTags, name)
			if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
				repository = name[:i]
			}
		}
		out.RepoDigests = append(out.RepoDigests, repository+"@"+d.Digest)
	}
	for _, l := range d.Layers {
		out.Size += max(l.UnpackedBytes, 0)
		out.RootFS.Layers = append(out.RootFS.Layers, l.DiffId)
		out.Layers = append(out.Layers, layerDocument{l.Digest, l.DiffId, l.MediaType, l.SentBytes})
	}
	for _, p := range d.Variants {
		out.Platforms = append(out.Platforms, platformLine{p.Platform, p.Digest, p.Here, p.Attestations})
	}
	for _, u := range d.Users {
		out.UsedBy = append(out.UsedBy, userLine{u.Container, u.Project})
	}
	if t := d.Trust; t != nil {
		out.Trust = &trustDocument{t.MadeHere, t.SignedBy, t.Require, t.Place, t.Refused}
	}
	return out, nil
}

func (v *Verbs) imageSave() *cobra.Command {
	var output, platform string
	c := &cobra.Command{
		Use: "save IMAGE...", Short: "Write images to an OCI archive, which Docker reads too", ValidArgsFunction: v.complete(imageNames), Args: cli.AtLeast(1, "an image"),
		Example: "  orlop image save -o shop.tar shop-api shop-web\n  orlop image save shop-api | gzip > shop.tar.gz",
		RunE: func(c *cobra.Command, names []string) error {
			inv := v.Of()
			if output == "" && display.IsTerminal(inv.Stdout) {
				return errors.New("an archive is not for a terminal: write it to a file with -o, or to a pipe")
			}
			return inv.WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				req := &api.SaveRequest{Names: names, Platform: platform}
				if output != "" {
					return v.saveFile(ctx, client, req, output)
				}
				stream, err := client.Image.Save(ctx, req)
				if err == nil {
					_, err = receive(stream.Recv, inv.Stdout)
				}
				return err
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "`file` to write, in place of standard output")
	c.Flags().StringVar(&platform, "platform", "", "only the images of a `platform`")
	return c
}

// saveFile writes an archive to a file, which is there once it is whole. An image may hold
// what is for its owner alone.
func (v *Verbs) saveFile(ctx context.Context, client *api.Client, req *api.SaveRequest, path string) error {
	var written int64
	err := display.ReplaceWith(path, 0o600, func(out io.Writer) error {
		stream, err := client.Image.Save(ctx, req)
		if err == nil {
			written, err = receive(stream.Recv, out)
		}
		return cli.Cause(ctx, err)
	})
	if err == nil {
		fmt.Fprintf(v.Of().Stderr, "saved %s, %s\n", path, display.Bytes(written))
	}
	return err
}

// receive writes what comes.
func receive(recv func() (*api.Chunk, error), out io.Writer) (written int64, err error) {
	for {
		chunk, err := recv()
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := out.Write(chunk.Data)
		if written += int64(n); err != nil {
			return written, fmt.Errorf("cannot write the archive: %w", err)
		}
	}
}
