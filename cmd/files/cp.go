package files

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/cmd/cli"
)

// copying is a copy as it was asked for.
type copying struct {
	from, to place
	index    int32
	oneOffs  bool
	follow   bool
	owners   bool
	quiet    bool
	named    bool // containers are named, not services

	project string
}

// place is one side of a copy: a path of a service's containers, or of the caller's.
type place struct {
	service string // "": the caller's own
	path    string // "-" of the caller's: a stream
}

func (p place) String() string {
	if p.service == "" {
		return p.path
	}
	return p.service + ":" + p.path
}

// placeOf reads SERVICE:PATH. What begins with a slash or a dot is a path of the caller's.
func placeOf(text string) place {
	service, path, is := strings.Cut(text, ":")
	if !is || strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") || service == "" {
		return place{path: text}
	}
	return place{service, path}
}

// Copy is the verb cp.
func (v *Verbs) Copy() *cobra.Command {
	var o copying
	c := &cobra.Command{
		Use:   "cp SERVICE:PATH PATH|- | cp PATH|- SERVICE:PATH | cp SERVICE:PATH SERVICE:PATH",
		Short: "Copy files into, out of and between containers, running or not",
		Long: "Copy files into, out of and between containers, running or not.\n\n" +
			"A copy into a service goes to all its containers, one out of it comes from the first.\n" +
			"A directory is copied into one that is there by its own name, with \"/.\" behind it its\n" +
			"contents alone; \"-\" is a tar archive on standard input or output.",
		Example: "  orlop cp api:/var/log/api.log .\n" +
			"  orlop cp ./seed/. db:/docker-entrypoint-initdb.d\n" +
			"  orlop cp web:/etc/nginx - | tar t\n" +
			"  orlop cp --index 2 web:/tmp/heap.prof heap.prof",
		Args: cobra.MatchAll(cli.AtLeast(2, "what to copy and where to"), cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			o.from, o.to = placeOf(args[0]), placeOf(args[1])
			return v.copy(c.Context(), &o)
		},
	}
	c.Flags().Int32Var(&o.index, "index", 0, "`number` of the container; without it all for a copy into a service, the first for one out of it")
	c.Flags().BoolVar(&o.oneOffs, "all", false, "containers of run too")
	o.flags(c)
	return c
}

// ContainerCopy is the verb "container cp".
func (v *Verbs) ContainerCopy() *cobra.Command {
	o := copying{named: true}
	c := &cobra.Command{
		Use:   "cp CONTAINER:PATH PATH|- | cp PATH|- CONTAINER:PATH | cp CONTAINER:PATH CONTAINER:PATH",
		Short: "Copy files into, out of and between containers, running or not",
		Example: "  orlop container cp shop-web-1:/etc/nginx .\n" +
			"  orlop container cp seed.sql shop-db-1:/tmp/",
		Args: cobra.MatchAll(cli.AtLeast(2, "what to copy and where to"), cobra.MaximumNArgs(2)),
		RunE: func(c *cobra.Command, args []string) error {
			o.from, o.to = placeOf(args[0]), placeOf(args[1])
			return v.copy(c.Context(), &o)
		},
	}
	o.flags(c)
	return c
}

func (o *copying) flags(c *cobra.Command) {
	c.Flags().BoolVarP(&o.follow, "follow-link", "L", false, "copy what a link that is named leads to")
	c.Flags().BoolVarP(&o.owners, "archive", "a", false, "keep the owners of files; else they are root's in a container, and the caller's outside")
	c.Flags().BoolVarP(&o.quiet, "quiet", "q", false, "show no progress")
}

func (v *Verbs) copy(ctx context.Context, o *copying) error {
	var services []string
	for _, p := range []place{o.from, o.to} {
		if p.path == "" {
			return fmt.Errorf("%q names no path: write %s:PATH", p, o.what())
		}
		if p.service != "" {
			services = append(services, p.service)
		}
	}
	switch {
	case len(services) == 0:
		return fmt.Errorf("one of both must be %s:PATH: to copy files of the machine there is cp", o.what())
	case o.index < 0:
		return fmt.Errorf("--index is %d: numbers of containers begin with 1", o.index)
	case o.to.service == "" && o.to.path == "-":
		if err := v.notForTerminal(); err != nil {
			return err
		}
	}
	copy := func(ctx context.Context, client *api.Client) error {
		if v.Of().DryRun {
			return v.foresee(o)
		}
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if o.from.service == "" {
			return v.copyIn(ctx, client, o)
		}
		return v.copyOut(ctx, client, o)
	}
	if o.named {
		return v.Of().WithEngine(ctx, copy)
	}
	return v.Of().WithStack(ctx, services, func(ctx context.Context, client *api.Client, s cli.Stack) error {
		o.project = s.Name
		return copy(ctx, client)
	})
}

