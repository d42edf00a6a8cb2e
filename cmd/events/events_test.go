package events

import (
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/planner/happening"
)

// began is when all that these tests tell of begins.
var began = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }

// told are the events of a row of states of one container, as "action@second".
func told(t *testing.T, h *history, messages ...*api.ContainerChange) string {
	t.Helper()
	var words []string
	for _, m := range messages {
		var lines []happening.Line
		h.show = func(l happening.Line) { lines = append(lines, l) }
		if err := h.apply(m); err != nil {
			t.Fatal(err)
		}
		for _, l := range lines {
			word := l.Action + "@" + display.Clock(l.Time.Sub(began))
			if code := l.Attributes["exitCode"]; code != "" {
				word += "=" + code
			}
			words = append(words, word)
		}
	}
	return strings.Join(words, " ")
}

func changed(t *testing.T, c planner.Container) *api.ContainerChange {
	t.Helper()
	m, err := api.NewContainer(c)
	if err != nil {
		t.Fatal(err)
	}
	return &api.ContainerChange{Container: m}
}

func first(m *api.ContainerChange) *api.ContainerChange {
	return &api.ContainerChange{Container: m.Container, Initial: true}
}

func TestEventsAreWhatIsNewOfAContainer(t *testing.T) {
	synced := &api.ContainerChange{Synced: true}
	created := planner.Container{ID: "c", Name: "shop-web-1", Service: "web", Number: 1, State: planner.Created, CreatedAt: at(1)}
	running := created
	running.State, running.StartedAt, running.Health = planner.Running, at(2), planner.Starting
	healthy := running
	healthy.Health, healthy.LastProbe = planner.Healthy, &planner.ProbeInfo{At: at(3)}
	stopped := healthy
	stopped.State, stopped.ExitedAt, stopped.ExitCode, stopped.Stopped = planner.Exited, at(5), 143, true
	oom := running
	oom.State, oom.ExitedAt, oom.ExitCode, oom.OOMKilled = planner.Restarting, at(6), 137, true
	again := running
	again.ExitedAt, again.StartedAt, again.Restarts = at(6), at(7), 1
	once := created
	once.State, once.StartedAt, once.ExitedAt = planner.Exited, at(2), at(2.5)
	unhealthy := healthy
	unhealthy.Health, unhealthy.LastProbe = planner.Unhealthy, &planner.ProbeInfo{At: at(4)}
	ended := stopped // the supervision says so before it is over with the process
	ended.State, ended.Health, ended.Stopped = planner.Stopping, planner.NoHealth, true
	over := ended
	over.State = planner.Exited
	paused := healthy
	paused.Paused, paused.FrozenAt = true, at(3.2)
	goesOn := healthy
	goesOn.FrozenAt = at(3.4)
	hup, hupped := healthy, stopped
	hup.Signal, hup.SignalledAt = 1, at(4.5)
	hupped.Signal, hupped.SignalledAt = 1, at(4.5)
	byHand, limited := stopped, healthy
	byHand.State, byHand.Stopped, byHand.StartedAt, byHand.RestartedAt = planner.Running, false, at(6), at(6)
	ending := stopped
	ending.Stopped = false
	limited.UpdatedAt = at(3.6)
	waits, tried := again, again
	waits.State, waits.StartedAt, waits.Restarts = planner.Restarting, at(2), 0
	tried.State, tried.StartedAt, tried.Restarts = planner.Restarting, at(2), 1
	gone := changed(t, stopped)
	gone.Removed = true

	for name, c := range map[string]struct {
		messages []*api.ContainerChange
		want     string
	}{
		"what is there at first is no news": {[]*api.ContainerChange{first(changed(t, running)), synced}, ""},
		"a life": {[]*api.ContainerChange{synced, changed(t, created), changed(t, running), changed(t, healthy), changed(t, stopped), gone},
			"create@1.0s start@2.0s health_status: healthy@3.0s die@5.0s=143 stop@5.0s destroy@9.0s"},
		"states that come as one":       {[]*api.ContainerChange{synced, changed(t, running)}, "create@1.0s start@2.0s"},
		"a program that ends at once":   {[]*api.ContainerChange{synced, changed(t, created), changed(t, once)}, "create@1.0s start@2.0s die@2.5s=0"},
		"out of memory, then restarted": {[]*api.ContainerChange{synced, changed(t, running), changed(t, oom), changed(t, again)}, "create@1.0s start@2.0s oom@6.0s die@6.0s=137 start@7.0s"},
		"a restart that comes as one":   {[]*api.ContainerChange{first(changed(t, running)), synced, changed(t, again)}, "die@6.0s=0 start@7.0s"},
		"health that is lost":           {[]*api.ContainerChange{first(changed(t, healthy)), synced, changed(t, unhealthy)}, "health_status: unhealthy@4.0s"},
		"what an engine that comes back tells is held against what was known": {
			[]*api.ContainerChange{first(changed(t, running)), synced, first(changed(t, again)), synced}, "die@6.0s=0 start@7.0s"},
		"a stop in all its steps": {[]*api.ContainerChange{first(changed(t, healthy)), synced, changed(t, ended), changed(t, over)},
			"die@5.0s=143 stop@5.0s"},
		"a restart in all its steps": {[]*api.ContainerChange{first(changed(t, running)), synced, changed(t, waits), changed(t, tried), changed(t, again)},
			"die@6.0s=0 start@7.0s"},
		"a restart by hand": {[]*api.ContainerChange{first(changed(t, healthy)), synced, changed(t, ending), changed(t, byHand)},
			"die@5.0s=143 start@6.0s restart@6.0s"},
		"a restart by hand that comes as one": {[]*api.ContainerChange{first(changed(t, healthy)), synced, changed(t, byHand)}, "die@5.0s=143 start@6.0s restart@6.0s"},
		"a change in place":                   {[]*api.ContainerChange{first(changed(t, healthy)), synced, changed(t, limited), changed(t, healthy)}, "update@3.6s"},
		"a pause":                             {[]*api.ContainerChange{first(changed(t, healthy)), synced, changed(t, paused), changed(t, goesOn)}, "pause@3.2s unpause@3.4s"},
		"a kill while it pauses":              {[]*api.ContainerChange{first(changed(t, paused)), synced, changed(t, stopped)}, "die@5.0s=143 stop@5.0s"},
		"a signal that does not end it":       {[]*api.ContainerChange{first(changed(t, healthy)), synced, changed(t, hup), changed(t, hupped)}, "kill@4.5s die@5.0s=143 stop@5.0s"},
		"a signal that ends it at once":       {[]*api.ContainerChange{first(changed(t, healthy)), synced, changed(t, hupped)}, "kill@4.5s die@5.0s=143 stop@5.0s"},
		"what went away without an engine":    {[]*api.ContainerChange{first(changed(t, running)), synced, synced}, "destroy@9.0s"},
	} {
		h := &history{project: "shop", known: happening.Known{Now: func() time.Time { return at(9) }}}
		if got := told(t, h, c.messages...); got != c.want {
			t.Errorf("%s: events are %q, want %q", name, got, c.want)
		}
	}
}

func TestEventsOfOtherServicesAreLeftOut(t *testing.T) {
	h := &history{project: "shop", services: []string{"db"}, known: happening.Known{Now: func() time.Time { return at(9) }}}
	web := planner.Container{ID: "w", Service: "web", State: planner.Running, CreatedAt: at(1), StartedAt: at(2)}
	db := planner.Container{ID: "d", Service: "db", State: planner.Running, CreatedAt: at(1), StartedAt: at(3)}
	if got, want := told(t, h, &api.ContainerChange{Synced: true}, changed(t, web), changed(t, db)), "create@1.0s start@3.0s"; got != want {
		t.Errorf("events are %q, want %q", got, want)
	}
}
