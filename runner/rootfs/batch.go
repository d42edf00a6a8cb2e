// Package rootfs is the root file system of a container as files are written into
// it and read from it: that of its process where it runs, else its layers with
// what is mounted in them. Every path is resolved inside of that root, for what
// is there is the container's: no link leads out of it, and nothing but plain
// files and directories is opened. It also makes the files that a container is
// given: secrets, configs, and those below /etc.
package rootfs

import (
	"errors"
	"io/fs"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrGone is the error of opening the root of a container that is removed.
var ErrGone = errors.New("it is removed")

// EntryKind says what an Entry does at its path.
type EntryKind int

// The kinds of entries.
const (
	EntryFile EntryKind = iota
	EntryDirectory
	EntrySymlink
	EntryRemove
	EntryMore // content goes on for the file before it
)

// Entry is one change of a container's files.
type Entry struct {
	Kind       EntryKind
	Path       string // absolute, in the container
	Mode       fs.FileMode
	Link       string
	Content    []byte
	Unfinished bool // more content follows
	// InPlace asks for the file that is there to be written, as a program on the
	// caller's side has written its own; else another file takes its place.
	InPlace bool
	// Anew says that there was another kind of thing on the caller's side:
	// nothing of what is there stays, not even a link to what is to come.
	Anew bool
}

// Failure is an entry that could not be carried out in a container.
type Failure struct {
	Container string
	Path      string
	Err       error
}

// Batch writes files into all containers of a service, through their roots.
type Batch struct {
	Files, Removed int
	Bytes          int64
	Failures       []Failure

	lanes []*lane // beside the first one only for many files
}

// NewBatch is a batch without containers. It must be closed.
func NewBatch() *Batch { return &Batch{lanes: []*lane{{}}} }

// Add gives a container's root to the batch, which closes it.
func (s *Batch) Add(root *Root) { s.lanes[0].roots = append(s.lanes[0].roots, root) }

// lane writes one entry after the other. Lanes share nothing but the disk.
type lane struct {
	roots          []*Root
	files, removed int
	bytes          int64
	failures       []Failure
}

// Files in a row that are worth another lane, and lanes at most.
const (
	laneFiles = 32
	mostLanes = 4
)

// Containers is how many containers the files are written to.
func (s *Batch) Containers() int { return len(s.lanes[0].roots) }

// Apply carries out entries in each container, in their order; whole files
// that follow each other are written side by side. What is there already as
// the entry would have it is left alone and not counted.
func (s *Batch) Apply(entries []Entry) {
	for len(entries) > 0 {
		n := wholeFiles(entries)
		if n < 2*laneFiles || !s.moreLanes() {
			n = max(n, 1)
			for _, e := range entries[:n] {
				s.lanes[0].apply(e)
			}
		} else {
			s.applyBeside(entries[:n])
		}
		entries = entries[n:]
	}
	for _, l := range s.lanes {
		s.Files, s.Removed, s.Bytes, s.Failures = s.Files+l.files, s.Removed+l.removed, s.Bytes+l.bytes, append(s.Failures, l.failures...)
		l.files, l.removed, l.bytes, l.failures = 0, 0, 0, nil
	}
}

// wholeFiles is how many files come first that are in one piece.
func wholeFiles(entries []Entry) int {
	for i, e := range entries {
		if e.Kind != EntryFile || e.Unfinished {
			return i
		}
	}
	return len(entries)
}

// applyBeside writes files by all lanes. Neighbours stay together: they are
// mostly in one directory.
func (s *Batch) applyBeside(files []Entry) {
	share := (len(files) + len(s.lanes) - 1) / len(s.lanes)
	var wg sync.WaitGroup
	for i, l := range s.lanes {
		from, to := min(i*share, len(files)), min((i+1)*share, len(files))
		wg.Go(func() {
			for _, e := range files[from:to] {
				l.apply(e)
			}
		})
	}
	wg.Wait()
}

// moreLanes opens the other lanes and says whether there are any.
func (s *Batch) moreLanes() bool {
	for len(s.lanes) < min(runtime.NumCPU(), mostLanes) {
		l := &lane{}
		for _, root := range s.lanes[0].roots {
			fd, err := unix.FcntlInt(uintptr(root.fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				l.close()
				return len(s.lanes) > 1
			}
			l.roots = append(l.roots, &Root{name: root.name, fd: fd, dirFD: -1, uid: root.uid, gid: root.gid, users: root.users})
		}
		s.lanes = append(s.lanes, l)
	}
	return len(s.lanes) > 1
}

// apply carries out one entry in each container.
func (l *lane) apply(e Entry) {
	changed := false
	for _, root := range l.roots {
		if root.has(e) {
			continue
		}
		if err := root.users.do(func() error { return root.apply(e) }); err != nil {
			l.failures = append(l.failures, Failure{Container: root.name, Path: e.Path, Err: err})
			continue
		}
		changed = true
	}
	switch {
	case !changed:
	case e.Kind == EntryRemove:
		l.removed++
	case e.Kind != EntryMore:
		l.files++
	}
	if changed {
		l.bytes += int64(len(e.Content))
	}
}

// Close ends the batch; a file that was not finished is dropped.
func (s *Batch) Close() {
	for _, l := range s.lanes {
		l.close()
	}
}

func (l *lane) close() {
	for _, root := range l.roots {
		root.Close()
	}
}