// foresee says what would be copied.
func (v *Verbs) foresee(o *copying) error {
	if o.from.service == "" && o.from.path != "-" {
		if _, err := os.Lstat(o.from.path); err != nil {
			return fmt.Errorf("cannot read %s: %w", o.from.path, bare(err))
		}
	}
	v.Of().Foresay(fmt.Sprintf("+ copy %s to %s", o.from, o.to))
	return nil
}

// what is named on the side of the containers.
func (o *copying) what() string {
	if o.named {
		return "CONTAINER"
	}
	return "SERVICE"
}

// request names containers of a service, or one.
func (o *copying) request(service string) *api.ContainerRequest {
	if o.named {
		return &api.ContainerRequest{Container: service}
	}
	return &api.ContainerRequest{Project: o.project, Service: service, Index: o.index}
}

// copyIn copies the caller's files to containers.
func (v *Verbs) copyIn(ctx context.Context, client *api.Client, o *copying) error {
	if o.from.path == "-" {
		start := &api.WriteTree_Start{Whole: true}
		return v.send(ctx, client, o, start, 0, func(ctx context.Context, out io.Writer) error { return v.copyInput(ctx, out, "-") })
	}
	whole, err := filepath.Abs(o.from.path)
	if err != nil {
		return err
	}
	stat := os.Lstat
	if o.follow || archive.WantsDir(o.from.path) {
		stat = os.Stat
	}
	info, err := stat(o.from.path)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", o.from.path, bare(err))
	}
	source := archive.SourceOf(withEnd(whole, o.from.path), info.IsDir())
	size := info.Size()
	if source.IsDir {
		size = 0
	}
	tree, err := archive.Own(filepath.Dir(whole))
	if err != nil {
		return err
	}
	defer tree.Close()
	at := filepath.Base(whole)
	if at == "/" {
		at = "."
	}
	if archive.WantsDir(o.from.path) {
		at += "/"
	}
	start := &api.WriteTree_Start{Name: source.Name, Directory: source.IsDir, Contents: source.Contents}
	packer := &archive.Packer{Tree: tree, Note: func(at, why string) { v.say(filepath.Join(filepath.Dir(whole), at) + ": " + why) }}
	if isDone, err := v.lendIn(ctx, client, o, start, packer, at); isDone || err != nil {
		return err
	}
	return v.send(ctx, client, o, start, size, func(ctx context.Context, out io.Writer) error {
		w := tar.NewWriter(out)
		packer.Out = w
		if err := packer.Pack(ctx, at, source.Name, o.follow); err != nil {
			return err
		}
		return w.Close()
	})
}

// withEnd is an absolute path that means the contents of a directory where the one that was
// written does.
func withEnd(whole, written string) string {
	if written == "." || strings.HasSuffix(written, "/.") {
		return strings.TrimSuffix(whole, "/") + "/."
	}
	return whole
}

// bare is an error without the path that it names.
func bare(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}

// send sends an archive to the containers that a copy is to.
func (v *Verbs) send(ctx context.Context, client *api.Client, o *copying, start *api.WriteTree_Start, size int64, write func(context.Context, io.Writer) error) error {
	_, err := v.sendMeasured(ctx, client, o, start, v.measure("cp "+o.to.String(), size, o.quiet), write)
	return err
}

