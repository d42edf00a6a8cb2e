package runner

import (
	"bytes"
	"context"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/runner/shim"
)

const (
	probeOutput = 4 << 10
	probeLeave  = time.Second // for the output of a probe that has ended
)

// startProbes begins to check the health of the process that runs now, by the
// health check in force, if there is one.
func (c *container) startProbes() {
	c.stopProbes()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, task := c.made.Probe, c.task
	if p == nil || task == nil || c.detached {
		return
	}
	ctx, cancel := context.WithCancel(c.r.ctx)
	c.prober = cancel
	started := c.state.StartedAt
	c.r.wg.Go(func() { c.probeLoop(ctx, p, task, started) })
}

func (c *container) stopProbes() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.prober != nil {
		c.prober()
		c.prober = nil
	}
}

// probeLoop probes until ctx ends.
func (c *container) probeLoop(ctx context.Context, p *health.Check, task containerd.Task, started time.Time) {
	series := p.Begin(started)
	for {
		info := c.probeOnce(ctx, p, task)
		if ctx.Err() != nil {
			return
		}
		var is planner.Health
		var pause time.Duration
		is, info.Failing, pause = series.Next(c.snapshot().Health, info.ExitCode == 0, c.r.Now())
		c.onProbe(ctx, info, is, started)
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// onProbe notes how a probe has ended.
func (c *container) onProbe(ctx context.Context, info planner.ProbeInfo, is planner.Health, started time.Time) {
	c.mu.Lock()
	if ctx.Err() != nil {
		c.mu.Unlock()
		return
	}
	changed := c.state.Health != is
	c.last = &info
	c.mu.Unlock()
	if changed {
		c.apply(probed{health: is, started: started})
	} else {
		c.r.changed(c.project, c.id)
	}
}

// probeOnce runs the probe's command in the container. A probe that takes too
// long is killed with all that it began, and fails.
func (c *container) probeOnce(ctx context.Context, p *health.Check, task containerd.Task) planner.ProbeInfo {
	begun := c.r.Now()
	info := planner.ProbeInfo{At: begun, ExitCode: -1}
	out := &boundedBuffer{limit: probeOutput}
	code, err := c.probeExec(ctx, p, task, out)
	info.Took, info.ExitCode, info.Output = c.r.Now().Sub(begun), code, c.r.Mask(c.project).Cut(out.String())
	if err != nil {
		info.ExitCode, info.Output = -1, err.Error()
	}
	return info
}

func (c *container) probeExec(ctx context.Context, p *health.Check, task containerd.Task, out *boundedBuffer) (int, error) {
	doc, err := c.processSpec(ctx, ProcessOptions{Command: p.Args})
	if err != nil {
		return -1, err
	}
	return c.runProcess(ctx, task, doc, out, p.Timeout)
}

// runProcess runs a process in the container to its end, or kills it after
// the time-out (0: none).
func (c *container) runProcess(ctx context.Context, task containerd.Task, doc *specs.Process, out *boundedBuffer, timeout time.Duration) (int, error) {
	clean := context.WithoutCancel(ctx)
	process, err := task.Exec(clean, "p"+newID()[:12], doc, c.execStreams(false, false, out, out))
	if err != nil {
		return -1, err
	}
	streams := process.IO().(*execIO)
	defer func() {
		short, cancel := context.WithTimeout(clean, probeLeave)
		defer cancel()
		streams.handOver()
		_, _ = process.Delete(short, containerd.WithProcessKill)
		streams.Close()
	}()
	exits, err := process.Wait(clean)
	if err != nil {
		return -1, err
	}
	if err := process.Start(clean); err != nil {
		return -1, shim.Explain(err)
	}
	streams.handOver()
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case status := <-exits:
		// What it leaves behind may hold its output open for ever.
		read := make(chan struct{})
		go func() { streams.Wait(); close(read) }()
		select {
		case <-read:
		case <-time.After(probeLeave):
			streams.Close()
		}
		return int(status.ExitCode()), status.Error()
	case <-late:
		err = health.TimedOut(timeout, out.String())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = process.Kill(clean, unix.SIGKILL)
	return -1, err
}

// boundedBuffer keeps the first bytes of an output.
type boundedBuffer struct {
	mu    sync.Mutex
	limit int
	buf   bytes.Buffer // guarded by mu
}

func (b *boundedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if room := b.limit - b.buf.Len(); room > 0 {
		b.buf.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

func (b *boundedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
