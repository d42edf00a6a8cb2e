package shim

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	tasktypes "github.com/containerd/containerd/api/types/task"
	"github.com/containerd/ttrpc"

	"github.com/orlop/orlop/runner/shim/fifos"
)

// Exit is the end of a process that ran when the engine before was lost.
// Containerd forgets one that has ended meanwhile when it starts, with its exit
// code and what it has printed last; so its shim is asked before that, and its
// pipes are held, until the container was adopted.
type Exit struct {
	ended  chan struct{} // closed when code and at are known
	code   int
	at     time.Time
	client *ttrpc.Client
	pipes  fifos.Held
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// AwaitExits asks the shims of an earlier engine for processes that have ended;
// containerd, which forgets those, must not have been started yet. bundles is its
// directory of tasks in our namespace. Each must be closed. ctx carries the
// namespace.
func AwaitExits(ctx context.Context, bundles string) map[string]*Exit {
	var mu sync.Mutex
	var wg sync.WaitGroup
	found := map[string]*Exit{}
	dirs, _ := filepath.Glob(filepath.Join(bundles, "*"))
	for _, bundle := range dirs {
		id := filepath.Base(bundle)
		wg.Go(func() {
			if r := awaitExit(ctx, id, bundle); r != nil {
				mu.Lock()
				found[id] = r
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return found
}

// awaitExit asks the shim of one container; it is nil where none answers.
func awaitExit(ctx context.Context, id, bundle string) *Exit {
	address, err := addressOf(bundle)
	if err != nil {
		return nil
	}
	short, done := context.WithTimeout(ctx, 2*time.Second)
	defer done()
	client, err := dial(short, address)
	if err != nil {
		return nil
	}
	r := &Exit{ended: make(chan struct{}), client: client}
	tasks := taskapi.NewTTRPCTaskClient(r.client)
	st, err := tasks.State(short, &taskapi.StateRequest{ID: id})
	if err != nil {
		r.client.Close()
		return nil
	}
	r.pipes = fifos.Hold(st.Stdout, st.Stderr)
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

// Result is how the process ended, where that is known by now or in a moment.
func (r *Exit) Result() (code int, at time.Time, known bool) {
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

// Close ends the connection to the shim.
func (r *Exit) Close() {
	if r.cancel != nil {
		r.cancel()
	}
	r.client.Close()
	r.wait.Wait()
	r.pipes.Close()
}
