// Package shim keeps the parents of containers: an orlop-shim for each project, and
// a containerd-shim-runc-v2 for those of its containers that a program makes, which it
// starts, counts the tasks of, and ends. It knows what is
// left of a shim that has died or hangs, and says in plain words why runc could
// not begin a process. What becomes of a container whose shim is lost is not for
// it to decide.
package shim

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/sandbox"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"

	"github.com/orlop/orlop/runner/proc"
)

// The containers of a project share one shim. We start it and end it; for
// containerd it is the task service of a sandbox, lent by its address. So it
// starts no process of its own for each container that begins, and none that
// cleans up behind each that has ended. In turn the death of a shim is ours to
// deal with: the wait for each of its processes fails.

// sandboxID is the sandbox that containerd believes all containers to be in.
const sandboxID = "orlop"

// callTimeout bounds a call of a shim.
const callTimeout = 10 * time.Second

// startTimeout bounds the start of a shim, which on a busy machine takes a
// hundred times what it takes else.
const startTimeout = 30 * time.Second

// Config is what a Pool works with.
type Config struct {
	Client  *containerd.Client
	Dir     string // a directory for each shim
	Sockets string // directory of the shims' sockets
	Bundles string // containerd's directory of tasks in our namespace
	Address string // containerd's gRPC socket
	Events  string // containerd's ttrpc socket, for events of shims
	Program string // path of orlop-shim, which makes containers itself
	Caller  string // path of containerd-shim-runc-v2, which calls a runtime
	Runc    string // path of runc
	State   string // where runc keeps its state, in a directory a namespace
	Cgroup  func(container string) string
	Log     *slog.Logger

	// Runtimes are those of the settings as they are at the time of the call; may be nil.
	Runtimes func() (Runtimes, error)
	ByRunc   func() bool // containers are made by runc where nothing is said, as the settings are; may be nil
	Wrappers string      // a directory for programs that call a runtime with its arguments
}

// use is what a shim is for: the containers of a project that are made in one way.
type use struct {
	project string
	program string // ownShim or callingShim
}

// mostTasks is how many containers share a shim: it has some fifteen descriptors for each, which
// each process that it begins starts with a copy of and closes.
const mostTasks = 100

// Pool is the shims of an engine, by project.
type Pool struct {
	Config
	patience time.Duration                                  // startTimeout, but for tests
	killAll  func(ctx context.Context, cgroup string) error // proc.KillAll, but for tests

	mu    sync.Mutex      // guards what is in the shims, too; it is never held while one is started or asked
	used  map[use][]*Shim // guarded by mu
	found []*Shim         // guarded by mu; of an earlier engine, in use or beside those, until EndUnused
	// undeleted are the shims of containers whose tasks could not be deleted. Guarded by mu.
	undeleted map[string][]*Shim
}

// Shim is a process that is the parent of a project's containers.
type Shim struct {
	use
	dir     string        // whose name is the shim's ID; "" of a foreign one
	foreign string        // the container of one that containerd has started, and ends
	address string        // of its socket, as a URL; guarded by Pool.mu until started is closed
	started chan struct{} // closed when it answers, or never will

	err   error // why it can't be used; set before started is closed
	tasks int   // guarded by Pool.mu; that live in it, or are being made
	more  int   // guarded by Pool.mu; that an earlier engine made in it, and that are not counted yet
	ended bool  // guarded by Pool.mu
	dead  bool  // guarded by Pool.mu; it hung, and was killed
}

// document says in a shim's directory whose it is and where it answers.
type document struct {
	Project string `json:"project"`
	Address string `json:"address"`
	Program string `json:"program,omitempty"` // its name; of earlier versions "", a callingShim
}

// Open knows the shims of an earlier engine again, each with one task more than
// it has, until EndUnused.
func Open(ctx context.Context, cfg Config) (*Pool, error) {
	if cfg.Dir == "" || cfg.Sockets == "" || cfg.State == "" {
		return nil, errors.New("internal error: a pool of shims needs directories of its own: it removes what is left in them")
	}
	p := newPool(cfg)
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the shims: %w", err)
	}
	_, err := p.Client.SandboxStore().Create(ctx, sandbox.Sandbox{ID: sandboxID, Runtime: sandbox.RuntimeOpts{Name: p.Program}})
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return nil, fmt.Errorf("cannot keep the record of the shims: %w", err)
	}
	p.removeHalves()
	p.find()
	return p, nil
}

