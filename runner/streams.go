package runner

import (
	"context"
	"os"

	"github.com/containerd/containerd/v2/pkg/cio"

	"github.com/orlop/orlop/runner/logs"
	"github.com/orlop/orlop/runner/stdio"
)

// openStreams makes the pipes for a new process (a cio.Creator).
func (c *container) openStreams(string) (cio.IO, error) {
	dir := c.r.fifoDir(c.id)
	c.mu.Lock()
	before, made := c.streams, c.made
	c.mu.Unlock()
	if before != nil { // of a try that failed: they have the same paths
		before.Close()
		before.Wait()
	}
	c.tap.Begin()
	config, err := stdio.Make(dir, made.Terminal, made.Stdin)
	if err != nil {
		return nil, err
	}
	logs.RemoveSpool(config.Stdout)
	logs.RemoveSpool(config.Stderr)
	return c.connectStreams(config, true)
}

// attachStreams opens the pipes of a process that runs already (a cio.Attach).
func (c *container) attachStreams(set *cio.FIFOSet) (cio.IO, error) {
	return c.connectStreams(set.Config, false)
}

// connectStreams reads the pipes into the log and to whoever is attached.
func (c *container) connectStreams(config cio.Config, fresh bool) (cio.IO, error) {
	spools := c.log.OpenSpools(config.Stdout, config.Stderr)
	s, err := stdio.Open(config, fresh, func(f *os.File, stderr bool) { c.logStream(f, spools[logs.Index(stderr)], stderr, true) })
	if err != nil {
		return nil, err
	}
	c.tap.SetStdin(s.Stdin())
	// The shim lets go of the pipes when the process has ended. What no engine
	// has read by then would go with them, but for the keeper's descriptors.
	if err := c.r.Keeping.Keep(c.r.ctx, c.pipesKey(), s.Outputs()...); err != nil {
		c.r.log.Warn("cannot keep the pipes of a container", "container", c.name, "error", err)
	}
	c.mu.Lock()
	c.streams = s
	c.mu.Unlock()
	return s, nil
}

// pipesKey names the container's pipes to the keeper.
func (c *container) pipesKey() string { return pipesPrefix + c.id }

// dropPipes lets go of pipes that were read to their end.
func (c *container) dropPipes(ctx context.Context) {
	if err := c.r.Keeping.Drop(ctx, c.pipesKey()); err != nil && c.r.ctx.Err() == nil {
		c.r.log.Warn("cannot let go of the pipes of a container", "container", c.name, "error", err)
	}
}

// logStream puts what comes out of a pipe into the log, and gives it to whoever
// is attached; see logs.Stream.
func (c *container) logStream(f *os.File, s *logs.Spool, stderr, live bool) {
	c.log.Copy(logs.Stream{
		Pipe: f, Spool: s, Stderr: stderr, Live: live, Detached: c.isDetached,
		Tee: func(chunk []byte) { c.tap.Write(stderr, chunk) },
	})
}

// drainPipes puts into the log what is left in the pipes of a process that
// has ended: the keeper holds them open, and with them what is inside.
func (c *container) drainPipes() {
	dir := c.r.fifoDir(c.id)
	if _, err := os.Stat(dir); err != nil {
		return
	}
	config := stdio.Paths(dir)
	spools := c.log.OpenSpools(config.Stdout, config.Stderr)
	err := stdio.Drain(config, func(f *os.File, stderr bool) { c.logStream(f, spools[logs.Index(stderr)], stderr, false) })
	if err != nil {
		c.r.log.Warn("the pipes of a lost process are read without a limit", "container", c.name, "error", err)
	}
	c.dropPipes(c.r.ctx)
}
