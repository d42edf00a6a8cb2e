package health

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestProbeFor(t *testing.T) {
	dur := func(d time.Duration) *spec.Duration { s := spec.Duration(d); return &s }
	five := 5
	image := &dockerspec.HealthcheckConfig{Test: []string{"CMD", "curl"}, Interval: time.Minute, Retries: 7, StartPeriod: time.Second}
	for name, test := range map[string]struct {
		service *spec.HealthCheck
		image   *dockerspec.HealthcheckConfig
		want    *Check
	}{
		"none":     {nil, nil, nil},
		"image":    {nil, image, &Check{Args: []string{"curl"}, Interval: time.Minute, Timeout: probeTimeout, Retries: 7, StartPeriod: time.Second}},
		"service":  {&spec.HealthCheck{Test: []string{"CMD-SHELL", "a && b"}}, nil, &Check{Args: []string{"/bin/sh", "-c", "a && b"}, Interval: probeInterval, Timeout: probeTimeout, Retries: probeRetries}},
		"words":    {&spec.HealthCheck{Test: []string{"CMD-SHELL", "echo $0", "b"}}, nil, &Check{Args: []string{"/bin/sh", "-c", "echo $0", "b"}, Interval: probeInterval, Timeout: probeTimeout, Retries: probeRetries}},
		"both":     {&spec.HealthCheck{Test: []string{"CMD", "x", "y"}, Interval: dur(time.Second), Retries: &five}, image, &Check{Args: []string{"x", "y"}, Interval: time.Second, Timeout: probeTimeout, Retries: 5, StartPeriod: time.Second}},
		"times":    {&spec.HealthCheck{Timeout: dur(2 * time.Second), StartInterval: dur(time.Second)}, image, &Check{Args: []string{"curl"}, Interval: time.Minute, Timeout: 2 * time.Second, Retries: 7, StartPeriod: time.Second, StartInterval: time.Second}},
		"disabled": {&spec.HealthCheck{Disable: true}, image, nil},
		"NONE":     {&spec.HealthCheck{Test: []string{"NONE"}}, image, nil},
		"no words": {&spec.HealthCheck{Test: []string{"CMD"}}, nil, nil},
		"no test":  {&spec.HealthCheck{Interval: dur(time.Second)}, nil, nil},
	} {
		got := CheckOf(test.service, test.image)
		if (got == nil) != (test.want == nil) {
			t.Errorf("%s: %+v", name, got)
			continue
		}
		if got != nil && (!slices.Equal(got.Args, test.want.Args) || got.Interval != test.want.Interval || got.Timeout != test.want.Timeout ||
			got.Retries != test.want.Retries || got.StartPeriod != test.want.StartPeriod || got.StartInterval != test.want.StartInterval) {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
}

// run plays a schedule against a container that becomes healthy after a
// while, or never: when it is probed, how many failures count, and the end.
func run(p *Check, healthyAfter time.Duration, limit int) (at []time.Duration, counted []time.Duration) {
	start := time.Unix(1_700_000_000, 0)
	now := start
	s := &Series{check: p, started: start}
	for range limit {
		at = append(at, now.Sub(start))
		if healthyAfter >= 0 && now.Sub(start) >= healthyAfter {
			return at, counted
		}
		if s.counts(now) {
			counted = append(counted, now.Sub(start))
		}
		now = now.Add(s.pause(planner.Starting, now))
	}
	return at, counted
}

func TestProbesOfAContainerThatStarts(t *testing.T) {
	plain := &Check{Interval: 30 * time.Second, Retries: 3}
	at, _ := run(plain, 0, 100)
	if len(at) != 1 || at[0] != 0 {
		t.Errorf("the first probe is at %v: it must not wait for an interval", at)
	}
	at, counted := run(plain, 5*time.Second, 100)
	if last := at[len(at)-1]; last > 8*time.Second {
		t.Errorf("healthy after 5 s, and known to be after %s", last)
	}
	if len(at) > 15 || len(counted) > 0 {
		t.Errorf("%d probes of which %v count", len(at), counted)
	}
	at, counted = run(plain, -1, 40)
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; gap < probeEarliest || gap > plain.Interval {
			t.Errorf("probe %d comes after %s", i, gap)
		}
	}
	for i, c := range counted {
		since := time.Duration(0)
		if i > 0 {
			since = counted[i-1]
		}
		if c-since < 28*time.Second {
			t.Errorf("the failures that count are at %v, closer than the interval", counted)
		}
	}
	if len(counted) < 3 {
		t.Errorf("only %v count", counted)
	}
}

func TestTheFirstProbeLeavesAMomentToTheProgram(t *testing.T) {
	start := time.Now()
	series := (&Check{Interval: time.Second, Retries: 3}).Begin(start, "")
	for since, want := range map[time.Duration]time.Duration{0: probeFirst, 5 * time.Millisecond: probeFirst - 5*time.Millisecond, -time.Hour: probeFirst} {
		if got := series.First(start.Add(since)); got != want {
			t.Errorf("%s after the start it is probed after %s, not %s", since, got, want)
		}
	}
	if got := series.First(start.Add(time.Minute)); got > 0 {
		t.Errorf("one that has run for long is probed after %s", got)
	}
}

// TestProbesInTheStartPeriod: in it probes come by its own interval.
//
// Fault 25: a service fails its probes while it starts
// Seen: it is starting until the start period is over; failures in it don't count (Compose Specification, healthcheck)
// Kept: start_interval in the start period, interval after it
func TestProbesInTheStartPeriod(t *testing.T) {
	p := &Check{Interval: 10 * time.Second, Retries: 2, StartPeriod: time.Minute, StartInterval: 2 * time.Second}
	at, counted := run(p, -1, 60)
	for i := 1; i < len(at); i++ {
		if gap := at[i] - at[i-1]; at[i-1] < p.StartPeriod && gap != p.StartInterval {
			t.Errorf("in the start period a probe comes after %s", gap)
		}
	}
	if len(counted) == 0 || counted[0] < p.StartPeriod {
		t.Errorf("failures count at %v, start period %s", counted, p.StartPeriod)
	}
	s := &Series{check: p, started: time.Unix(0, 0)}
	for _, h := range []planner.Health{planner.Healthy, planner.Unhealthy} {
		if got := s.pause(h, time.Unix(1, 0)); got != p.Interval {
			t.Errorf("when %s the pause is %s", h, got)
		}
	}
}

// TestHealthByItsProbes: what the outcomes of probes, an interval apart, make of a
// container's health.
//
// Fault 25: a health check fails now and then, also for good
// Seen: the container is unhealthy after its retries in a row, and healthy after one success; it is not restarted for it
// Kept: the interval between probes, however it flaps
func TestHealthByItsProbes(t *testing.T) {
	check := &Check{Interval: 10 * time.Second, Retries: 2}
	for outcomes, want := range map[string]string{ // "+" succeeds, "-" fails
		"+":     "healthy/0",
		"-":     "starting/1",
		"--":    "starting/1 unhealthy/2",
		"-+":    "starting/1 healthy/0",
		"+-+":   "healthy/0 healthy/1 healthy/0",
		"+--":   "healthy/0 healthy/1 unhealthy/2",
		"+---+": "healthy/0 healthy/1 unhealthy/2 unhealthy/3 healthy/0",
	} {
		now := time.Unix(1_700_000_000, 0)
		series, is := check.Begin(now, ""), planner.Starting
		var got []string
		first := true
		for _, o := range outcomes {
			now = now.Add(check.Interval)
			var failing int
			var pause time.Duration
			is, failing, pause = series.Next(is, o == '+', now)
			got = append(got, fmt.Sprintf("%s/%d", is, failing))
			if is == planner.Starting {
				continue
			}
			if pause != check.Interval && (!first || pause < check.Interval/2 || pause > check.Interval) {
				t.Errorf("%s: the pause is %s", outcomes, pause)
			}
			first = false
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%s: %s, want %s", outcomes, text, want)
		}
	}
}

// Many containers that became healthy together are not probed together.
func TestProbesAreSpread(t *testing.T) {
	check := &Check{Interval: 10 * time.Second}
	now := time.Unix(1_700_000_000, 0)
	parts := map[time.Duration]int{}
	for i := range 100 {
		series := check.Begin(now, fmt.Sprint("container", i))
		_, _, first := series.Next(planner.Starting, true, now)
		_, _, second := series.Next(planner.Healthy, true, now.Add(first))
		if second != check.Interval {
			t.Fatalf("the second pause is %s", second)
		}
		parts[first.Truncate(time.Second)]++
	}
	for part := 5 * time.Second; part < check.Interval; part += time.Second {
		if parts[part] < 5 {
			t.Errorf("%d of 100 pause %s: %v", parts[part], part, parts)
		}
	}
}

// A failure too soon after the last one that counts is none of the retries.
func TestEarlyFailuresDoNotCount(t *testing.T) {
	check := &Check{Interval: 10 * time.Second, Retries: 1, StartPeriod: 5 * time.Second}
	start := time.Unix(1_700_000_000, 0)
	series := check.Begin(start, "")
	for _, after := range []time.Duration{0, time.Second, 6 * time.Second, 14 * time.Second} {
		if is, failing, _ := series.Next(planner.Starting, false, start.Add(after)); is != planner.Starting || failing != 0 {
			t.Errorf("after %s it is %s, %d failures count", after, is, failing)
		}
	}
	if is, _, _ := series.Next(planner.Starting, false, start.Add(15*time.Second)); is != planner.Unhealthy {
		t.Errorf("an interval after the start period it is %s", is)
	}
}