func newPool(cfg Config) *Pool {
	return &Pool{Config: cfg, patience: startTimeout, killAll: proc.KillAll, used: map[use][]*Shim{}, undeleted: map[string][]*Shim{}}
}

// Runtime makes a container one of those that a shim of the pool runs (a
// containerd.NewContainerOpts).
func (p *Pool) Runtime(ctx context.Context, client *containerd.Client, c *containers.Container) error {
	programs := containerd.WithRuntime(p.Program, &options.Options{BinaryName: p.Runc, Root: p.State})
	return errors.Join(programs(ctx, client, c), containerd.WithSandbox(sandboxID)(ctx, client, c))
}

// withPrograms runs a task by the shim's program of this engine and by a runtime, whatever
// the container was made with: containerd lets nobody change that. The shim notes
// the runtime with the task, and does all else with the task by it.
func (p *Pool) withPrograms(shim, runtime string) containerd.NewTaskOpts {
	return func(_ context.Context, _ *containerd.Client, info *containerd.TaskInfo) error {
		info.RuntimePath = p.path(shim)
		info.Options = &options.Options{BinaryName: runtime, Root: p.State}
		return nil
	}
}

// NewTask makes the process of a container in its project's shim, which is given
// back by Release. runtime is one of the settings, runc, or "" for what is done where nothing is said.
func (p *Pool) NewTask(ctx context.Context, project, runtime string, ctr containerd.Container, streams cio.Creator) (containerd.Task, *Shim, error) {
	if IsForeign(ctr) {
		return p.newForeign(ctx, project, ctr, streams)
	}
	program, err := p.program(runtime)
	if err != nil {
		return nil, nil, err
	}
	of := use{project, ownShim}
	if runtime != "" || p.ByRunc != nil && p.ByRunc() {
		of.program = callingShim
	}
	for more := p.count(of) + 1; ; more-- {
		s, err := p.acquire(ctx, of)
		if err != nil {
			return nil, nil, err
		}
		// A call that is given up half-way leaves a process that nobody knows.
		clean := context.WithoutCancel(ctx)
		task, err := ctr.NewTask(clean, streams, p.withPrograms(of.program, program), containerd.WithTaskAPIEndpoint("ttrpc+"+s.address, 3))
		if err == nil {
			return task, s, nil
		}
		gone := IsGone(err)
		if gone {
			p.DeleteLost(clean, ctr.ID()) // what it had made by then is in the next one's way
			p.lose(s)
		}
		p.Release(ctx, s, ctr.ID(), nil)
		if !gone || more == 0 || ctx.Err() != nil {
			return nil, nil, err
		}
		// It died under our hands; another is tried, as may be all that are there, and a new one once.
	}
}

// count is how many shims there are of a use but one.
func (p *Pool) count(of use) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, len(p.used[of])-1)
}

// acquire gives a shim to one more task, starting one for the first, and for the first that the others have
// no room for.
func (p *Pool) acquire(ctx context.Context, of use) (*Shim, error) {
	for {
		p.mu.Lock()
		var s *Shim
		i := slices.IndexFunc(p.used[of], func(s *Shim) bool { return s.tasks+s.more < mostTasks })
		first := i < 0
		if first {
			name := of.project + "-" + strings.ToLower(rand.Text()[:8]) // never that of one which is just ending
			s = &Shim{use: of, dir: filepath.Join(p.Dir, name), started: make(chan struct{})}
			p.used[of] = append(p.used[of], s)
		} else {
			s = p.used[of][i]
		}
		s.tasks++
		p.mu.Unlock()
		if first {
			if s.err = p.start(ctx, s); s.err != nil {
				p.lose(s)
			}
			close(s.started)
			return s, s.err
		}
		<-s.started // within the pool's patience
		if s.err == nil {
			return s, nil
		}
	}
}

// Release takes a task's part in a shim back; with the last, it ends. err is how
// deleting the task failed, or nil: a shim that still has one goes on until that is
// Deleted.
func (p *Pool) Release(ctx context.Context, s *Shim, id string, err error) {
	if s.foreign != "" {
		return
	}
	if err != nil && IsGone(err) {
		p.lose(s)
	}
	p.mu.Lock()
	if err != nil && !IsGone(err) && !errdefs.IsNotFound(err) {
		p.undeleted[id] = append(p.undeleted[id], s)
	}
	s.tasks--
	isOver := s.tasks <= 0 && p.retire(s) && !p.isHeld(s)
	p.mu.Unlock()
	if isOver {
		p.endOne(ctx, s)
	}
}

