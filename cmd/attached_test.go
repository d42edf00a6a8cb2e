package cmd_test

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

func changed(c planner.Container) *api.ContainerChange {
	return &api.ContainerChange{Container: must(api.NewContainer(c))}
}

func webContainer(state planner.State, code int) planner.Container {
	c := planner.Container{ID: "w1", Name: "shop-web-1", Service: "web", Number: 1, State: state, ExitCode: code}
	if state == planner.Exited {
		c.ExitedAt = then.Add(time.Second)
	}
	return c
}

func dbContainer(state planner.State) planner.Container {
	c := planner.Container{ID: "d1", Name: "shop-db-1", Service: "db", Number: 1, State: state}
	if state == planner.Exited {
		c.ExitedAt = then.Add(time.Second)
	}
	return c
}

// attachedDesk is a desk whose web runs and has printed two lines.
func attachedDesk(t *testing.T) *desk {
	d := newDesk(t, shop)
	d.engine.plan = &planner.Plan{Project: "shop", Leave: 1}
	d.engine.reached = make(chan string, 16)
	d.engine.observed.Containers = []planner.Container{webContainer(planner.Running, 0)}
	for _, text := range []string{"one", "two"} {
		d.engine.lines = append(d.engine.lines, &api.LogLine{Container: "shop-web-1", Service: "web", Number: 1, Text: []byte(text)})
	}
	return d.serve()
}

// await waits for a call to the fake engine.
func (d *desk) await(call string) {
	limit := time.After(10 * time.Second)
	for {
		select {
		case got := <-d.engine.reached:
			if got == call {
				return
			}
		case <-limit:
			d.t.Errorf("the engine was never asked for %s", call)
			return
		}
	}
}

func TestAttachedUpEndsWithItsContainers(t *testing.T) {
	d := attachedDesk(t)
	go func() {
		d.await("watch")
		d.engine.changes <- changed(webContainer(planner.Exited, 1))
	}()
	stdout, stderr, code := d.run("up")
	equal(t, "logs", stdout, "web-1 | one\nweb-1 | two\n")
	equal(t, "progress", stderr, " shop is up to date: 2 services, 1 container (0.00 s)\n following its logs; Ctrl-C stops the stack\nweb/1 exited with code 1\n")
	if code != 0 {
		t.Errorf("exit code is %d", code)
	}
}

// As Compose's up does; its logs are one stream.
func TestWhatAContainerPrintsOnStderrIsOnOurs(t *testing.T) {
	d := attachedDesk(t)
	d.engine.lines = []*api.LogLine{
		{Container: "shop-web-1", Service: "web", Number: 1, Text: []byte("half"), Partial: true},
		{Container: "shop-web-1", Service: "web", Number: 1, Text: []byte("oops"), Stderr: true},
		{Container: "shop-web-1", Service: "web", Number: 1, Text: []byte("whole")},
	}
	go func() {
		d.await("watch")
		d.engine.changes <- changed(webContainer(planner.Exited, 0))
	}()
	stdout, stderr, _ := d.run("up --progress quiet")
	equal(t, "output", stdout, "web-1 | half\nweb-1 | whole\n")
	equal(t, "errors", stderr, "web-1 | oops\nweb/1 exited with code 0\n")
	stdout, stderr, _ = d.run("logs")
	equal(t, "logs", stdout+"; "+stderr, "web-1 | half\nweb-1 | oops\nweb-1 | whole\n; ")
}

func TestAttachedUpSaysRestarts(t *testing.T) {
	d := attachedDesk(t)
	go func() {
		d.await("watch")
		for _, c := range []planner.Container{webContainer(planner.Restarting, 2), webContainer(planner.Running, 2), webContainer(planner.Exited, 0)} {
			d.engine.changes <- changed(c)
		}
	}()
	_, stderr, _ := d.run("up --progress quiet")
	equal(t, "messages", stderr, "web/1 exited with code 2 and is restarted\nweb/1 exited with code 0\n")
}

