package runner

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/ttrpc"
)

// Rescued is a process that ran when the engine before was lost. Containerd
// forgets one that has ended meanwhile when it starts, with its exit code; so
// the shims are asked before that, and until every container was adopted.
type Rescued struct {
	ended  chan struct{} // closed when code and at are known
	code   int
	at     time.Time
	client *ttrpc.Client
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// Rescue asks the shims of an earlier engine for processes that have ended.
// bundles is containerd's directory of tasks in our namespace. ctx carries the
// namespace.
func Rescue(ctx context.Context, bundles string) map[string]*Rescued {
	var mu sync.Mutex
	var wg sync.WaitGroup
	found := map[string]*Rescued{}
	dirs, _ := filepath.Glob(filepath.Join(bundles, "*"))
	for _, bundle := range dirs {
		id := filepath.Base(bundle)
		wg.Go(func() {
			if r := rescue(ctx, id, bundle); r != nil {
				mu.Lock()
				found[id] = r
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return found
}

// rescue asks one shim; it is nil where none answers.
func rescue(ctx context.Context, id, bundle string) *Rescued {
	address, err := shimAddress(bundle)
	if err != nil {
		return nil
	}
	short, done := context.WithTimeout(ctx, 2*time.Second)
	defer done()
	client, err := dialShim(short, address)
	if err != nil {
		return nil
	}
	r := &Rescued{ended: make(chan struct{}), client: client}
	tasks := taskapi.NewTTRPCTaskClient(r.client)
	st, err := tasks.State(short, &taskapi.StateRequest{ID: id})
	if err != nil {
		r.client.Close()
		return nil
	}
	if st.Status == tasktypes.Status_STOPPED {
		r.code, r.at = int(st.ExitStatus), st.ExitedAt.AsTime()
		close(r.ended)
		return r
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.wait.Go(func() {
		if res, err := tasks.Wait(ctx, &taskapi.WaitRequest{ID: id}); err == nil {
			r.code, r.at = int(res.ExitStatus), res.ExitedAt.AsTime()
			close(r.ended)
		}
	})
	return r
}

// exit is how the process ended, where that is known by now or in a moment.
func (r *Rescued) exit() (code int, at time.Time, known bool) {
	if r == nil {
		return 0, time.Time{}, false
	}
	timer := time.NewTimer(time.Second)
	defer timer.Stop()
	select {
	case <-r.ended:
		return r.code, r.at, true
	case <-timer.C:
		return 0, time.Time{}, false
	}
}

// close ends the connection to the shim.
func (r *Rescued) close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.client.Close()
	r.wait.Wait()
}

// drainTime bounds how long the pipes of a process that has ended are read: a
// process that got away from its container may hold them open.
const drainTime = 2 * time.Second

// drainPipes puts into the log what is left in the pipes of a process that
// has ended: the keeper holds them open, and with them what is inside.
func (c *container) drainPipes() {
	dir := c.r.fifoDir(c.id)
	if _, err := os.Stat(dir); err != nil {
		return
	}
	paths := []string{filepath.Join(dir, "stdout"), filepath.Join(dir, "stderr")}
	spools := c.log.OpenSpools(paths[0], paths[1])
	var wg sync.WaitGroup
	for i, path := range paths {
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			f = nil
		} else if err := f.SetReadDeadline(time.Now().Add(drainTime)); err != nil {
			c.r.log.Warn("the pipes of a lost process are read without a limit", "container", c.name, "error", err)
		}
		wg.Go(func() {
			c.logStream(f, spools[i], i == 1, false)
			if f != nil {
				f.Close()
			}
		})
	}
	wg.Wait()
	c.dropPipes(c.r.ctx)
}
