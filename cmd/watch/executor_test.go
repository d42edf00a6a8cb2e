package watch

import (
	"testing"
	"time"

	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

func TestTheCommandThatABuildSpendsItsTimeOn(t *testing.T) {
	for step, want := range map[string]string{
		"[compile 4/6] RUN go build ./...": "go build",
		"[compile 4/6] RUN --mount=type=cache,target=/x CGO_ENABLED=0 GOOS=linux go build -o /x": "go build",
		"[2/3] RUN make":                     "make",
		"[2/3] RUN X=1":                      "X=1",
		"[2/3] COPY . .":                     "",
		"[2/3] RUN [\"/bin/sh\", \"build\"]": "[\"/bin/sh\", \"build\"]",
	} {
		now := time.Unix(0, 0)
		times := stepTimes{now: func() time.Time { return now }}
		times.event(planner.Event{Action: planner.Build, Kind: planner.Progressed, Text: step})
		now = now.Add(1500 * time.Millisecond)
		times.event(planner.Event{Action: planner.Build, Kind: planner.Done})
		if got, took := times.longest(); got != want || want != "" && took != 1500*time.Millisecond {
			t.Errorf("%s: %q for %s, want %q", step, got, took, want)
		}
	}
}

func TestARestartOfAServiceEndsAsItsFirstFailureSays(t *testing.T) {
	r := restarts{}
	for _, e := range []planner.Event{
		{Service: "db", Action: planner.Restart, Kind: planner.Done},
		{Service: "migrate", Action: planner.Restart, Kind: planner.Done},
		{Service: "migrate", Action: planner.Await, Kind: planner.Failed, Text: "exited with code 1"},
		{Service: "web", Action: planner.Restart, Kind: planner.Skipped, Text: "waits for migrate"},
		{Service: "cache", Action: planner.Await, Kind: planner.Done},
	} {
		r.event(e)
	}
	if !r.failed() || len(r) != 3 || r["db"] != nil || r["migrate"].Error() != "exited with code 1" || r["web"].Error() != "waits for migrate" {
		t.Errorf("%v", r)
	}
}

func TestATimeSpanIsInTheUnitThatReadsBest(t *testing.T) {
	for d, want := range map[time.Duration]string{
		10 * time.Microsecond: "1 ms", 9400 * time.Microsecond: "9 ms", 999 * time.Millisecond: "999 ms", 1200 * time.Millisecond: "1.2 s",
	} {
		if got := display.Took(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}
