// Package volumes is the API of the files of volumes: they are sent as an archive, and put
// into a volume from one. What is in a volume is untrusted, and so is an archive: what may
// be written where is decided in the package archive.
package volumes

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/engine/tarball"
	"github.com/orlop/orlop/runner/disk"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/volume"
)

// Inventory has the volumes.
type Inventory interface {
	HoldVolume(name string, write bool) (path string, release func(), err error)
	CreateVolume(name string, labels map[string]string) error
	VolumeSizes(ctx context.Context, names []string) (map[string]int64, error)
	RemoveVolume(name string) (bool, error)
	Records() []supervisor.Record
}

// Freezer holds the processes of a container still.
type Freezer interface {
	Freeze(ctx context.Context, id string) (thaw func(), err error)
}

// Server is the API of the files of volumes.
type Server struct {
	api.UnimplementedVolumesServer
	Inventory Inventory
	Freezer   Freezer
	Flush     func() error // of the records of volumes
}

// Export implements api.VolumesServer.
func (s *Server) Export(r *api.ExportVolumeRequest, stream grpc.ServerStreamingServer[api.VolumePart]) error {
	tree, release, err := s.open(r.Name, false)
	if errors.Is(err, volume.ErrNone) {
		return fmt.Errorf("no volume named %s: \"orlop volume ls\" lists what there is", r.Name)
	}
	if err != nil {
		return fmt.Errorf("cannot export volume %s: %w", r.Name, err)
	}
	defer release()
	if r.Pause {
		thaw, err := s.freeze(stream.Context(), r.Name)
		defer thaw()
		if err != nil {
			return err
		}
	}
	out := &archive.Pieces{Send: func(p []byte) error { return stream.Send(&api.VolumePart{Of: &api.VolumePart_Data{Data: p}}) }}
	var left tarball.Notes
	w := tar.NewWriter(out)
	packer := &archive.Packer{Tree: tree, Out: w, Note: left.Add}
	if err := packer.Pack(stream.Context(), ".", ".", false); err != nil {
		return fmt.Errorf("cannot export volume %s: %w", r.Name, err)
	}
	if err := errors.Join(w.Close(), out.Flush()); err != nil {
		return err
	}
	for _, text := range left.All() {
		if err := stream.Send(&api.VolumePart{Of: &api.VolumePart_Note{Note: text}}); err != nil {
			return err
		}
	}
	return nil
}

// Sizes implements api.VolumesServer.
func (s *Server) Sizes(ctx context.Context, r *api.VolumeSizesRequest) (*api.VolumeSizesReply, error) {
	sizes, err := s.Inventory.VolumeSizes(ctx, r.Names)
	return &api.VolumeSizesReply{Bytes: sizes}, err
}

// open opens the directory of a volume, which stays where it is until release.
func (s *Server) open(name string, write bool) (tree *archive.Tree, release func(), err error) {
	path, let, err := s.Inventory.HoldVolume(name, write)
	if err != nil {
		return nil, nil, err
	}
	if tree, err = archive.Beneath(path); err != nil {
		let()
		return nil, nil, err
	}
	tree.ACLs = true
	return tree, func() {
		tree.Close()
		let()
	}, nil
}

// freeze holds the containers still that have a volume. What it has held is to be thawed
// with an error, too.
func (s *Server) freeze(ctx context.Context, name string) (thaw func(), err error) {
	var held []func()
	thaw = func() {
		for _, f := range held {
			f()
		}
	}
	for _, rec := range s.Inventory.Records() {
		if !supervisor.HaveVolume([]supervisor.Record{rec}, name) {
			continue
		}
		one, err := s.Freezer.Freeze(ctx, rec.ID)
		if err != nil {
			return thaw, fmt.Errorf("cannot pause %s, which has volume %s: %w", rec.Name, name, err)
		}
		held = append(held, one)
	}
	return thaw, nil
}

// Import implements api.VolumesServer.
func (s *Server) Import(stream grpc.ClientStreamingServer[api.VolumeInput, api.ImportVolumeReply]) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	start := first.GetStart()
	if start == nil {
		return errors.New("internal error: an import does not begin with where it goes to")
	}
	in := archive.Incoming(func() ([]byte, error) {
		m, err := stream.Recv()
		return m.GetData(), err
	})
	defer in.Close()
	whole, err := tarball.Open(in, "orlop volume import "+start.Name+" -") // before a volume is made for it
	if err != nil {
		return fmt.Errorf("cannot import into volume %s: %w", start.Name, err)
	}
	defer whole.Close()
	reply, err := s.put(stream.Context(), whole, start)
	if err != nil {
		return err
	}
	return stream.SendAndClose(reply)
}

// put has the files of an archive in a volume, which is made for it if there is none. What
// does not come whole leaves no new volume behind.
func (s *Server) put(ctx context.Context, in io.Reader, start *api.VolumeInput_Start) (*api.ImportVolumeReply, error) {
	reply := &api.ImportVolumeReply{}
	tree, release, err := s.open(start.Name, true)
	if errors.Is(err, volume.ErrNone) {
		if err := s.Inventory.CreateVolume(start.Name, nil); err != nil {
			return nil, err
		}
		reply.Made = true
		tree, release, err = s.open(start.Name, true)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot import into volume %s: %w", start.Name, err)
	}
	isNew, err := s.fill(ctx, tree, in, start, reply)
	release()
	switch {
	case err == nil:
		return reply, s.Flush()
	case reply.Made:
		_, gone := s.Inventory.RemoveVolume(start.Name)
		return nil, errors.Join(fmt.Errorf("cannot import into volume %s, which is not made: %w", start.Name, err), gone, s.Flush())
	case errors.Is(err, errHasData):
		return nil, fmt.Errorf("volume %s %w", start.Name, err)
	case isNew:
		return nil, fmt.Errorf("cannot import all into volume %s, which has a part of it now (remove the volume, or --force the next import into it): %w", start.Name, err)
	}
	return nil, fmt.Errorf("cannot import all into volume %s, which has a part of it now: %w", start.Name, err)
}

var errHasData = errors.New("has files: --force adds those of the archive, in the place of those with the same name")

// fill unpacks an archive into a volume. isNew says that nothing was in there.
func (s *Server) fill(ctx context.Context, tree *archive.Tree, in io.Reader, start *api.VolumeInput_Start, reply *api.ImportVolumeReply) (isNew bool, err error) {
	isNew, err = volume.IsEmpty(tree.Path())
	switch {
	case err != nil:
		return isNew, err
	case !isNew && !start.Force:
		return isNew, errHasData
	}
	var left tarball.Notes
	u := &archive.Unpacker{Tree: tree, At: ".", Name: ".", Made: isNew, Owners: true, Note: left.Add}
	defer u.Close()
	if err = archive.Unpack(ctx, tar.NewReader(in), u); err == nil {
		err = u.Err()
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in) // what follows the end of an archive, a checksum among it
	}
	if err == nil {
		err = disk.Sync(tree.Path()) // what is said to be here is not lost with the power
	}
	reply.Notes, reply.Bytes = left.All(), u.Bytes
	return isNew, err
}
