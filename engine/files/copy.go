package files

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/engine/lent"
	"github.com/orlop/orlop/engine/tarball"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/layer"
)

// Read implements api.FilesServer.
func (s *Server) Read(r *api.ReadTreeRequest, stream grpc.ServerStreamingServer[api.TreePart]) error {
	c, err := s.one(r.Of)
	if err != nil {
		return err
	}
	root, err := s.open(stream.Context(), c.ID)
	if err != nil {
		return err
	}
	defer root.release()
	tree, err := root.Tree()
	if err != nil {
		return err
	}
	defer tree.Close()
	if err := s.read(root.ctx, c, tree, r, sending(root.ctx, stream.Send)); err != nil {
		return wantedError(ofContainer(err, c.Name))
	}
	return nil
}

func (s *Server) read(ctx context.Context, c *planner.Container, tree *archive.Tree, r *api.ReadTreeRequest, send func(*api.TreePart) error) error {
	at := "/" + strings.TrimLeft(r.Path, "/")
	from, info, err := at, archive.Info{}, error(nil)
	if r.Follow {
		from, info, err = tree.Follow(at)
	} else {
		info, err = tree.Stat(at)
	}
	if err != nil {
		return &archive.Error{Do: "read", Path: at, Err: err}
	}
	source := archive.SourceOf(at, info.Mode.IsDir())
	start := &api.TreePart_Start{Container: c.Name, Directory: source.IsDir, Size: info.Size}
	start.Lend = r.Lends && info.Mode.IsRegular() && info.Size >= archive.Large
	out := &archive.Pieces{Send: func(p []byte) error { return send(&api.TreePart{Of: &api.TreePart_Data{Data: p}}) }}
	var left tarball.Notes
	var header bytes.Buffer
	if r.Into != nil {
		packer := &archive.Packer{Tree: tree, Out: tar.NewWriter(&header), Note: left.Add}
		if start.Filled, err = fill(ctx, packer, from, source.Name, r.Into); err != nil {
			return err
		}
	}
	if err := send(&api.TreePart{Of: &api.TreePart_Start_{Start: start}}); err != nil || start.Lend {
		return err
	}
	if start.Filled {
		_, err = out.Write(header.Bytes())
	} else {
		left = tarball.Notes{}
		w := tar.NewWriter(out)
		packer := &archive.Packer{Tree: tree, Out: w, Note: left.Add}
		if err = packer.Pack(ctx, from, source.Name, false); err == nil {
			err = w.Close()
		}
	}
	if err = cmp.Or(err, out.Flush()); err != nil {
		return err
	}
	for _, text := range left.All() {
		if err := send(&api.TreePart{Of: &api.TreePart_Note{Note: text}}); err != nil {
			return err
		}
	}
	return nil
}

// fill copies the content of a large file into one that the caller has lent; what an archive says
// of it is packed. It is not done of anything else, and where what is lent can't be taken.
func fill(ctx context.Context, packer *archive.Packer, at, name string, into *api.Lent) (isDone bool, err error) {
	to, err := lent.Take(ctx, into, lent.Write)
	if err != nil {
		return false, nil // the archive has the content
	}
	defer to.Close()
	h, from, err := packer.OpenLarge(at, name, false)
	if err != nil || from == nil {
		return false, err
	}
	defer from.Close()
	err = packer.Fill(ctx, at, to, from, h.Size)
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return false, to.Truncate(0) // the caller meets it, and knows the path
	case err != nil && ctx.Err() == nil:
		return false, &archive.Error{Do: "read", Path: at, Err: err}
	case err != nil:
		return false, err
	}
	return true, packer.Out.WriteHeader(h)
}

// ofContainer names the container of a path that an error is about.
func ofContainer(err error, name string) error {
	of, is := errors.AsType[*archive.Error](err)
	if !is {
		return err
	}
	return fmt.Errorf("cannot %s %s of %s: %w", of.Do, api.Valid(of.Path), name, plain(of.Err))
}

// plain is an error of the kernel in words about files of a container.
func plain(err error) error {
	switch {
	case errors.Is(err, unix.EROFS):
		return errors.New("it is read-only there")
	case errors.Is(err, unix.ENOSPC):
		return errors.New("the disk is full")
	case errors.Is(err, unix.ENOENT):
		return errors.New("there is no such file or directory")
	case errors.Is(err, unix.ENOTDIR):
		return errors.New("it is, or is in, something that is no directory")
	}
	return err
}

