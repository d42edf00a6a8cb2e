package shim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/proc"
)

// NoteProgram leaves word for containerd, before it starts, by which program the
// tasks of an earlier engine are reached: it would look for the one that made
// them, which an upgrade may have removed, and forget those that run. bundles
// is its directory of tasks in our namespace, program where orlop-shim is and caller
// containerd-shim-runc-v2.
func NoteProgram(bundles, program, caller string) error {
	notes, _ := filepath.Glob(filepath.Join(bundles, "*", "bootstrap.json"))
	var errs []error
	for _, note := range notes {
		path := filepath.Join(filepath.Dir(note), "shim-binary-path")
		is := caller // of versions that left no word
		if said, err := os.ReadFile(path); err == nil {
			name := filepath.Base(string(said))
			if name == ownShim {
				is = program
			}
			if string(said) == is || !isOurs(name) {
				continue // it is so already, or that of a runtime of the settings
			}
		}
		if err := os.WriteFile(path, []byte(is), 0o600); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// IsGone says that a call failed because there is no shim to answer it.
func IsGone(err error) bool {
	text := err.Error()
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ttrpc.ErrClosed) || errdefs.IsUnavailable(err) ||
		strings.Contains(text, "ttrpc: closed") || strings.Contains(text, "connection refused") ||
		strings.Contains(text, "connection reset") || strings.Contains(text, "no such file or directory") && strings.Contains(text, "dial unix")
}

// IsKnownToRunc says that runc has a state of a container's process.
func (p *Pool) IsKnownToRunc(id string) bool {
	found, _ := filepath.Glob(filepath.Join(p.State, "*", id))
	return len(found) > 0
}

// DeleteLost removes what a shim that died has left of a task: its processes,
// containerd's directory with its mounts, and the runtime's state with its cgroup.
func (p *Pool) DeleteLost(ctx context.Context, id string) {
	runtime, cgroup := runtimeOf(filepath.Join(p.Bundles, id), p.Runc), p.Cgroup(id) // the runtime's name goes with the task
	// What the runtime was just making is in nobody's notes. It must not go on in
	// directories that are taken away.
	hasEnded := p.killProcesses(ctx, id, cgroup)
	isForgotten := p.forgetTask(ctx, id)
	if err := p.deleteState(ctx, id, runtime); err != nil {
		p.Log.Warn("cannot remove what the runtime knows of a container", "container", id, "runtime", runtime, "error", err)
	}
	proc.RemoveCgroups(cgroup)
	if !hasEnded || !isForgotten {
		return // the next task of the container is refused, until containerd has forgotten this one
	}
	if err := removeBundle(filepath.Join(p.Bundles, id)); err != nil {
		p.Log.Warn("cannot remove the directory of a task", "container", id, "error", err)
	}
}

// Each part of DeleteLost has a deadline of its own: what is left of a container is to be
// removed also where its processes don't end.

// killProcesses says whether nothing of a container runs any more.
func (p *Pool) killProcesses(ctx context.Context, id, cgroup string) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := p.killAll(ctx, cgroup)
	if err != nil {
		p.Log.Warn("cannot end what is left of a container: the directory of its task stays", "container", id, "error", err)
	}
	return err == nil
}

// forgetTask says whether containerd has forgotten a task.
func (p *Pool) forgetTask(ctx context.Context, id string) bool {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	_, err := p.Client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	err = errgrpc.ToNative(err)
	isForgotten := err == nil || errdefs.IsNotFound(err)
	if !isForgotten && !IsGone(err) {
		p.Log.Warn("cannot delete a task whose shim is gone", "container", id, "error", err)
	}
	return isForgotten
}

// deleteState has a runtime forget a container.
func (p *Pool) deleteState(ctx context.Context, id, runtime string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return err
	}
	out, err := exec.CommandContext(ctx, runtime, "--root", filepath.Join(p.State, ns), "delete", "--force", id).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// removeBundle removes a directory of containerd's for a task that it knows no more,
// with all that stands below its mounts.
func removeBundle(path string) error {
	if err := mount.UnmountRecursive(filepath.Join(path, "rootfs"), unix.MNT_DETACH); err != nil {
		return err // what is mounted there would be removed, too
	}
	return os.RemoveAll(path)
}

// removeHalves removes what containerd has left of the directories of tasks where it could not remove all
// of one, for want of descriptors or memory: it has named them aside, and knows them no more.
func (p *Pool) removeHalves() {
	if p.Bundles == "" {
		return
	}
	halves, _ := filepath.Glob(filepath.Join(p.Bundles, ".*"))
	for _, half := range halves {
		if !isID(strings.TrimPrefix(filepath.Base(half), ".")) {
			continue
		}
		if err := removeBundle(half); err != nil {
			p.Log.Warn("cannot remove what is left of the directory of a task", "path", half, "error", err)
		}
	}
}

// Tidy removes what no shim needs once there is no container: the sockets of
// those that are gone, for a shim of several containers leaves its own behind,
// and runc's directories, which are empty.
func (p *Pool) Tidy() {
	p.removeHalves()
	paths, _ := filepath.Glob(filepath.Join(p.Sockets, "*"))
	for _, path := range paths {
		conn, err := net.Dial("unix", path)
		if err == nil {
			conn.Close()
		} else if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(path)
		}
	}
	dirs, _ := filepath.Glob(filepath.Join(p.State, "*"))
	for _, dir := range append(dirs, p.State) {
		_ = os.Remove(dir)
	}
}
