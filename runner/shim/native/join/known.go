package join

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/opencontainers/runc/libcontainer"
)

// Known are containers as libcontainer has them, read once from what they are noted
// to be and then kept. A container serves one call at a time: it is locked while a process
// of it begins, which may take as long as the container is frozen, and a signal would
// wait for that. So each call has one of its own.
type Known struct {
	mu   sync.Mutex
	idle map[string][]known // guarded by mu; by the path of the note
}

// Container is one of libcontainer's, and what one who takes it leaves to the next.
type Container struct {
	*libcontainer.Container
	Left any
}

// known is a container, and of which note.
type known struct {
	container *Container
	note      note
}

// note is which file a container was read from: whoever notes something else, be it
// runc, does it by another file.
type note struct {
	path    string
	inode   uint64
	changed time.Time
}

// mostIdle is how many containers are kept at most, and mostAlike how many times each.
const mostIdle, mostAlike = 1000, 2

// sweepAt is after how many more containers it is looked whether those that are kept are there still.
const sweepAt = 64

func noteOf(root, id string) (note, error) {
	path := filepath.Join(root, id, "state.json")
	info, err := os.Stat(path)
	if err != nil {
		return note{path: path}, err
	}
	return note{path, info.Sys().(*syscall.Stat_t).Ino, info.ModTime()}, nil
}

// Take is a container for one call, and what to do after that.
func (k *Known) Take(root, id string) (*Container, func(), error) {
	n, err := noteOf(root, id)
	if errors.Is(err, os.ErrNotExist) {
		k.forget(n.path)
		return nil, nil, libcontainer.ErrNotExist
	}
	if err != nil {
		return nil, nil, err
	}
	c := k.pop(n)
	if c == nil {
		loaded, err := libcontainer.Load(root, id)
		if err != nil {
			return nil, nil, err
		}
		c = &Container{Container: loaded}
	}
	return c, func() { k.put(known{c, n}) }, nil
}

// Made keeps a container that a call has made, with its note.
func (k *Known) Made(c *libcontainer.Container, root, id string) {
	if n, err := noteOf(root, id); err == nil {
		k.put(known{&Container{Container: c}, n})
	}
}

// pop is an idle container of a note, nil if there is none.
func (k *Known) pop(n note) *Container {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.idle[n.path]
	for len(list) > 0 {
		last := list[len(list)-1]
		list = list[:len(list)-1]
		k.idle[n.path] = list
		if last.note.inode == n.inode && last.note.changed.Equal(n.changed) {
			return last.container
		}
	}
	return nil
}

func (k *Known) put(c known) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.idle == nil || len(k.idle) >= mostIdle {
		k.idle = map[string][]known{}
	}
	list, isKnown := k.idle[c.note.path]
	if !isKnown && len(k.idle)%sweepAt == sweepAt-1 {
		for path := range k.idle {
			if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
				delete(k.idle, path)
			}
		}
	}
	if len(list) < mostAlike {
		k.idle[c.note.path] = append(list, c)
	}
}

// Forget lets go of a container that is gone.
func (k *Known) Forget(root, id string) { k.forget(filepath.Join(root, id, "state.json")) }

func (k *Known) forget(path string) {
	k.mu.Lock()
	delete(k.idle, path)
	k.mu.Unlock()
}