// Write implements api.FilesServer.
func (s *Server) Write(stream grpc.ClientStreamingServer[api.WriteTree, api.WriteTreeReply]) error {
	start, err := begun(stream)
	if err != nil {
		return err
	}
	return s.write(stream, &writing{start: start})
}

// WriteLent implements api.FilesServer.
func (s *Server) WriteLent(stream grpc.ClientStreamingServer[api.WriteTree, api.WriteTreeReply]) error {
	start, err := begun(stream)
	if err != nil {
		return err
	}
	content, err := lent.Take(stream.Context(), start.GetFrom(), lent.Read)
	if err != nil {
		return stream.SendAndClose(&api.WriteTreeReply{NotTaken: true})
	}
	defer content.Close()
	return s.write(stream, &writing{start: start, content: content})
}

// begun is the first message of a copy.
func begun(stream grpc.ClientStreamingServer[api.WriteTree, api.WriteTreeReply]) (*api.WriteTree_Start, error) {
	first, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if start := first.GetStart(); start != nil {
		return start, nil
	}
	return nil, errors.New("internal error: a copy does not begin with where it goes to")
}

func (s *Server) write(stream grpc.ClientStreamingServer[api.WriteTree, api.WriteTreeReply], w *writing) error {
	defer w.close()
	start := w.start
	to := start.To
	list := replicas(s.Containers.Containers(to.GetProject()), to, start.OneOffs)
	if to.GetContainer() != "" || len(list) == 0 {
		c, err := s.one(&api.ContainerRequest{Container: to.GetContainer(), Project: to.GetProject(), Service: to.GetService(), Index: max(to.GetIndex(), 0)})
		switch {
		case err != nil:
			return err
		case to.GetContainer() == "": // a run's, which was not asked for
			return fmt.Errorf("service %s has containers of \"orlop run\" alone: --all means them, too", to.GetService())
		}
		list = []*planner.Container{c}
	}
	for _, c := range list {
		if err := w.add(stream.Context(), s, c); err != nil {
			return err
		}
	}
	in := archive.Incoming(func() ([]byte, error) {
		m, err := stream.Recv()
		return m.GetData(), err
	})
	defer in.Close()
	w.run(stream.Context(), in)
	reply := &api.WriteTreeReply{Containers: w.done, Notes: w.notes.All()}
	if err := errors.Join(w.errs...); err != nil {
		if len(w.done) == 0 {
			return err
		}
		reply.Error = api.Valid(err.Error())
	}
	return stream.SendAndClose(reply)
}

// writing is a copy into containers.
type writing struct {
	start   *api.WriteTree_Start
	content *os.File // of the archive's one file; nil: the archive has it
	parts   []*part
	notes   tarball.Notes
	done    []string // names of the containers that have all of it
	errs    []error
}

type part struct {
	name     string
	root     *opened
	tree     *archive.Tree
	unpacker *archive.Unpacker
}

func (w *writing) close() {
	for _, p := range w.parts {
		p.unpacker.Close()
		p.tree.Close()
		p.root.release()
	}
}

// add opens a container, and finds out where in it the files go. Nothing is written to any
// where that can't be told for one.
func (w *writing) add(ctx context.Context, s *Server, c *planner.Container) error {
	root, err := s.open(ctx, c.ID)
	if err != nil {
		return err
	}
	tree, err := root.Tree()
	if err != nil {
		root.release()
		return err
	}
	at, err := w.place(tree)
	if err != nil {
		tree.Close()
		root.release()
		return ofContainer(err, c.Name)
	}
	p := &part{name: c.Name, root: root, tree: tree}
	p.unpacker = &archive.Unpacker{Tree: tree, At: at, Name: w.start.Name, Owners: w.start.Owners, Note: func(at, why string) { w.notes.Add(c.Name+":"+at, why) }}
	w.parts = append(w.parts, p)
	return nil
}

