// Package health says how containers are: which health check is in force, when it
// is due and what its outcome means, and whether the containers of a service meet
// a condition that somebody waits for. All of it is decided from what it is given;
// it probes nothing.
package health

import (
	"cmp"
	"hash/fnv"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// Check is the health check in force: the service's fields over the image's
// over the defaults (Compose Specification, healthcheck).
type Check struct {
	Args          []string      `json:"args"`
	Interval      time.Duration `json:"interval"`
	Timeout       time.Duration `json:"timeout"`
	Retries       int           `json:"retries"`
	StartPeriod   time.Duration `json:"start_period"`
	StartInterval time.Duration `json:"start_interval"`
}

// OutputSize is how much is kept of what a probe prints, in bytes.
const OutputSize = 4 << 10

// Defaults of a health check, as Docker has them.
const (
	probeInterval = 30 * time.Second
	probeTimeout  = 30 * time.Second
	probeRetries  = 3
	probeFirst    = 20 * time.Millisecond // after the start: before it, a file of the run before might still be there
	probeEarliest = 50 * time.Millisecond // between the first tries of a container that starts
)

// CheckOf merges a service's health check with its image's. It is nil where
// there is none, or it is switched off.
func CheckOf(h *spec.HealthCheck, image *dockerspec.HealthcheckConfig) *Check {
	p := Check{Interval: probeInterval, Timeout: probeTimeout, Retries: probeRetries}
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

// Series is the probes of one process: how long to wait before the next one, and
// whether a failure of the last one counts. A container that starts is probed soon and then
// less and less often, up to its interval, so that it is known to be healthy
// as soon as it is, unless its start_interval says how often; failures count only for probes that an interval apart, and
// outside of the start period.
type Series struct {
	check   *Check
	started time.Time
	early   time.Duration // pause before the next early probe
	counted time.Time     // when a failure last counted
	failing int           // failures in a row that count
	first   time.Duration // the first pause once it is known how the container is; 0: it was made
}

// Begin is the series of a process that was started at a moment, in the container
// of this ID. Containers that started together are not probed together ever after: the first
// whole interval of each is shorter by up to a half of it, as its ID falls out.
func (c *Check) Begin(started time.Time, id string) *Series {
	h := fnv.New32a()
	h.Write([]byte(id))
	return &Series{check: c, started: started, first: c.Interval - c.Interval/2/1000*time.Duration(h.Sum32()%1000)}
}

// First is the pause before the first probe.
func (s *Series) First(now time.Time) time.Duration {
	return min(probeFirst, probeFirst-now.Sub(s.started)) // the clock may have been set back
}

// Next says, of a probe that has just ended, what the container's health is by it,
// which was as given, how many probes in a row have failed, and after which pause
// the next one is due.
func (s *Series) Next(was planner.Health, ok bool, now time.Time) (is planner.Health, failing int, pause time.Duration) {
	is = was
	switch {
	case ok:
		s.failing, is = 0, planner.Healthy
	case was != planner.Starting || s.counts(now):
		s.failing++
		if s.failing >= s.check.Retries {
			is = planner.Unhealthy
		}
	}
	return is, s.failing, s.pause(is, now)
}

func (s *Series) pause(health planner.Health, now time.Time) time.Duration {
	if health != planner.Starting {
		pause := cmp.Or(s.first, s.check.Interval)
		s.first = 0
		return pause
	}
	if s.check.StartInterval > 0 && now.Sub(s.started) < s.check.StartPeriod {
		return s.check.StartInterval // which somebody has chosen
	}
	return min(s.check.Interval, s.nextEarly())
}

func (s *Series) nextEarly() time.Duration {
	d := max(s.early, probeEarliest)
	s.early = 3 * d / 2
	return d
}

// counts says whether a failure now is one of the retries.
func (s *Series) counts(now time.Time) bool {
	if now.Sub(s.started) < s.check.StartPeriod {
		return false
	}
	since := s.counted
	if since.IsZero() {
		since = s.started.Add(s.check.StartPeriod)
	}
	if now.Sub(since) < s.check.Interval-s.check.Interval/20 {
		return false
	}
	s.counted = now
	return true
}
