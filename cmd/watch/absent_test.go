package watch

import (
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

func TestWhyNoContainerOfAServiceRuns(t *testing.T) {
	at := time.Unix(1000, 0)
	ran := func(number int, from, to float64, code int) planner.Container {
		return planner.Container{
			Service: "web", Number: number, State: planner.Exited, ExitCode: code,
			StartedAt: at.Add(time.Duration(from * 1e9)), ExitedAt: at.Add(time.Duration(to * 1e9)),
		}
	}
	stopped := ran(1, 0, 9, 143)
	stopped.Stopped = true
	killed := ran(1, 0, 9, 137)
	killed.OOMKilled = true
	flaps := ran(1, 0, 9, 4)
	flaps.State, flaps.Restarts = planner.Restarting, 3
	beside := ran(7, 0, 99, 1)
	beside.OneOff = true
	for want, list := range map[string][]planner.Container{
		"has no container. Bring it up with: orlop up -d web":                                  {{Service: "db"}, beside},
		"web/2 exited with code 3 after 1.5 s. See: orlop logs web":                            {ran(1, 0, 1, 1), ran(2, 0.5, 2, 3), beside},
		"web/1 exited with code 137 (SIGKILL, out of memory) after 9.0 s. See: orlop logs web": {killed},
		"web/1 exited with code 4, restarted 3 times. See: orlop logs web":                     {flaps},
		"web/1 was stopped. Start it with: orlop start web":                                    {stopped},
		"web/1 was never started. Start it with: orlop start web":                              {{Service: "web", Number: 1, State: planner.Created}},
	} {
		if got := absenceText("web", lastOf(list, "web")); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