// sendMeasured sends an archive. It is not done, and that no error, where the engine can't take
// what it is lent.
func (v *Verbs) sendMeasured(ctx context.Context, client *api.Client, o *copying, start *api.WriteTree_Start, m *meter, write func(context.Context, io.Writer) error) (isDone bool, err error) {
	said := ""
	defer func() { m.end(v, said) }()
	start.To, start.Path, start.OneOffs, start.Owners = o.request(o.to.service), o.to.path, o.oneOffs, o.owners
	call := client.File.Write
	if start.From != nil {
		call = client.File.WriteLent
	}
	stream, err := call(ctx)
	if err != nil {
		return false, cli.Cause(ctx, err)
	}
	if err := stream.Send(&api.WriteTree{Of: &api.WriteTree_Start_{Start: start}}); err != nil && !errors.Is(err, io.EOF) {
		return false, cli.Cause(ctx, err)
	}
	reply := &api.WriteTreeReply{}
	err = converse(ctx, stream, reply, func(ctx context.Context) error {
		out := &archive.Pieces{Send: func(p []byte) error { return stream.Send(&api.WriteTree{Of: &api.WriteTree_Data{Data: p}}) }}
		if err := write(ctx, m.count(out)); err != nil {
			return err
		}
		return out.Flush()
	})
	if reply.NotTaken || start.From != nil && status.Code(err) == codes.Unimplemented { // by an older engine
		start.From = nil
		return false, nil
	}
	if err != nil {
		return false, cli.Cause(ctx, err)
	}
	v.say(reply.Notes...)
	if reply.Error != "" {
		return true, errors.New(reply.Error)
	}
	said = "copied to " + strings.Join(reply.Containers, ", ")
	return true, nil
}

// copyOut copies files of a container to the caller, or to others.
func (v *Verbs) copyOut(ctx context.Context, client *api.Client, o *copying) error {
	toFile := o.to.service == "" && o.to.path != "-"
	in, start, err := v.receive(ctx, client, o, &api.ReadTreeRequest{Lends: toFile})
	if err != nil {
		return err
	}
	source := archive.SourceOf("/"+o.from.path, start.Directory)
	if o.to.service != "" {
		to := &api.WriteTree_Start{Name: source.Name, Directory: source.IsDir, Contents: source.Contents}
		return v.send(ctx, client, o, to, start.Size, in.copyTo)
	}
	size := start.Size
	if start.Directory {
		size = 0
	}
	m := v.measure("cp "+o.from.String(), size, o.quiet)
	said := "copied from " + start.Container
	switch {
	case !toFile:
		said, err = "", in.copyTo(ctx, m.count(v.Of().Stdout))
	case start.Lend:
		err = v.lendOut(ctx, client, o, source, m)
	default:
		err = v.unpack(ctx, o, source, in, m)
	}
	if err != nil {
		said = ""
	}
	m.end(v, said)
	return err
}

// receive asks for files of a container.
func (v *Verbs) receive(ctx context.Context, client *api.Client, o *copying, r *api.ReadTreeRequest) (*incoming, *api.TreePart_Start, error) {
	r.Of, r.Path, r.Follow = o.request(o.from.service), o.from.path, o.follow
	stream, err := client.File.Read(ctx, r)
	if err != nil {
		return nil, nil, cli.Cause(ctx, err)
	}
	first, err := stream.Recv()
	if err != nil {
		return nil, nil, cli.Cause(ctx, err)
	}
	start := first.GetStart()
	if start == nil {
		return nil, nil, errors.New("internal error: the engine does not say what it sends")
	}
	return &incoming{stream: stream, note: func(text string) { v.say(text) }}, start, nil
}

// incoming is the archive that a stream brings.
type incoming struct {
	stream grpc.ServerStreamingClient[api.TreePart]
	note   func(string)
}

func (i *incoming) next() ([]byte, error) {
	for {
		part, err := i.stream.Recv()
		if err != nil {
			return nil, err
		}
		if data := part.GetData(); data != nil {
			return data, nil
		}
		if text := part.GetNote(); text != "" {
			i.note(text)
		}
	}
}

// copyTo writes all of the archive.
func (i *incoming) copyTo(ctx context.Context, out io.Writer) error {
	for {
		data, err := i.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return cli.Cause(ctx, err)
		}
		if _, err := out.Write(data); err != nil {
			return err
		}
	}
}

// unpack puts an archive to a path of the caller's, and nowhere else.
func (v *Verbs) unpack(ctx context.Context, o *copying, source archive.Source, in *incoming, m *meter) error {
	l, err := v.land(o, source)
	if err != nil {
		return err
	}
	return l.close(l.unpack(ctx, in, m))
}

// landing is where files of a container come to be on the caller's side.
type landing struct {
	*archive.Unpacker
	at, dir string
	made    bool
}