// Deleted is to be called when the task of a container has been deleted that could not
// be when it ended.
func (p *Pool) Deleted(ctx context.Context, id string) {
	p.mu.Lock()
	held := p.undeleted[id]
	delete(p.undeleted, id)
	over := slices.DeleteFunc(held, func(s *Shim) bool { return !s.ended || p.isHeld(s) })
	p.mu.Unlock()
	for _, s := range over {
		p.endOne(ctx, s)
	}
}

// isHeld says that a shim has a task that could not be deleted. The caller holds mu.
func (p *Pool) isHeld(s *Shim) bool {
	for _, holding := range p.undeleted {
		if slices.Contains(holding, s) {
			return true
		}
	}
	return false
}

func (p *Pool) endOne(ctx context.Context, s *Shim) {
	if err := p.end(ctx, s.dir, s.address); err != nil {
		p.Log.Warn("cannot end a shim", "project", s.project, "error", err)
	}
}

// lose notes that a shim has died, or was never there.
func (p *Pool) lose(s *Shim) {
	p.mu.Lock()
	lost := p.retire(s)
	p.mu.Unlock()
	if lost {
		_ = os.RemoveAll(s.dir)
	}
}

// retire takes a shim out of use, once. The caller holds mu, under which it has
// seen that nobody uses the shim any more.
func (p *Pool) retire(old *Shim) bool {
	if old.ended {
		return false
	}
	old.ended = true
	p.used[old.use] = slices.DeleteFunc(p.used[old.use], func(s *Shim) bool { return s == old })
	if len(p.used[old.use]) == 0 {
		delete(p.used, old.use)
	}
	return true
}

// find is what Open says of shims.
func (p *Pool) find() {
	p.mu.Lock()
	defer p.mu.Unlock()
	made := map[string]int{} // by address
	bundles, _ := filepath.Glob(filepath.Join(p.Bundles, "*"))
	for _, bundle := range bundles {
		if address, err := addressOf(bundle); err == nil {
			made[address]++
		}
	}
	entries, _ := os.ReadDir(p.Dir)
	for _, e := range entries {
		dir := filepath.Join(p.Dir, e.Name())
		var file document
		doc, err := os.ReadFile(filepath.Join(dir, "shim.json"))
		if err != nil || json.Unmarshal(doc, &file) != nil {
			_ = os.RemoveAll(dir) // the note comes first: there is no shim
			continue
		}
		s := &Shim{use: use{file.Project, cmp.Or(file.Program, callingShim)}, dir: dir, address: file.Address, started: make(chan struct{}), tasks: 1, more: made[file.Address]}
		close(s.started)
		p.found = append(p.found, s)
		p.used[s.use] = append(p.used[s.use], s)
	}
}

// EndUnused ends those of an earlier engine of which no task was adopted.
func (p *Pool) EndUnused(ctx context.Context) {
	p.mu.Lock()
	list := p.found
	p.found = nil
	for _, s := range list {
		s.more = 0
	}
	p.mu.Unlock()
	for _, s := range list {
		p.Release(ctx, s, "", nil)
	}
}

// Join counts a task that an earlier engine made to the shim that it is in; nil
// if that is not known, or has died.
func (p *Pool) Join(id string) *Shim {
	bundle := filepath.Join(p.Bundles, id)
	address, err := addressOf(bundle)
	if err != nil {
		return nil
	}
	if program, err := os.ReadFile(filepath.Join(bundle, "shim-binary-path")); err == nil && !isOurs(filepath.Base(string(program))) {
		return foreignAt(address, "", id)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.found {
		if s.address == address && !s.ended {
			s.tasks++
			s.more = max(0, s.more-1)
			return s
		}
	}
	return nil
}

// addressOf reads where the shim of a task answers.
func addressOf(bundle string) (string, error) {
	var params struct {
		Address string `json:"address"`
	}
	text, err := os.ReadFile(filepath.Join(bundle, "bootstrap.json"))
	if err != nil {
		return "", err
	}
	return params.Address, json.Unmarshal(text, &params)
}
