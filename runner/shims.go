package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	bootapi "github.com/containerd/containerd/api/runtime/bootstrap/v1"
	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	shimapi "github.com/containerd/containerd/v2/pkg/shim"
	"github.com/containerd/errdefs"
	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/proto"
)

// The containers of a project share one shim. We start it and end it; for
// containerd it is the task service of a sandbox, lent by its address. So it
// starts no process of its own for each container that begins, and none that
// cleans up behind each that has ended. In turn the death of a shim is ours to
// deal with: the wait for each of its processes fails.

// sandboxID is the sandbox that containerd believes all containers to be in.
const sandboxID = "orlop"

// shimTimeout bounds a call of a shim.
const shimTimeout = 10 * time.Second

// ensureSandbox makes the one sandbox known to containerd.
func (r *Runner) ensureSandbox(ctx context.Context) error {
	_, err := r.client.SandboxStore().Create(ctx, sandbox.Sandbox{ID: sandboxID, Runtime: sandbox.RuntimeOpts{Name: r.Shim}})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("cannot keep the record of the shims: %w", err)
	}
	return nil
}

// renew points a container at the program of this engine that "init: true"
// mounts: that of an earlier version may be gone since it last ran.
func (r *Runner) renew(ctx context.Context, ctr containerd.Container) error {
	doc, err := ctr.Spec(ctx)
	if err != nil {
		return err
	}
	for i := range doc.Mounts {
		if doc.Mounts[i].Destination == "/dev/init" && doc.Mounts[i].Source != r.Init {
			doc.Mounts[i].Source = r.Init
			return ctr.Update(ctx, containerd.UpdateContainerOpts(containerd.WithSpec(doc)))
		}
	}
	return nil
}

// withPrograms runs a task by the programs of this engine, whatever the
// container was made with: containerd lets nobody change that.
func (r *Runner) withPrograms(_ context.Context, _ *containerd.Client, info *containerd.TaskInfo) error {
	info.RuntimePath = r.Shim
	info.Options = &options.Options{BinaryName: r.Runc, Root: r.runcRoot()}
	return nil
}

