package meter

import (
	"testing"
	"time"

	"github.com/orlop/orlop/runner/proc"
)

func TestRatesAreThoseSinceTheReadingBefore(t *testing.T) {
	start := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	m := &Meter{}
	sample := func(after, cpu time.Duration, id string) float64 {
		return m.Read([]proc.Sample{{ID: id, At: start.Add(after), StartedAt: start, Usage: proc.Usage{CPU: cpu}}}).Containers[0].CpuPercent
	}
	for i, c := range []struct {
		after, cpu time.Duration
		id         string
		want       float64
	}{
		{10 * time.Second, time.Second, "a", 10},      // since the start
		{11 * time.Second, 3 * time.Second, "a", 200}, // two cores
		{12 * time.Second, 3 * time.Second, "a", 0},   // idle
		{22 * time.Second, 11 * time.Second, "b", 50}, // another container
		{24 * time.Second, 6 * time.Second, "b", 25},  // the same one, started again: its counter is new
		{24 * time.Second, 12 * time.Second, "b", 0},  // no time between
	} {
		if got := sample(c.after, c.cpu, c.id); got != c.want {
			t.Errorf("reading %d is %v %%, want %v", i, got, c.want)
		}
	}
}