func (v *Verbs) land(o *copying, source archive.Source) (*landing, error) {
	at, made, err := v.target(o.to.path, source)
	if err != nil {
		return nil, err
	}
	u := &archive.Unpacker{At: ".", Name: source.Name, Made: made, Owners: o.owners, Note: func(at, why string) { v.say(at + ": " + why) }}
	l := &landing{Unpacker: u, at: at, dir: at, made: made}
	if !source.IsDir {
		l.dir, u.At = filepath.Dir(at), filepath.Base(at)
	}
	if u.Tree, err = archive.Beneath(l.dir); err != nil {
		l.undo()
		return nil, fmt.Errorf("cannot write to %s: %w", l.dir, bare(err))
	}
	u.Tree.KeepsPrivileges = o.owners
	return l, nil
}

// close ends with the error of what was done.
func (l *landing) close(err error) error {
	l.Unpacker.Close()
	l.Tree.Close()
	if failed, is := errors.AsType[*archive.Error](err); is {
		err = fmt.Errorf("cannot %s %s: %w", failed.Do, filepath.Join(l.dir, failed.Path), failed.Err)
	}
	if err != nil {
		l.undo()
	}
	return err
}

func (l *landing) undo() {
	if l.made {
		_ = os.Remove(l.at) // if nothing has come: a repeat is to make it as it is to be
	}
}

func (l *landing) unpack(ctx context.Context, in *incoming, m *meter) error {
	pipe := archive.Incoming(in.next)
	defer pipe.Close()
	if err := archive.Unpack(ctx, tar.NewReader(m.read(pipe)), l.Unpacker); err != nil {
		return cli.Cause(ctx, unwrapped(err))
	}
	if l.Err() == nil { // words about what is left out follow
		if _, err := io.Copy(io.Discard, pipe); err != nil {
			return cli.Cause(ctx, err)
		}
	}
	return l.Err()
}

// unwrapped is the engine's error where reading its archive ended with one.
func unwrapped(err error) error {
	if inner := errors.Unwrap(err); inner != nil {
		return inner
	}
	return err
}

// target is the path at which a copy comes to be. A directory that is to be made there is.
func (v *Verbs) target(written string, source archive.Source) (at string, made bool, err error) {
	t := archive.Target{WantsDir: archive.WantsDir(written)}
	if t.Path, err = filepath.Abs(written); err != nil {
		return "", false, err
	}
	info, err := os.Stat(t.Path)
	switch {
	case err == nil:
		t.Exists, t.IsDir = true, info.IsDir()
		if !t.IsDir && !info.Mode().IsRegular() {
			return "", false, fmt.Errorf("cannot write %s: it is neither a file nor a directory", written)
		}
		if t.Path, err = filepath.EvalSymlinks(t.Path); err != nil {
			return "", false, err
		}
	case !errors.Is(err, fs.ErrNotExist):
		return "", false, fmt.Errorf("cannot write %s: %w", written, bare(err))
	default:
		if _, err := os.Lstat(t.Path); err == nil {
			return "", false, fmt.Errorf("cannot write %s: it is a symbolic link to nothing", written)
		}
	}
	if at, err = archive.Place(source, t); err != nil {
		return "", false, err
	}
	if up, err := os.Stat(filepath.Dir(at)); err != nil || !up.IsDir() {
		return "", false, fmt.Errorf("cannot write %s: there is no directory %s: make it first", written, filepath.Dir(at))
	}
	if !source.IsDir {
		return at, false, nil
	}
	// What an earlier copy has brought could be a link that leads elsewhere.
	there, err := os.Lstat(at)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := os.Mkdir(at, 0o700); err != nil {
			return "", false, fmt.Errorf("cannot make %s: %w", at, bare(err))
		}
		return at, true, nil
	case err != nil:
		return "", false, fmt.Errorf("cannot write %s: %w", at, bare(err))
	case !there.IsDir():
		return "", false, fmt.Errorf("cannot write %s: %w", at, archive.ErrDirOverFile)
	}
	return at, false, nil
}

func (m *meter) read(from io.Reader) io.Reader { return &countedReader{from, m} }

type countedReader struct {
	from io.Reader
	m    *meter
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.from.Read(p)
	c.m.bytes.Add(int64(n))
	return n, err
}