// NoteShims leaves word for containerd, before it starts, by which program the
// tasks of an earlier engine are reached: it would look for the one that made
// them, which an upgrade may have removed, and forget those that run. bundles
// is its directory of tasks in our namespace.
func NoteShims(bundles, shim string) error {
	notes, _ := filepath.Glob(filepath.Join(bundles, "*", "bootstrap.json"))
	var errs []error
	for _, note := range notes {
		path := filepath.Join(filepath.Dir(note), "shim-binary-path")
		if said, err := os.ReadFile(path); err == nil && string(said) == shim {
			continue
		}
		if err := os.WriteFile(path, []byte(shim), 0o600); !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// shims are the shims of this engine, by project. Its lock guards what is in
// them too, and is never held while one is started or asked.
type shims struct {
	dir string // a directory for each

	mu   sync.Mutex
	used map[string]*shim // guarded by mu
	more []*shim          // guarded by mu; of an earlier engine, beside those in use
}

// shim is a process that is the parent of a project's containers.
type shim struct {
	project string
	dir     string        // whose name is the shim's ID
	address string        // of its socket, as a URL
	started chan struct{} // closed when it answers, or never will

	err   error // why it can't be used; set before started is closed
	tasks int   // guarded by shims.mu; that live in it, or are being made
	ended bool  // guarded by shims.mu
}

// shimFile says in a shim's directory whose it is and where it answers.
type shimFile struct {
	Project string `json:"project"`
	Address string `json:"address"`
}

// newTask makes the process of a container in its project's shim.
func (r *Runner) newTask(ctx context.Context, c *container, ctr containerd.Container) (containerd.Task, error) {
	for again := true; ; again = false {
		s, err := r.acquireShim(ctx, c.project)
		if err != nil {
			return nil, err
		}
		// A call that is given up half-way leaves a process that nobody knows.
		task, err := ctr.NewTask(context.WithoutCancel(ctx), c.openStreams,
			c.r.withPrograms, containerd.WithTaskAPIEndpoint("ttrpc+"+s.address, 3))
		if err == nil {
			c.mu.Lock()
			c.shim = s
			c.mu.Unlock()
			return task, nil
		}
		gone := isShimGone(err)
		if gone {
			r.loseShim(s)
			c.deleteLostTask(context.WithoutCancel(ctx)) // what it had made by then is in the next one's way
		}
		r.releaseShim(ctx, s)
		if !gone || !again || ctx.Err() != nil {
			return nil, err
		}
		// It died under our hands; another is tried, once.
	}
}

// acquireShim gives the shim of a project to one more task, starting it for
// the first.
func (r *Runner) acquireShim(ctx context.Context, project string) (*shim, error) {
	for {
		r.shims.mu.Lock()
		s := r.shims.used[project]
		first := s == nil
		if first {
			name := project + "-" + newID()[:8] // never that of one which is just ending
			s = &shim{project: project, dir: filepath.Join(r.shims.dir, name), started: make(chan struct{})}
			r.shims.used[project] = s
		}
		s.tasks++
		r.shims.mu.Unlock()
		if first {
			if s.err = r.startShim(ctx, s); s.err != nil {
				r.loseShim(s)
			}
			close(s.started)
			return s, s.err
		}
		<-s.started // within shimTimeout
		if s.err == nil {
			return s, nil
		}
	}
}

// releaseShim takes a task's part in a shim back; with the last, it ends.
func (r *Runner) releaseShim(ctx context.Context, s *shim) {
	r.shims.mu.Lock()
	s.tasks--
	last := s.tasks <= 0 && r.shims.retire(s)
	r.shims.mu.Unlock()
	if !last {
		return
	}
	if err := r.endShim(ctx, s.dir, s.address); err != nil {
		r.log.Warn("cannot end a shim", "project", s.project, "error", err)
	}
}

// loseShim notes that a shim has died, or was never there.
func (r *Runner) loseShim(s *shim) {
	r.shims.mu.Lock()
	lost := r.shims.retire(s)
	r.shims.mu.Unlock()
	if lost {
		_ = os.RemoveAll(s.dir)
	}
}

// retire takes a shim out of use, once. The caller holds mu, under which it has
// seen that nobody uses the shim any more.
func (s *shims) retire(old *shim) bool {
	if old.ended {
		return false
	}
	old.ended = true
	if s.used[old.project] == old {
		delete(s.used, old.project)
	}
	return true
}

// startShim starts the process. Its address is known before, and noted: an
// engine that is killed in the middle leaves word of it to the next one.
func (r *Runner) startShim(ctx context.Context, s *shim) error {
	name := filepath.Base(s.dir)
	err := os.MkdirAll(s.dir, 0o700)
	if err == nil {
		s.address, err = shimapi.CreateSocketAddress(ctx, r.shimSockets(), r.Address, name, false)
	}
	if err == nil {
		err = s.note()
	}
	if err == nil {
		err = r.runShim(ctx, name, s)
		if err != nil {
			err = errors.Join(err, r.endShim(ctx, s.dir, s.address))
		}
	}
	if err != nil {
		return fmt.Errorf("cannot start the parent process of %s's containers: %w", s.project, err)
	}
	return nil
}

// note leaves word of a shim in its directory.
func (s *shim) note() error {
	doc, err := json.Marshal(shimFile{Project: s.project, Address: s.address})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(s.dir, "shim.json"), doc, 0o600)
}

// shimSockets is the directory of the shims' sockets.
func (r *Runner) shimSockets() string { return filepath.Join(r.State, "s") }

// runShim calls the program as containerd does (its runtime v2 README,
// "start"), which prints the address of the process that it leaves behind.
func (r *Runner) runShim(ctx context.Context, name string, s *shim) error {
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return err
	}
	sockets := r.shimSockets()
	stdin, err := proto.Marshal(&bootapi.BootstrapParams{
		InstanceID: name, Namespace: ns, SocketDir: &sockets, ContainerdBinary: os.Args[0],
		ContainerdGrpcAddress: r.Address, ContainerdTtrpcAddress: r.TTRPCAddress,
	})
	if err != nil {
		return err
	}
	for file, text := range map[string]string{"config.json": "{}", "log": ""} {
		if err := os.WriteFile(filepath.Join(s.dir, file), []byte(text), 0o600); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shimTimeout)
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, r.Shim, "-namespace", ns, "-address", r.Address, "-publish-binary", os.Args[0], "-id", name, "start")
	cmd.Dir, cmd.Stdin, cmd.Stderr = s.dir, bytes.NewReader(stdin), &stderr
	cmd.Env = append(os.Environ(), "GOMAXPROCS=2", "MAX_SHIM_VERSION=3",
		"TTRPC_ADDRESS="+r.TTRPCAddress, "GRPC_ADDRESS="+r.Address, "NAMESPACE="+ns)
	// What starts the process ends with the engine, so that the next one finds
	// either a process that answers or none. The signal comes with the end of
	// the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var result bootapi.BootstrapResult
	if err := proto.Unmarshal(out, &result); err != nil {
		return fmt.Errorf("what it printed can't be read: %w", err)
	}
	if result.Address != s.address {
		s.address = result.Address
		return s.note()
	}
	return nil
}

