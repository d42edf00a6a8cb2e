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

// VolumeExport is the verb "volume export".
func (v *Verbs) VolumeExport() *cobra.Command {
	var output string
	var pause bool
	c := &cobra.Command{
		Use: "export NAME", Short: "Write the files of a volume to a tar archive",
		Long: "Write the files of a volume to a tar archive, with their owners, modes, times, links and extended attributes.\n\n" +
			"It may be in use: files are read while its containers write, each as it is then. With --pause they are held still\n" +
			"meanwhile, and what they have written goes together, as after a loss of power. Of a database a dump of its own is better.",
		Example: "  orlop volume export shop_pgdata -o pgdata.tar\n  orlop volume export --pause shop_pgdata | zstd > pgdata.tar.zst",
		Args:    cobra.MatchAll(cli.AtLeast(1, "a volume"), cobra.MaximumNArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			if output == "" || output == "-" {
				if err := v.notForTerminal(); err != nil {
					return err
				}
				output = ""
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return v.volumeExport(ctx, client, &api.ExportVolumeRequest{Name: args[0], Pause: pause}, output)
			})
		},
	}
	c.Flags().StringVarP(&output, "output", "o", "", "`file` to write, in place of standard output")
	c.Flags().BoolVarP(&pause, "pause", "p", false, "pause the containers that have the volume meanwhile")
	return c
}

func (v *Verbs) volumeExport(ctx context.Context, client *api.Client, r *api.ExportVolumeRequest, output string) error {
	m := v.measure("volume export "+r.Name, 0, output == "")
	var notes []string
	write := func(out io.Writer) error {
		stream, err := client.Volume.Export(ctx, r)
		if err != nil {
			return cli.Cause(ctx, err)
		}
		notes, err = volumeParts(ctx, stream.Recv, m.count(out))
		return err
	}
	var err error
	said := ""
	if output == "" {
		err = write(v.Of().Stdout)
	} else if err = display.ReplaceWith(output, 0o600, write); err == nil {
		said = "exported to " + output
	}
	m.end(v, said)
	v.say(notes...)
	return err
}

// volumeParts writes what comes of an archive, and gives the words about what is left out.
func volumeParts(ctx context.Context, recv func() (*api.VolumePart, error), out io.Writer) (notes []string, err error) {
	for {
		part, err := recv()
		if errors.Is(err, io.EOF) {
			return notes, nil
		}
		if err != nil {
			return notes, cli.Cause(ctx, err)
		}
		if note := part.GetNote(); note != "" {
			notes = append(notes, note)
			continue
		}
		if _, err := out.Write(part.GetData()); err != nil {
			return notes, fmt.Errorf("cannot write the archive: %w", err)
		}
	}
}

// VolumeImport is the verb "volume import".
func (v *Verbs) VolumeImport() *cobra.Command {
	start := &api.VolumeInput_Start{}
	var quiet bool
	c := &cobra.Command{
		Use: "import NAME [FILE|-]", Short: "Put the files of a tar archive into a volume",
		Long: "Put the files of a tar archive, which may be compressed with gzip, zstd, bzip2 or xz, into a volume that is made for it, or is empty.\n\n" +
			"Files belong to whom the archive says. No container with the volume can be made meanwhile.",
		Example: "  orlop volume import shop_pgdata pgdata.tar\n  ssh old orlop volume export shop_pgdata | orlop volume import shop_pgdata",
		Args:    cobra.MatchAll(cli.AtLeast(1, "a volume"), cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			start.Name = args[0]
			path := "-"
			if len(args) > 1 {
				path = args[1]
			}
			if path == "-" && display.IsTerminal(v.Of().Stdin) {
				return fmt.Errorf("orlop volume import %s reads an archive from standard input, which is a terminal: name a file", start.Name)
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				return v.volumeImport(ctx, client, start, path, quiet)
			})
		},
	}
	c.Flags().BoolVarP(&start.Force, "force", "f", false, "into a volume that has files too: those of the same name are replaced, others stay")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "show no progress")
	return c
}

func (v *Verbs) volumeImport(ctx context.Context, client *api.Client, start *api.VolumeInput_Start, path string, quiet bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Volume.Import(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	var size int64
	if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
		size = info.Size()
	}
	m := v.measure("volume import "+start.Name, size, quiet)
	reply := &api.ImportVolumeReply{}
	err = converse(ctx, stream, reply, func(ctx context.Context) error {
		if err := stream.Send(&api.VolumeInput{Of: &api.VolumeInput_Start_{Start: start}}); err != nil {
			return err
		}
		out := &archive.Pieces{Send: func(p []byte) error { return stream.Send(&api.VolumeInput{Of: &api.VolumeInput_Data{Data: p}}) }}
		if err := v.copyInput(ctx, m.count(out), path); err != nil {
			return err
		}
		return out.Flush()
	})
	m.end(v, "")
	if err != nil {
		return cli.Cause(ctx, err)
	}
	v.say(reply.Notes...)
	fmt.Fprintln(v.Of().Stdout, start.Name)
	return nil
}
