package runner

import (
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

func TestAnExitSaysHowLongTheContainerRan(t *testing.T) {
	start := time.Unix(1000, 0)
	for _, c := range []struct {
		container planner.Container
		want      string
	}{
		{planner.Container{ExitCode: 3, StartedAt: start, ExitedAt: start.Add(1500 * time.Millisecond)}, "exited with code 3 after 1.5 s"},
		{planner.Container{ExitCode: 3, StartedAt: start, ExitedAt: start.Add(-time.Millisecond)}, "exited with code 3 after 0.0 s"},
		{planner.Container{ExitCode: 137, OOMKilled: true, StartedAt: start, ExitedAt: start}, "exited with code 137: out of memory after 0.0 s"},
		{planner.Container{ExitCode: 143, StartedAt: start, ExitedAt: start}, "exited with code 143 (SIGTERM) after 0.0 s"},
		{planner.Container{ExitCode: 127, Error: "no such program"}, "exited with code 127: no such program"},
	} {
		if got := exitError(&c.container).Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
