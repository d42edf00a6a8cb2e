package runner

import (
	"context"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/health"
	"github.com/orlop/orlop/runner/routines"
	"github.com/orlop/orlop/runner/supervisor"
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
	done := make(chan struct{})
	c.prober, c.probing = cancel, done
	started := c.state.StartedAt
	c.r.wg.Go(func() {
		defer close(done)
		c.probeLoop(ctx, p, task, started)
	})
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
	defer c.r.Helper.Use()()
	series := p.Begin(started, c.id)
	var doc *specs.Process // of the container's process that runs, as long as it does
	if !routines.Pause(ctx, series.First(c.r.Now())) {
		return
	}
	for {
		info := c.probeOnce(ctx, p, task, &doc)
		if ctx.Err() != nil {
			return
		}
		var is planner.Health
		var pause time.Duration
		is, info.Failing, pause = series.Next(c.snapshot().Health, info.ExitCode == 0, c.r.Now())
		c.onProbe(ctx, info, is, started)
		if !routines.Pause(ctx, pause) {
			return
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
		c.apply(supervisor.Probed{Health: is, Started: started})
	} else {
		c.r.feed.Tell(c.project, c.id)
	}
}

// probeOnce runs the probe's command in the container. A probe that takes too
// long is killed with its process group, and fails.
func (c *container) probeOnce(ctx context.Context, p *health.Check, task containerd.Task, doc **specs.Process) planner.ProbeInfo {
	info, code, output, err := planner.ProbeInfo{At: c.r.Now(), ExitCode: -1}, -1, "", error(nil)
	if *doc == nil {
		*doc, err = c.processSpec(ctx, ProcessOptions{Command: p.Args})
	}
	if err == nil {
		helper := c.r.Helper.For(!c.foreign && c.snapshot().Applied.Service.OtherRuntime() == "")
		code, output, err = helper.Run(ctx, task, *doc, exec.Bounds{Dir: c.r.fifoDir(c.id), Output: health.OutputSize, Time: p.Timeout})
	}
	info.Took, info.ExitCode = c.r.Now().Sub(info.At), code
	if err != nil { // which ends in what it had printed
		info.ExitCode, output = -1, err.Error()
	}
	info.Output = c.r.Mask(c.project).Cut(output)
	return info
}
