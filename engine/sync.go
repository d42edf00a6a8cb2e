package engine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner"
	"github.com/orlop/orlop/runner/filesync"
	"github.com/orlop/orlop/runner/rootfs"
)

// idleSync is how long a caller may send nothing: containers that don't run
// can't be started while it lasts.
const idleSync = 10 * time.Second

// Sync writes a batch of files into the containers of a service. One that is
// cut says what it has written: the next finds that there and doesn't count it.
func (s *server) Sync(stream api.Engine_SyncServer) error {
	msg, err := stream.Recv()
	if err != nil {
		return err
	}
	batch, err := filesync.Open(stream.Context(), s.runner, msg.Project, msg.Service)
	if err != nil {
		return err
	}
	defer batch.Close()
	if batch.Containers() == 0 {
		return fmt.Errorf("service %s has no container: %w", msg.Service, runner.ErrNotRunning)
	}
	cut, err := applyAll(msg, stream, batch)
	if err != nil {
		return err
	}
	reply := &api.SyncReply{
		Cut:   cut,
		Files: int32(batch.Files), Removed: int32(batch.Removed), Bytes: batch.Bytes, Containers: int32(batch.Containers()),
		Still: int32(batch.Still),
	}
	for _, f := range batch.Failures {
		reply.Failures = append(reply.Failures, &api.SyncFailure{Container: f.Container, Path: api.Valid(f.Path), Error: api.Valid(f.Err.Error())})
	}
	return stream.SendAndClose(reply)
}

// syncBatch is what a sync writes by.
type syncBatch interface {
	Apply(entries []rootfs.Entry)
	Wanted() <-chan struct{}
	ErrWanted() error
}

// applyAll applies a first message and those after it. It is cut where somebody
// else is to change what the batch holds.
func applyAll(msg *api.SyncInput, stream api.Engine_SyncServer, batch syncBatch) (cut string, err error) {
	for {
		entries := make([]rootfs.Entry, 0, len(msg.Entries))
		for _, e := range msg.Entries {
			entries = append(entries, rootfs.Entry{
				Kind: entryKind(e.Kind), Path: e.Path, Mode: fs.FileMode(e.Mode), Link: e.Link, Content: e.Content, Unfinished: e.Unfinished,
				InPlace: e.InPlace, Anew: e.Anew,
			})
		}
		batch.Apply(entries)
		msg, err = next(stream, batch)
		switch {
		case errors.Is(err, batch.ErrWanted()):
			return err.Error(), nil
		case errors.Is(err, io.EOF):
			return "", nil
		case err != nil:
			return "", err
		}
	}
}

// next is the next message, unless it is too long in coming or somebody else is
// to change what the batch holds.
func next(stream api.Engine_SyncServer, batch syncBatch) (*api.SyncInput, error) {
	type message struct {
		in  *api.SyncInput
		err error
	}
	came := make(chan message, 1)
	go func() { // ends with the stream, if not before
		in, err := stream.Recv()
		came <- message{in, err}
	}()
	timer := time.NewTimer(idleSync)
	defer timer.Stop()
	select {
	case m := <-came:
		return m.in, m.err
	case <-batch.Wanted():
		return nil, batch.ErrWanted()
	case <-timer.C:
		return nil, fmt.Errorf("the caller has sent nothing for %s", idleSync)
	}
}

func entryKind(k api.SyncEntry_Kind) rootfs.EntryKind {
	switch k {
	case api.SyncEntry_DIRECTORY:
		return rootfs.EntryDirectory
	case api.SyncEntry_SYMLINK:
		return rootfs.EntrySymlink
	case api.SyncEntry_REMOVE:
		return rootfs.EntryRemove
	case api.SyncEntry_MORE:
		return rootfs.EntryMore
	}
	return rootfs.EntryFile
}
