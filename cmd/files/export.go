package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// Export is the verb export, of a service.
func (v *Verbs) Export() *cobra.Command {
	var index int32
	c := &cobra.Command{
		Use: "export SERVICE", Short: "Write the files of a service's container to a tar archive",
		Long:    "Write the files of a service's container to a tar archive, but for what is mounted in it.",
		Example: "  orlop export -o api.tar api\n  orlop export api | orlop image import - api:flat",
		Args:    cobra.MatchAll(cli.AtLeast(1, "a service"), cobra.MaximumNArgs(1)),
	}
	c.Flags().Int32Var(&index, "index", 0, "`number` of the container; the first without it")
	return v.exporting(c, func(name string) cli.Target { return cli.Target{Service: name, Index: index} })
}

// ContainerExport is the verb "container export".
func (v *Verbs) ContainerExport() *cobra.Command {
	return v.exporting(&cobra.Command{
		Use: "export CONTAINER", Short: "Write the files of a container to a tar archive",
		Long:    "Write the files of a container to a tar archive, but for what is mounted in it.",
		Example: "  orlop container export -o api.tar shop-api-1",
		Args:    cobra.MatchAll(cli.AtLeast(1, "a container"), cobra.MaximumNArgs(1)),
	}, func(name string) cli.Target { return cli.Target{Container: name} })
}

func (v *Verbs) exporting(c *cobra.Command, of func(string) cli.Target) *cobra.Command {
	var output string
	c.Flags().StringVarP(&output, "output", "o", "", "`file` to write, in place of standard output")
	c.RunE = func(c *cobra.Command, args []string) error {
		if output == "" {
			if err := v.notForTerminal(); err != nil {
				return err
			}
		}
		return v.Of().WithTarget(c.Context(), of(args[0]), func(ctx context.Context, client *api.Client, r *api.ContainerRequest) error {
			m := v.measure("export "+args[0], 0, output == "")
			write := func(out io.Writer) error {
				stream, err := client.File.Export(ctx, r)
				if err != nil {
					return cli.Cause(ctx, err)
				}
				return received(ctx, stream.Recv, m.count(out))
			}
			if output == "" {
				err := write(v.Of().Stdout)
				m.end(v, "")
				return err
			}
			err := display.ReplaceWith(output, 0o600, write)
			if err == nil {
				m.end(v, "exported to "+output)
			} else {
				m.end(v, "")
			}
			return err
		})
	}
	return c
}

// received writes what comes.
func received(ctx context.Context, recv func() (*api.Chunk, error), out io.Writer) error {
	for {
		chunk, err := recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cli.Cause(ctx, err)
		}
		if _, err := out.Write(chunk.Data); err != nil {
			return fmt.Errorf("cannot write the archive: %w", err)
		}
	}
}

// Import is the verb "image import".
func (v *Verbs) Import() *cobra.Command {
	start := &api.ImportInput_Start{}
	var quiet bool
	c := &cobra.Command{
		Use: "import FILE|- [NAME]", Short: "Make an image of one layer of a tar archive",
		Long:    "Make an image of one layer of a tar archive, which may be compressed with gzip, zstd, bzip2 or xz.\nWithout a name it is known by the ID that is printed.",
		Example: "  orlop image import rootfs.tar.gz base:1\n  orlop export api | orlop image import --change 'CMD [\"/api\"]' - api:flat",
		Args:    cobra.MatchAll(cli.AtLeast(1, "an archive"), cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				start.Name = args[1]
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return v.importFile(ctx, client, args[0], start, quiet)
			})
		},
	}
	c.Flags().StringArrayVarP(&start.Changes, "change", "c", nil, "`instruction` of a Dockerfile that the image gets: CMD, ENV, USER, ...")
	c.Flags().StringVarP(&start.Message, "message", "m", "", "`text` for the image's history")
	c.Flags().StringVar(&start.Platform, "platform", "", "`platform` that the files are for; the machine's own without it")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	return c
}

func (v *Verbs) importFile(ctx context.Context, client *api.Client, path string, start *api.ImportInput_Start, quiet bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if path == "-" && display.IsTerminal(v.Of().Stdin) {
		return errors.New("orlop image import - reads an archive from standard input, which is a terminal")
	}
	stream, err := client.File.Import(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	var size int64
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	m := v.measure("import "+path, size, quiet)
	made := &api.CommitReply{}
	err = converse(ctx, stream, made, func(ctx context.Context) error {
		if err := stream.Send(&api.ImportInput{Of: &api.ImportInput_Start_{Start: start}}); err != nil {
			return err
		}
		out := &archive.Pieces{Send: func(p []byte) error { return stream.Send(&api.ImportInput{Of: &api.ImportInput_Data{Data: p}}) }}
		if err := v.copyInput(ctx, m.count(out), path); err != nil {
			return err
		}
		return out.Flush()
	})
	m.end(v, "")
	if err != nil {
		return cli.Cause(ctx, err)
	}
	fmt.Fprintln(v.Of().Stdout, made.Id)
	return nil
}
