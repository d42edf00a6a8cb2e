package tasks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/cgroups/v3/cgroup2"
	eventsapi "github.com/containerd/containerd/api/events"
	"github.com/containerd/containerd/v2/pkg/oom"
	oomv1 "github.com/containerd/containerd/v2/pkg/oom/v1"
	"github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/log"
	"github.com/fsnotify/fsnotify"
	"github.com/moby/sys/userns"
)

// oomWatcher tells when the kernel has killed a process of a container for want of memory.
type oomWatcher interface {
	Add(id string, pid int, cgroup any) error
	Remove(id string)
}

func newOOM(ctx context.Context, publisher shim.Publisher, send func(any)) (oomWatcher, error) {
	if isUnified() {
		return newFiles(ctx, "/sys/fs/cgroup", func(id string) { send(&eventsapi.TaskOOM{ContainerID: id}) })
	}
	w, err := oomv1.New(publisher)
	if err != nil {
		return nil, err
	}
	go w.Run(ctx)
	return descriptors{w}, nil
}

// descriptors are those of version 1, which end with their cgroup.
type descriptors struct{ watcher oom.Watcher }

func (d descriptors) Add(id string, _ int, cgroup any) error { return d.watcher.Add(id, cgroup) }

func (descriptors) Remove(string) {}

// files watches the files of version 2 that count, one watch for all containers.
type files struct {
	root   string
	killed func(id string)
	watch  *fsnotify.Watcher

	mu    sync.Mutex
	known map[string]*counted // guarded by mu; by the file
}

// counted is a file, and what it has counted.
type counted struct {
	id    string
	kills uint64
}

func newFiles(ctx context.Context, root string, killed func(id string)) (*files, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	f := &files{root: root, killed: killed, watch: w, known: map[string]*counted{}}
	go f.run(ctx)
	return f, nil
}

func (f *files) Add(id string, pid int, cgroup any) error {
	group, ok := cgroup.(*cgroup2.Manager)
	if !ok {
		return fmt.Errorf("its cgroup is not known: %T", cgroup)
	}
	// The controllers are there for cgroups that the container makes.
	all, err := group.RootControllers()
	if err == nil {
		err = group.ToggleControllers(all, cgroup2.Enable)
	}
	if err != nil && !userns.RunningInUserNS() {
		log.L.WithError(err).WithField("container", id).Error("cannot enable the controllers of a container's cgroup")
	}
	path, err := cgroup2.PidGroupPath(pid)
	if err != nil {
		return err
	}
	return f.addFile(id, path)
}

// addFile watches what a cgroup, by its path below the root, counts.
func (f *files) addFile(id, path string) error {
	path = filepath.Join(f.root, path, "memory.events")
	f.mu.Lock()
	f.known[path] = &counted{id: id}
	f.mu.Unlock()
	return f.watch.Add(path)
}

// Remove looks once more: what ended the container may be told by nobody else.
func (f *files) Remove(id string) {
	f.mu.Lock()
	path := ""
	for at, c := range f.known {
		if c.id == id {
			path = at
		}
	}
	f.mu.Unlock()
	if path == "" {
		return
	}
	f.look(path)
	f.mu.Lock()
	delete(f.known, path)
	f.mu.Unlock()
	_ = f.watch.Remove(path) // it may be gone with its cgroup
}

func (f *files) run(ctx context.Context) {
	defer f.watch.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.watch.Errors: // what it misses is told by the next change
		case e := <-f.watch.Events:
			f.look(e.Name)
		}
	}
}

// look tells when a file has counted more.
func (f *files) look(path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		return
	}
	kills := killsOf(string(text))
	f.mu.Lock()
	c := f.known[path]
	more := c != nil && kills > c.kills
	var id string
	if more {
		c.kills, id = kills, c.id
	}
	f.mu.Unlock()
	if more {
		f.killed(id)
	}
}

// killsOf is how many processes a cgroup's memory.events says were killed.
func killsOf(text string) uint64 {
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name == "oom_kill" {
			n, _ := strconv.ParseUint(value, 10, 64)
			return n
		}
	}
	return 0
}
