package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/spec/userfile"
)

func (v *Verbs) imageLoad() *cobra.Command {
	var input string
	var quiet bool
	c := &cobra.Command{
		Use:     "load [FILE...]",
		Short:   "Load images from archives of OCI or of Docker; - is standard input",
		Long:    "Load images from archives of OCI or of Docker, plain or compressed with gzip, zstd, bzip2 or xz; - is standard input.",
		Example: "  orlop image load base.tar shop.tar.gz\n  orlop image load < base.tar",
		RunE: func(c *cobra.Command, files []string) error {
			if input != "" {
				files = append(files, input)
			}
			if len(files) == 0 {
				if display.IsTerminal(v.Of().Stdin) {
					return errors.New("orlop image load needs a file: see orlop image load --help")
				}
				files = []string{"-"}
			}
			return v.Of().WithEngine(c.Context(), func(ctx context.Context, client *api.Client) error {
				for _, path := range files {
					if err := v.loadImages(ctx, client, path, quiet); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.Flags().StringVarP(&input, "input", "i", "", "`file` to load")
	c.Flags().BoolVarP(&quiet, "quiet", "q", false, "don't list what was loaded")
	return c
}

func (v *Verbs) loadImages(ctx context.Context, client *api.Client, path string, quiet bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	in, size, done, err := v.input(ctx, path)
	if err != nil {
		return fmt.Errorf("cannot load %s: %w", path, err)
	}
	defer done()
	stream, err := client.LoadImages(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	show, hide := v.loadProgress(path, size, quiet)
	images, err := upload(stream, in, cancel, show)
	hide()
	if err != nil {
		return fmt.Errorf("cannot load %s: %w", path, cli.Cause(ctx, err))
	}
	if !quiet {
		for _, name := range images {
			fmt.Fprintln(v.Of().Stdout, "loaded "+name)
		}
	}
	return nil
}

// loadProgress shows how much of an archive is read: on a line at the bottom of a
// terminal; elsewhere only what takes long.
func (v *Verbs) loadProgress(path string, size int64, quiet bool) (show func(*api.LoadReply), hide func()) {
	if quiet {
		return func(*api.LoadReply) {}, func() {}
	}
	line := v.Of().Output.KeepLine()
	if line == nil {
		var last string
		return func(r *api.LoadReply) {
			if r.Doing != last && r.Doing != "" {
				fmt.Fprintln(v.Of().Stderr, r.Doing)
			}
			last = r.Doing
		}, func() {}
	}
	return func(r *api.LoadReply) {
		line.Set(" load " + display.Printable(path) + "  " + cmp.Or(r.Doing, display.Amount(r.ReadBytes, size)))
	}, func() { line.Set("") }
}

// input opens a file or pipe that is named on the command line, "-" for
// standard input. Reading it ends with ctx. Its size is 0 where that is unknown.
func (v *Verbs) input(ctx context.Context, path string) (in io.Reader, size int64, done func(), err error) {
	if path == "-" {
		in, done, err = userfile.Interruptible(ctx, v.Of().Stdin)
		return in, 0, done, err
	}
	f, err := userfile.OpenGiven(ctx, path)
	switch {
	case errors.Is(err, unix.EISDIR):
		return nil, 0, nil, errors.New("it is a directory: name an archive")
	case err != nil:
		return nil, 0, nil, errors.Unwrap(err)
	}
	return f, f.Size(), func() { f.Close() }, nil
}

// upload sends an archive and gives the names of its images; show is told how far
// the engine is. end ends both the stream and reading, where the other has failed.
func upload(stream grpc.BidiStreamingClient[api.Chunk, api.LoadReply], in io.Reader, end func(), show func(*api.LoadReply)) ([]string, error) {
	sent := make(chan error, 1)
	go func() {
		err := sendChunks(stream, in)
		if err != nil {
			end()
		}
		sent <- err
	}()
	var last *api.LoadReply
	for {
		reply, err := stream.Recv()
		if err == nil {
			show(reply)
			last = reply
			continue
		}
		if !errors.Is(err, io.EOF) {
			end()
		}
		unread := <-sent
		if errors.Is(err, io.EOF) && unread == nil {
			return last.GetImages(), nil
		}
		if unread != nil && !errors.Is(unread, context.Canceled) {
			return nil, unread
		}
		return nil, err
	}
}

// sendChunks sends all of an archive, unless the engine refuses it before.
func sendChunks(stream grpc.BidiStreamingClient[api.Chunk, api.LoadReply], in io.Reader) error {
	buf := make([]byte, 1<<20)
	for {
		n, err := in.Read(buf)
		if n > 0 {
			if sent := stream.Send(&api.Chunk{Data: buf[:n]}); sent != nil {
				return nil // the stream says why
			}
		}
		if errors.Is(err, io.EOF) {
			return stream.CloseSend()
		}
		if err != nil {
			return err
		}
	}
}