// endShim asks a shim to end; one that has tasks goes on.
func (r *Runner) endShim(ctx context.Context, dir, address string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), shimTimeout)
	defer cancel()
	client, err := dialShim(ctx, address)
	if err == nil {
		defer client.Close()
		_, err = taskapi.NewTTRPCTaskClient(client).Shutdown(ctx, &taskapi.ShutdownRequest{ID: filepath.Base(dir)})
		if errors.Is(err, ttrpc.ErrClosed) {
			err = nil // it was faster to end than to answer
		} else if err == nil {
			// It says yes and goes on while it has a task that we don't know of.
			err = client.UserOnCloseWait(ctx)
		}
	} else if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, os.ErrNotExist) {
		err = nil // it has ended
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(dir)
}

func dialShim(ctx context.Context, address string) (*ttrpc.Client, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", strings.TrimPrefix(address, "unix://"))
	if err != nil {
		return nil, err
	}
	return ttrpc.NewClient(conn), nil
}

// findShims knows the shims of an earlier engine again, each with one task
// more than it has, until endUnusedShims.
func (r *Runner) findShims() {
	r.shims.mu.Lock()
	defer r.shims.mu.Unlock()
	entries, _ := os.ReadDir(r.shims.dir)
	for _, e := range entries {
		dir := filepath.Join(r.shims.dir, e.Name())
		var file shimFile
		doc, err := os.ReadFile(filepath.Join(dir, "shim.json"))
		if err != nil || json.Unmarshal(doc, &file) != nil {
			_ = os.RemoveAll(dir) // the note comes first: there is no shim
			continue
		}
		s := &shim{project: file.Project, dir: dir, address: file.Address, started: make(chan struct{}), tasks: 1}
		close(s.started)
		if _, taken := r.shims.used[file.Project]; taken {
			r.shims.more = append(r.shims.more, s)
			continue
		}
		r.shims.used[file.Project] = s
	}
}

// endUnusedShims ends those of which no task was adopted.
func (r *Runner) endUnusedShims(ctx context.Context) {
	r.shims.mu.Lock()
	list := slices.Concat(slices.Collect(maps.Values(r.shims.used)), r.shims.more)
	r.shims.more = nil
	r.shims.mu.Unlock()
	for _, s := range list {
		r.releaseShim(ctx, s)
	}
}

// rejoin counts a task that an earlier engine made to its shim.
func (c *container) rejoin() {
	address, err := shimAddress(filepath.Join(c.r.Bundles, c.id))
	if err != nil {
		return
	}
	found := c.r.shims.join(c.project, address)
	c.mu.Lock()
	c.shim = found
	c.mu.Unlock()
}

// join counts one more task to a project's shim at an address; nil if there is
// none.
func (s *shims) join(project, address string) *shim {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, known := range append([]*shim{s.used[project]}, s.more...) {
		if known != nil && known.address == address {
			known.tasks++
			return known
		}
	}
	return nil
}

// shimAddress reads where the shim of a task answers.
func shimAddress(bundle string) (string, error) {
	var params struct {
		Address string `json:"address"`
	}
	text, err := os.ReadFile(filepath.Join(bundle, "bootstrap.json"))
	if err != nil {
		return "", err
	}
	return params.Address, json.Unmarshal(text, &params)
}

// isShimGone says that a call failed because there is no shim to answer it.
func isShimGone(err error) bool {
	text := err.Error()
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, ttrpc.ErrClosed) || errdefs.IsUnavailable(err) ||
		strings.Contains(text, "ttrpc: closed") || strings.Contains(text, "connection refused") ||
		strings.Contains(text, "connection reset") || strings.Contains(text, "no such file or directory") && strings.Contains(text, "dial unix")
}

// isKnownToRunc says that runc has a state of the container's process.
func (c *container) isKnownToRunc() bool {
	found, _ := filepath.Glob(filepath.Join(c.r.runcRoot(), "*", c.id))
	return len(found) > 0
}

// deleteLostTask removes what a shim that died has left of a task: containerd's
// directory with its mounts, and runc's state with its cgroup.
func (c *container) deleteLostTask(ctx context.Context) {
	_, err := c.r.client.TaskService().Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: c.id})
	if err != nil && !isShimGone(err) && !errdefs.IsNotFound(err) {
		c.r.log.Warn("cannot delete a task whose shim is gone", "container", c.name, "error", err)
	}
	ns, err := namespaces.NamespaceRequired(ctx)
	if err != nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, shimTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, c.r.Runc, "--root", filepath.Join(c.r.runcRoot(), ns), "delete", "--force", c.id).CombinedOutput()
	if err != nil {
		c.r.log.Warn("cannot remove what runc knows of a container", "container", c.name, "error", err, "output", string(out))
	}
}
