package engine

import (
	"errors"
	"io"
	"io/fs"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner"
)

// Sync writes a batch of files into the running containers of a service.
func (s *server) Sync(stream api.Engine_SyncServer) error {
	msg, err := stream.Recv()
	if err != nil {
		return err
	}
	batch, err := s.runner.NewSync(msg.Project, msg.Service)
	if err != nil {
		return err
	}
	defer batch.Close()
	for {
		entries := make([]runner.Entry, 0, len(msg.Entries))
		for _, e := range msg.Entries {
			entries = append(entries, runner.Entry{
				Kind: entryKind(e.Kind), Path: e.Path, Mode: fs.FileMode(e.Mode), Link: e.Link, Content: e.Content, Unfinished: e.Unfinished,
			})
		}
		batch.Apply(entries)
		msg, err = stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
	}
	reply := &api.SyncReply{
		Files: int32(batch.Files), Removed: int32(batch.Removed), Bytes: batch.Bytes, Containers: int32(batch.Containers()),
	}
	for _, f := range batch.Failures {
		reply.Failures = append(reply.Failures, &api.SyncFailure{Container: f.Container, Path: f.Path, Error: f.Err.Error()})
	}
	return stream.SendAndClose(reply)
}

func entryKind(k api.SyncEntry_Kind) runner.EntryKind {
	switch k {
	case api.SyncEntry_DIRECTORY:
		return runner.EntryDirectory
	case api.SyncEntry_SYMLINK:
		return runner.EntrySymlink
	case api.SyncEntry_REMOVE:
		return runner.EntryRemove
	case api.SyncEntry_MORE:
		return runner.EntryMore
	}
	return runner.EntryFile
}
