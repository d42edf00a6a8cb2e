package runner

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/shim"
)

// Rescue asks the shims of an earlier engine for processes that have ended;
// containerd, which forgets those, must not have been started yet.
// bundles is containerd's directory of tasks in our namespace. ctx carries the
// namespace.
func Rescue(ctx context.Context, store Store, bundles string) map[string]*shim.Exit {
	docs, err := store.Load(bucketContainers)
	if err != nil {
		return nil
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	found := map[string]*shim.Exit{}
	for id, doc := range docs {
		var rec record
		if json.Unmarshal(doc, &rec) != nil || rec.State != planner.Running && rec.State != planner.Stopping {
			continue
		}
		wg.Go(func() {
			if r := shim.AwaitExit(ctx, id, bundles); r != nil {
				mu.Lock()
				found[id] = r
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return found
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