func TestInterruptsStopThenKillThenLeave(t *testing.T) {
	d := attachedDesk(t)
	go func() {
		d.await("watch")
		d.signals <- os.Interrupt
		d.await("stop")
		d.signals <- os.Interrupt
		d.await("kill")
		d.signals <- os.Interrupt
	}()
	_, stderr, code := d.run("up web")
	if code != 130 || !strings.Contains(stderr, " stopping; press Ctrl-C again to kill\n") {
		t.Errorf("exit code is %d: %s", code, stderr)
	}
	var actions []string
	for _, r := range d.engine.lifecycle {
		actions = append(actions, r.Action+" "+strings.Join(r.Services, ","))
	}
	equal(t, "requests", strings.Join(actions, "; "), "stop web; kill web")
}

func TestInterruptOnceEndsWhenAllHaveStopped(t *testing.T) {
	d := attachedDesk(t)
	go func() {
		d.await("watch")
		d.signals <- os.Interrupt
		d.await("stop")
		d.engine.changes <- changed(webContainer(planner.Exited, 0))
	}()
	if _, stderr, code := d.run("up"); code != 130 || len(d.engine.lifecycle) != 1 {
		t.Errorf("exit code is %d after %d requests: %s", code, len(d.engine.lifecycle), stderr)
	}
}

func TestAStopThatFailsIsSaidAndToldByTheExitCode(t *testing.T) {
	for line, ends := range map[string]func(d *desk){
		"up":                           func(d *desk) { d.signals <- os.Interrupt },
		"up --abort-on-container-exit": func(d *desk) { d.engine.changes <- changed(webContainer(planner.Exited, 0)) },
	} {
		for _, gone := range []bool{true, false} { // web ends all the same, or it does not
			d := attachedDesk(t)
			d.engine.observed.Containers = append(d.engine.observed.Containers, dbContainer(planner.Running))
			d.engine.stopVerdict = &api.Verdict{Error: "1 step failed"}
			d.engine.stopEvents = []planner.Event{
				{Action: planner.Stop, Service: "db", Resource: "db/1", Kind: planner.Failed, Text: "cannot stop db/1: its shim does not answer"},
			}
			go func() {
				d.await("watch")
				ends(d)
				d.await("stop")
				if gone {
					d.engine.changes <- changed(webContainer(planner.Exited, 0))
					d.engine.changes <- changed(dbContainer(planner.Exited))
				}
			}()
			stderr, code := "", make(chan int, 1)
			go func() {
				_, text, c := d.run(line)
				stderr = text
				code <- c
			}()
			select {
			case c := <-code:
				if c != 1 || !strings.Contains(stderr, "shop is not stopped: cannot stop db/1: its shim does not answer") {
					t.Errorf("%s, gone %t: exit code %d:\n%s", line, gone, c, stderr)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("%s, gone %t: it goes on after a stop that failed", line, gone)
			}
		}
	}
}

func TestInterruptDuringApplySaysWhatRuns(t *testing.T) {
	d := attachedDesk(t)
	d.engine.hold = make(chan struct{})
	go func() {
		d.await("apply")
		d.signals <- os.Interrupt
	}()
	_, stderr, code := d.run("up -d")
	equal(t, "messages", stderr, " interrupted; running: web/1. Continue with: orlop up; undo with: orlop down\n")
	if code != 130 {
		t.Errorf("exit code is %d, want 130", code)
	}
}

func TestWaitTimeoutSaysWhoWasWaitedFor(t *testing.T) {
	d := attachedDesk(t)
	step := &planner.Step{ID: "await web ready", Action: planner.Await, Resource: "web ready", Service: "web", Condition: planner.Ready}
	d.engine.plan = &planner.Plan{Project: "shop", Steps: []*planner.Step{step}}
	d.engine.events = []planner.Event{
		{Step: step.ID, Action: step.Action, Resource: step.Resource, Service: "web", Kind: planner.Started, Time: then},
		{Step: step.ID, Action: step.Action, Resource: step.Resource, Service: "web", Kind: planner.Progressed, Text: "not healthy yet: refused", Time: then},
	}
	d.engine.verdictAfter = make(chan struct{})
	_, stderr, code := d.run("up --wait --wait-timeout 1")
	equal(t, "messages", stderr, " shop  2 services  ·  plan: nothing to change, wait for web\n"+
		" · await     web ready         not healthy yet: refused (0.00 s)\n"+
		"shop is not ready after 1s: what runs goes on; see \"orlop ps\"\n")
	if code != 1 {
		t.Errorf("exit code is %d, want 1", code)
	}
}
