package health

import (
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

func TestConditions(t *testing.T) {
	now := time.Unix(1000, 0)
	one := func(change func(k *planner.Container)) planner.Container {
		k := planner.Container{Name: "shop-db-1", Service: "db", State: planner.Running, StartedAt: now.Add(-time.Minute), Applied: &planner.Applied{Service: &spec.Service{}}}
		change(&k)
		return k
	}
	up := one(func(*planner.Container) {})
	healthy := one(func(k *planner.Container) { k.Health = planner.Healthy })
	starting := one(func(k *planner.Container) {
		k.Health, k.LastProbe = planner.Starting, &planner.ProbeInfo{ExitCode: 1, Output: "refused\nmore"}
	})
	unhealthy := one(func(k *planner.Container) {
		k.Health, k.LastProbe = planner.Unhealthy, &planner.ProbeInfo{ExitCode: 1, Failing: 3}
	})
	done := one(func(k *planner.Container) { k.State = planner.Exited })
	failed := one(func(k *planner.Container) {
		k.State, k.ExitCode, k.ExitedAt = planner.Exited, 3, k.StartedAt.Add(400*time.Millisecond)
	})
	killed := one(func(k *planner.Container) { k.State, k.ExitCode = planner.Exited, 137 })
	oom := one(func(k *planner.Container) { k.State, k.ExitCode, k.OOMKilled = planner.Exited, 137, true })
	fresh := one(func(k *planner.Container) { k.StartedAt = now })
	created := one(func(k *planner.Container) { k.State = planner.Created })
	looping := one(func(k *planner.Container) { k.State, k.Restarts, k.ExitCode = planner.Restarting, 3, 1 })
	returning := one(func(k *planner.Container) { k.State, k.Restarts, k.ExitCode = planner.Restarting, 1, 3 })
	oneOff := one(func(k *planner.Container) { k.OneOff = true })
	other := one(func(k *planner.Container) { k.Service, k.State, k.ExitCode = "web", planner.Exited, 1 })
	const H, C, R, S = spec.ServiceHealthy, spec.ServiceCompleted, planner.Ready, spec.ServiceStarted
	for name, test := range map[string]struct {
		condition string
		list      []planner.Container
		text      string
		met       bool
		err       string
	}{
		"started":             {S, []planner.Container{up}, "running", true, ""},
		"started, completed":  {S, []planner.Container{done}, "running", true, ""},
		"started, created":    {S, []planner.Container{created}, "created", false, ""},
		"started, failed":     {S, []planner.Container{failed}, "", false, "exited with code 3 after 0.4 s"},
		"healthy":             {H, []planner.Container{healthy}, "healthy", true, ""},
		"healthy, starting":   {H, []planner.Container{starting}, "not healthy yet: refused", false, ""},
		"ready, restarting":   {R, []planner.Container{returning}, "restarting: exited with code 3", false, ""},
		"ready, not started":  {R, []planner.Container{created}, "created", false, ""},
		"healthy, not all":    {H, []planner.Container{healthy, starting}, "not healthy yet: refused", false, ""},
		"healthy, unhealthy":  {H, []planner.Container{unhealthy}, "", false, "unhealthy after 3 failed probes (exit code 1)"},
		"healthy, no check":   {H, []planner.Container{up}, "", false, "no health check to wait for"},
		"healthy, just begun": {H, []planner.Container{fresh}, "running", false, ""},
		"healthy, ended":      {H, []planner.Container{done}, "", false, "exited with code 0"},
		"healthy, killed":     {H, []planner.Container{killed}, "", false, "exited with code 137 (SIGKILL)"},
		"healthy, no memory":  {H, []planner.Container{oom}, "", false, "exited with code 137: out of memory"},
		"healthy, looping":    {H, []planner.Container{looping}, "", false, "exited with code 1"},
		"completed":           {C, []planner.Container{done}, "completed", true, ""},
		"completed, runs":     {C, []planner.Container{up}, "running", false, ""},
		"completed, failed":   {C, []planner.Container{done, failed}, "", false, "exited with code 3"},
		"ready":               {R, []planner.Container{up, healthy, done}, "completed", true, ""},
		"ready, just started": {R, []planner.Container{fresh}, "running", false, ""},
		"ready, unhealthy":    {R, []planner.Container{up, unhealthy}, "", false, "unhealthy"},
		"ready, failed":       {R, []planner.Container{failed}, "", false, "exited with code 3"},
		"nobody":              {H, nil, "no container yet", false, ""},
		"others":              {H, []planner.Container{other, oneOff}, "no container yet", false, ""},
	} {
		text, wait, err := Meets(test.list, "db", test.condition, now)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: %q, %v, want %q", name, text, err, test.err)
			}
			continue
		}
		if err != nil || text != test.text || (wait == 0) != test.met {
			t.Errorf("%s: %q, %v, %v, want %q, %v", name, text, wait, err, test.text, test.met)
		}
	}
}

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
		if got := ExitError(&c.container).Error(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestWhatComesBackAwaitsWhatComesBackToo(t *testing.T) {
	db := func(state planner.State, health planner.Health) []planner.Container {
		return []planner.Container{
			{Service: "db", State: state, Health: health, Applied: &planner.Applied{Service: &spec.Service{}}},
			{Service: "db", State: planner.Restarting, OneOff: true},
		}
	}
	on := func(condition string) *spec.Service {
		return &spec.Service{DependsOn: map[string]spec.Dependency{"db": {Condition: condition}}}
	}
	for name, c := range map[string]struct {
		all  []planner.Container
		s    *spec.Service
		want string
	}{
		"it is not started yet":           {db(planner.Restarting, ""), on(spec.ServiceStarted), "waits for db to start"},
		"it runs":                         {db(planner.Running, planner.Starting), on(spec.ServiceStarted), ""},
		"it is not healthy yet":           {db(planner.Running, planner.Starting), on(spec.ServiceHealthy), "waits for db to be healthy"},
		"it is not healthy any more":      {db(planner.Running, planner.Unhealthy), on(spec.ServiceHealthy), "waits for db to be healthy"},
		"it is healthy":                   {db(planner.Running, planner.Healthy), on(spec.ServiceHealthy), ""},
		"it is to complete":               {db(planner.Running, ""), on(spec.ServiceCompleted), "waits for db to complete"},
		"it had completed":                {db(planner.Exited, ""), on(spec.ServiceCompleted), ""},
		"it was stopped, and stays so":    {db(planner.Exited, ""), on(spec.ServiceHealthy), ""},
		"it was never there":              {nil, on(spec.ServiceHealthy), ""},
		"its network is shared":           {db(planner.Restarting, ""), &spec.Service{NetworkMode: "service:db"}, "waits for db to start"},
		"its network is shared, and runs": {db(planner.Running, ""), &spec.Service{NetworkMode: "service:db"}, ""},
	} {
		if got := Awaits(c.all, c.s); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestABatchOfAnUpdateIsWatched(t *testing.T) {
	begun := time.Unix(1000, 0)
	k := func(number int, change func(*planner.Container)) planner.Container {
		c := planner.Container{Service: "web", Number: number, State: planner.Running, Applied: &planner.Applied{Service: &spec.Service{}}}
		change(&c)
		return c
	}
	all := []planner.Container{
		k(1, func(*planner.Container) {}),
		k(2, func(c *planner.Container) { c.State, c.ExitCode = planner.Exited, 1 }),
		k(3, func(c *planner.Container) { c.Health = planner.Unhealthy }),
		k(4, func(c *planner.Container) { c.Restarts = 1 }),
	}
	const m, d = 5 * time.Second, 2 * time.Second
	for name, test := range map[string]struct {
		batch planner.Batch
		after time.Duration
		wait  time.Duration
		err   string
	}{
		"one that runs":         {planner.Batch{Numbers: []int{1}, Of: 4, Monitor: m, Delay: d}, time.Second, 6 * time.Second, ""},
		"and its time is over":  {planner.Batch{Numbers: []int{1}, Of: 4, Monitor: m, Delay: d}, 7 * time.Second, 0, ""},
		"one that has ended":    {planner.Batch{Numbers: []int{1, 2}, Of: 4, Monitor: m}, time.Second, 0, "the update of web is paused: 1 of 4 failed"},
		"one may":               {planner.Batch{Numbers: []int{1, 2}, Of: 4, Monitor: m, Ratio: 0.25}, 0, m, ""},
		"and two may not":       {planner.Batch{Numbers: []int{1, 2}, Of: 4, Monitor: m, Ratio: 0.25, Failed: 1}, 0, 0, "the update of web is paused: 2 of 4 failed"},
		"nor those of any kind": {planner.Batch{Numbers: []int{2, 3, 4}, Of: 4, Ratio: 0.5}, 0, 0, "the update of web is paused: 3 of 4 failed"},
		"whatever fails":        {planner.Batch{Numbers: []int{2, 3, 4}, Of: 4, Goes: true, Delay: d}, 0, d, ""},
		"after it was watched":  {planner.Batch{Numbers: []int{2}, Of: 4, Monitor: m, Delay: d}, 6 * time.Second, time.Second, ""},
	} {
		step := &planner.Step{Service: "web", Batch: &test.batch}
		since := begun
		_, wait, err := Awaited(all, step, &since, begun.Add(test.after))
		if text := ""; wait != test.wait || err != nil && (test.err == "" || !strings.HasPrefix(err.Error(), test.err+"; web/")) || err == nil && text != test.err {
			t.Errorf("%s: waits %s, %v, want %s, %q", name, wait, err, test.wait, test.err)
		}
	}
}

// TestWhatFailsBeforeItIsReadyCounts: however long that takes, and without a time to
// watch it for.
func TestWhatFailsBeforeItIsReadyCounts(t *testing.T) {
	begun := time.Unix(1000, 0)
	for name, after := range map[string]planner.Container{
		"it never is healthy": {Service: "web", Number: 1, State: planner.Running, Health: planner.Unhealthy},
		"it ends":             {Service: "web", Number: 1, State: planner.Exited, ExitCode: 3},
	} {
		step := &planner.Step{Service: "web", Batch: &planner.Batch{Numbers: []int{1}, Of: 3}}
		var since time.Time
		starting := []planner.Container{{Service: "web", Number: 1, State: planner.Running, Health: planner.Starting}}
		if _, wait, err := Awaited(starting, step, &since, begun); wait >= 0 || err != nil {
			t.Fatalf("%s: at first it waits %s, %v", name, wait, err)
		}
		if _, _, err := Awaited([]planner.Container{after}, step, &since, begun.Add(10*time.Second)); err == nil {
			t.Errorf("%s: the update goes on", name)
		}
		since = time.Time{} // and one that is so at the first look
		if _, _, err := Awaited([]planner.Container{after}, step, &since, begun); err == nil {
			t.Errorf("%s at once: the update goes on", name)
		}
	}
}
