package files

import (
	"archive/tar"
	"bytes"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/cmd/cli"
)

// elsewhere is an engine that can't take what it is lent; an old one does not know of it.
type elsewhere struct {
	api.UnimplementedFilesServer
	isOld bool
	tree  *archive.Tree // of the container
	t     *testing.T
}

func (e *elsewhere) WriteLent(stream grpc.ClientStreamingServer[api.WriteTree, api.WriteTreeReply]) error {
	if e.isOld {
		return e.UnimplementedFilesServer.WriteLent(stream)
	}
	return stream.SendAndClose(&api.WriteTreeReply{NotTaken: true})
}

func (e *elsewhere) Write(stream grpc.ClientStreamingServer[api.WriteTree, api.WriteTreeReply]) error {
	first, err := stream.Recv()
	if err != nil || first.GetStart().GetFrom() != nil {
		e.t.Errorf("a copy begins with %v: %v", first, err)
	}
	u := &archive.Unpacker{Tree: e.tree, At: "in", Name: first.GetStart().GetName()}
	defer u.Close()
	in := archive.Incoming(func() ([]byte, error) {
		m, err := stream.Recv()
		return m.GetData(), err
	})
	if err := archive.Unpack(stream.Context(), tar.NewReader(in), u); err != nil || u.Err() != nil {
		e.t.Error(err, u.Err())
	}
	return stream.SendAndClose(&api.WriteTreeReply{Containers: []string{"c"}})
}

func (e *elsewhere) Read(r *api.ReadTreeRequest, stream grpc.ServerStreamingServer[api.TreePart]) error {
	start := &api.TreePart_Start{Container: "c", Size: 2 * archive.Large, Lend: r.Lends && !e.isOld}
	if err := stream.Send(&api.TreePart{Of: &api.TreePart_Start_{Start: start}}); err != nil || start.Lend {
		return err
	}
	out := &archive.Pieces{Send: func(p []byte) error { return stream.Send(&api.TreePart{Of: &api.TreePart_Data{Data: p}}) }}
	w := tar.NewWriter(out)
	p := &archive.Packer{Tree: e.tree, Out: w}
	if err := p.Pack(stream.Context(), "in", "in", false); err != nil {
		return err
	}
	w.Close()
	return out.Flush()
}

// TestWhatCantBeLentIsSent: a large file goes to an engine that can't take it, and comes from there.
func TestWhatCantBeLentIsSent(t *testing.T) {
	for name, isOld := range map[string]bool{"it can't": false, "it is older": true} {
		dir := t.TempDir()
		t.Chdir(dir)
		content := bytes.Repeat([]byte("0123456789abcdef"), archive.Large/8)
		must(t, os.Mkdir("container", 0o755))
		must(t, os.WriteFile("file", content, 0o644))
		tree, err := archive.Own(filepath.Join(dir, "container"))
		must(t, err)
		defer tree.Close()
		l, err := net.Listen("unix", filepath.Join(dir, "s"))
		must(t, err)
		server := grpc.NewServer()
		api.RegisterFilesServer(server, &elsewhere{isOld: isOld, tree: tree, t: t})
		go func() { _ = server.Serve(l) }()
		defer server.Stop()
		conn, err := grpc.NewClient("unix:"+l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		must(t, err)
		defer conn.Close()
		client := &api.Client{File: api.NewFilesClient(conn)}
		inv := &cli.Invocation{Settings: cli.NewSettings(cli.World{Now: time.Now})}
		v := &Verbs{Of: func() *cli.Invocation { return inv }}
		if err := v.copyIn(t.Context(), client, &copying{from: place{path: "file"}, to: place{"c", "/in"}, quiet: true, named: true}); err != nil {
			t.Fatalf("%s: in: %v", name, err)
		}
		if err := v.copyOut(t.Context(), client, &copying{from: place{"c", "/in"}, to: place{path: "back"}, quiet: true, named: true}); err != nil {
			t.Fatalf("%s: out: %v", name, err)
		}
		if got, err := os.ReadFile("back"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes came back: %v", name, len(got), err)
		}
	}
}
