package runner

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/shim"
	"github.com/orlop/orlop/spec"
)

// probe is the health check in force: the service's fields over the image's
// over the defaults (Compose Specification, healthcheck).
type probe struct {
	Args          []string      `json:"args"`
	Interval      time.Duration `json:"interval"`
	Timeout       time.Duration `json:"timeout"`
	Retries       int           `json:"retries"`
	StartPeriod   time.Duration `json:"start_period"`
	StartInterval time.Duration `json:"start_interval"`
}

// Defaults of a health check, as Docker has them.
const (
	probeInterval = 30 * time.Second
	probeTimeout  = 30 * time.Second
	probeRetries  = 3
	probeOutput   = 4 << 10
	probeLeave    = time.Second           // for the output of a probe that has ended
	probeEarliest = 50 * time.Millisecond // between the first tries of a container that starts
)

// probeFor merges a service's health check with its image's. It is nil where
// there is none, or it is switched off.
func probeFor(h *spec.HealthCheck, image *dockerspec.HealthcheckConfig) *probe {
	p := probe{Interval: probeInterval, Timeout: probeTimeout, Retries: probeRetries}
	var test []string
	if image != nil {
		test = image.Test
		set(&p.Interval, image.Interval)
		set(&p.Timeout, image.Timeout)
		set(&p.StartPeriod, image.StartPeriod)
		set(&p.StartInterval, image.StartInterval)
		set(&p.Retries, image.Retries)
	}
	if h != nil {
		if h.Disable {
			return nil
		}
		if len(h.Test) > 0 {
			test = h.Test
		}
		setDuration(&p.Interval, h.Interval)
		setDuration(&p.Timeout, h.Timeout)
		setDuration(&p.StartPeriod, h.StartPeriod)
		setDuration(&p.StartInterval, h.StartInterval)
		if h.Retries != nil {
			set(&p.Retries, *h.Retries)
		}
	}
	switch {
	case len(test) == 0 || test[0] == "NONE":
		return nil
	case test[0] == "CMD-SHELL" && len(test) > 1:
		p.Args = append([]string{"/bin/sh", "-c"}, test[1:]...)
	case test[0] == "CMD" && len(test) > 1:
		p.Args = test[1:]
	default:
		return nil
	}
	return &p
}

func set[T comparable](to *T, v T) {
	var zero T
	if v != zero {
		*to = v
	}
}

func setDuration(to *time.Duration, v *spec.Duration) {
	if v != nil {
		set(to, time.Duration(*v))
	}
}

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

// schedule says how long to wait before the next probe and whether a failure
// of the last one counts. A container that starts is probed soon and then
// less and less often, up to its interval, so that it is known to be healthy
// as soon as it is; failures count only for probes that an interval apart, and
// outside of the start period.
type schedule struct {
	probe   *probe
	started time.Time
	early   time.Duration // pause before the next early probe
	counted time.Time     // when a failure last counted
}

func (s *schedule) pause(health planner.Health, now time.Time) time.Duration {
	if health != planner.Starting {
		return s.probe.Interval
	}
	if s.probe.StartInterval > 0 && now.Sub(s.started) < s.probe.StartPeriod {
		return min(s.probe.StartInterval, s.nextEarly())
	}
	return min(s.probe.Interval, s.nextEarly())
}

func (s *schedule) nextEarly() time.Duration {
	d := max(s.early, probeEarliest)
	s.early = 3 * d / 2
	return d
}

// counts says whether a failure now is one of the retries.
func (s *schedule) counts(now time.Time) bool {
	if now.Sub(s.started) < s.probe.StartPeriod {
		return false
	}
	since := s.counted
	if since.IsZero() {
		since = s.started.Add(s.probe.StartPeriod)
	}
	if now.Sub(since) < s.probe.Interval-s.probe.Interval/20 {
		return false
	}
	s.counted = now
	return true
}

// probeLoop probes until ctx ends.
func (c *container) probeLoop(ctx context.Context, p *probe, task containerd.Task, started time.Time) {
	sched := &schedule{probe: p, started: started}
	failing := 0
	for {
		info := c.probeOnce(ctx, p, task)
		if ctx.Err() != nil {
			return
		}
		health := c.snapshot().Health
		counted := true
		if health == planner.Starting && info.ExitCode != 0 {
			counted = sched.counts(c.r.Now())
		}
		switch {
		case info.ExitCode == 0:
			failing, health = 0, planner.Healthy
		case counted:
			failing++
			if failing >= p.Retries {
				health = planner.Unhealthy
			}
		}
		info.Failing = failing
		c.onProbe(ctx, info, health, started)
		timer := time.NewTimer(sched.pause(health, c.r.Now()))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// onProbe notes how a probe has ended.
func (c *container) onProbe(ctx context.Context, info planner.ProbeInfo, health planner.Health, started time.Time) {
	c.mu.Lock()
	if ctx.Err() != nil {
		c.mu.Unlock()
		return
	}
	changed := c.state.Health != health
	c.last = &info
	c.mu.Unlock()
	if changed {
		c.apply(probed{health: health, started: started})
	} else {
		c.r.changed(c.project, c.id)
	}
}

// probeOnce runs the probe's command in the container. A probe that takes too
// long is killed with all that it began, and fails.
func (c *container) probeOnce(ctx context.Context, p *probe, task containerd.Task) planner.ProbeInfo {
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

func (c *container) probeExec(ctx context.Context, p *probe, task containerd.Task, out *boundedBuffer) (int, error) {
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
		streams.readRest()
		return int(status.ExitCode()), status.Error()
	case <-late:
		err = timedOut(timeout, out.String())
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	_ = process.Kill(clean, unix.SIGKILL)
	return -1, err
}

// readRest reads what a process that has ended has printed. What it leaves
// behind may hold its output open for ever.
func (e *execIO) readRest() {
	read := make(chan struct{})
	go func() { e.Wait(); close(read) }()
	select {
	case <-read:
	case <-time.After(probeLeave):
		e.Close()
	}
}

// timedOut is the error of a probe that was ended, with what it had printed.
func timedOut(after time.Duration, output string) error {
	text := fmt.Sprintf("timed out after %s", after)
	if output = strings.TrimSpace(output); output != "" {
		text += ": " + output
	}
	return errors.New(text)
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
