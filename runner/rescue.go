package runner

import (
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

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