// place is the path in a container at which what is copied comes to be.
func (w *writing) place(tree *archive.Tree) (string, error) {
	written := "/" + strings.TrimLeft(w.start.Path, "/")
	at, info, err := tree.Follow(path.Clean(written))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		var failed error
		if at, failed = tree.Plain(at); failed != nil {
			err = failed
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", &archive.Error{Do: "write", Path: path.Clean(written), Err: err}
	}
	t := archive.Target{Path: at, WantsDir: archive.WantsDir(written), Exists: err == nil, IsDir: info.Mode.IsDir()}
	if t.Exists && !t.IsDir && !info.Mode.IsRegular() {
		return "", &archive.Error{Do: "write", Path: at, Err: errors.New("it is neither a file nor a directory")}
	}
	if w.start.Whole {
		if w.start.Name = "."; !t.IsDir {
			return "", &archive.Error{Do: "write", Path: at, Err: errors.New("an archive is unpacked into a directory that is there")}
		}
		return at, nil
	}
	source := archive.Source{Name: w.start.Name, IsDir: w.start.Directory, Contents: w.start.Contents}
	place, err := archive.Place(source, t)
	if err != nil {
		return "", &archive.Error{Do: "write", Path: at, Err: errors.Unwrap(err)}
	}
	up, err := tree.Stat(path.Dir(place) + "/")
	if err != nil || !up.Mode.IsDir() {
		return "", &archive.Error{Do: "write", Path: place, Err: fmt.Errorf("there is no directory %s: make it first", path.Dir(place))}
	}
	return place, nil
}

// run unpacks an archive into all of the containers. Reading ends where one of them is
// wanted by somebody else.
func (w *writing) run(ctx context.Context, in *io.PipeReader) {
	var to []*archive.Unpacker
	for _, p := range w.parts {
		to = append(to, p.unpacker)
		defer context.AfterFunc(p.root.ctx, func() { in.Close() })()
	}
	err := w.unpack(ctx, tar.NewReader(in), to)
	if err == nil && !archive.AllFailed(to) {
		_, err = io.Copy(io.Discard, in) // what follows the end of an archive
	}
	for _, p := range w.parts {
		if err != nil && p.root.ctx.Err() != nil {
			err = wantedError(context.Cause(p.root.ctx)) // which says more than that reading ended
		}
		switch failed := p.unpacker.Err(); {
		case failed != nil:
			w.errs = append(w.errs, ofContainer(failed, p.name))
		case err != nil:
		default:
			w.done = append(w.done, p.name)
		}
	}
	if err != nil && len(w.errs) == 0 {
		w.errs = []error{err}
	}
}

func (w *writing) unpack(ctx context.Context, in *tar.Reader, to []*archive.Unpacker) error {
	if w.content == nil {
		return archive.Unpack(ctx, in, to...)
	}
	h, err := in.Next()
	if err != nil {
		return fmt.Errorf("internal error: a lent file is not told of: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	for _, p := range w.parts {
		defer context.AfterFunc(p.root.ctx, func() { cancel(context.Cause(p.root.ctx)) })()
	}
	return archive.UnpackFile(ctx, h, w.content, to...)
}

// Export implements api.FilesServer.
func (s *Server) Export(r *api.ContainerRequest, stream grpc.ServerStreamingServer[api.Chunk]) error {
	c, err := s.one(r)
	if err != nil {
		return err
	}
	roots, _, err := s.Containers.Layer(stream.Context(), c.ID)
	if err != nil {
		return err
	}
	l, err := layer.Of(roots)
	if err != nil {
		return err
	}
	return s.whole(stream.Context(), c, func() error { return s.export(stream.Context(), c, roots, l, stream.Send) })
}

func (s *Server) export(ctx context.Context, c *planner.Container, roots []mount.Mount, l layer.Layer, send func(*api.Chunk) error) error {
	var failed error // without the words that the mount puts before it
	err := mount.WithReadonlyTempMount(ctx, image.Plain(roots), func(root string) error {
		failed = s.exportRoot(ctx, c, root, l, send)
		return failed
	})
	return cmp.Or(failed, err)
}

func (s *Server) exportRoot(ctx context.Context, c *planner.Container, root string, l layer.Layer, send func(*api.Chunk) error) error {
	tree, err := archive.Own(root)
	if err != nil {
		return err
	}
	defer tree.Close()
	tree.UID, tree.GID, tree.Mixed = l.UID, l.GID, true
	out := &archive.Pieces{Send: func(p []byte) error { return send(&api.Chunk{Data: p}) }}
	w := tar.NewWriter(out)
	packer := &archive.Packer{Tree: tree, Out: w, Devices: true}
	if err := packer.Pack(ctx, ".", ".", false); err != nil {
		return ofContainer(err, c.Name)
	}
	return errors.Join(w.Close(), out.Flush())
}
