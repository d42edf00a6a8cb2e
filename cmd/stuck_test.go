package cmd_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// stuckTerminal is a terminal whose user has pressed Ctrl-S, or whose other end
// nobody reads: every write to it waits.
func stuckTerminal(t *testing.T) *os.File {
	t.Helper()
	_, tty := openTerminal(t, 80, 24)
	fill(t, tty)
	return tty
}

// stuckPipe is a pipe that nobody reads.
func stuckPipe(t *testing.T) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	check(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	fill(t, w)
	return w
}

// fill writes until a write would wait.
func fill(t *testing.T, f *os.File) {
	t.Helper()
	fd := int(f.Fd())
	check(t, unix.SetNonblock(fd, true))
	text := []byte(strings.Repeat("x", 1000))
	for len(text) > 0 {
		if _, err := unix.Write(fd, text); err != nil {
			text = text[:len(text)/2]
		}
	}
	check(t, unix.SetNonblock(fd, false))
}

// sessions is a Builder whose session tells when it is connected.
type sessions struct{ connected chan struct{} }

func (sessions) Check(*spec.Project, []string) error { return nil }

func (sessions) Inputs(context.Context, *spec.Project, cli.BuildOptions) (map[string]*planner.Inputs, error) {
	return nil, nil
}

func (s sessions) Open(context.Context, *spec.Project, cli.BuildOptions) (cli.BuildSession, error) {
	return s, nil
}

func (sessions) IDs() map[string]string { return nil }
func (sessions) Close()                 {}

func (s sessions) Connect(*grpc.ClientConn, ...string) error {
	s.connected <- struct{}{}
	return nil
}

// on runs a command line of a desk with its output on a file.
func (d *desk) on(out *os.File, line, term string, b cli.Builder) <-chan int {
	code := make(chan int, 1)
	go func() {
		code <- cmd.Run(context.Background(), strings.Fields(line), cli.World{
			Version: "v1", Dir: d.dir, Environ: []string{"ORLOP_STATE=" + d.state, "ORLOP_ROOT=" + d.dir, "TERM=" + term}, Stdin: strings.NewReader(""),
			Stdout: out, Stderr: out, Signals: d.signals, Now: time.Now, Builder: b,
		})
	}()
	return code
}

func within[T any](t *testing.T, what string, c <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(10 * time.Second):
		t.Fatal(what)
	}
	return v
}

// stuck is each kind of output that stands, with the display that it gets.
func stuck(t *testing.T, test func(t *testing.T, out *os.File, term string)) {
	for _, term := range []string{"xterm", "dumb"} {
		t.Run("terminal "+term, func(t *testing.T) { t.Parallel(); test(t, stuckTerminal(t), term) })
	}
	t.Run("pipe", func(t *testing.T) { t.Parallel(); test(t, stuckPipe(t), "") })
}

func TestATerminalThatStandsKeepsNoBuildWaiting(t *testing.T) {
	stuck(t, func(t *testing.T, out *os.File, term string) {
		d := newDesk(t, "name: shop\nservices: {web: {build: .}}\n").serve()
		d.engine.notice = "waiting for: up of shop, since 12 s (process 4711)"
		d.engine.plan = &planner.Plan{Project: "shop", Steps: []*planner.Step{{ID: "build web", Action: planner.Build, Resource: "web", Service: "web"}}}
		b := sessions{connected: make(chan struct{}, 1)}
		code := d.on(out, "up -d", term, b)
		within(t, "the session is never connected", b.connected)
		d.signals <- os.Interrupt
		if got := within(t, "an interrupt does not end it", code); got != 130 && got != 0 { // the verdict may have come first
			t.Errorf("exit code is %d", got)
		}
	})
}

// upOf is a plan of many steps, and what happens in the first half of it.
func upOf(steps int) (*planner.Plan, []planner.Event) {
	plan, events := &planner.Plan{Project: "shop"}, []planner.Event(nil)
	for i := range steps {
		name := fmt.Sprintf("web/%d", i)
		plan.Steps = append(plan.Steps, &planner.Step{ID: "create " + name, Action: planner.Create, Resource: name, Service: "web", Number: i})
		for _, kind := range []planner.Outcome{planner.Started, planner.Done} {
			events = append(events, planner.Event{Time: then, Step: "create " + name, Action: planner.Create, Resource: name, Service: "web", Kind: kind})
		}
	}
	return plan, events
}

func TestAnInterruptEndsAnUpWhoseTerminalStands(t *testing.T) {
	stuck(t, func(t *testing.T, out *os.File, term string) {
		d := newDesk(t, shop).serve()
		d.engine.plan, d.engine.events = upOf(400)
		d.engine.reached = make(chan string, 16)
		d.engine.verdictAfter = make(chan struct{}) // the walk goes on
		code := d.on(out, "up -d", term, nil)
		d.await("apply")
		d.signals <- os.Interrupt
		if got := within(t, "an interrupt does not end it", code); got != 130 {
			t.Errorf("exit code is %d", got)
		}
	})
}

func TestAnInterruptStopsServicesWhoseLogsNobodyReads(t *testing.T) {
	stuck(t, func(t *testing.T, out *os.File, term string) {
		d := attachedDesk(t)
		for range 1000 {
			d.engine.lines = append(d.engine.lines, &api.LogLine{Container: "shop-web-1", Service: "web", Number: 1, Text: []byte(strings.Repeat("much ", 30))})
		}
		d.engine.plan = nil // nothing is shown before the logs
		code := d.on(out, "--progress quiet up", term, nil)
		d.await("watch")
		d.signals <- os.Interrupt
		d.await("stop")
		d.engine.changes <- changed(webContainer(planner.Exited, 0))
		if got := within(t, "an interrupt does not end it", code); got != 130 {
			t.Errorf("exit code is %d", got)
		}
	})
}

func TestAnInterruptEndsADownWhoseTerminalStands(t *testing.T) {
	stuck(t, func(t *testing.T, out *os.File, term string) {
		d := newDesk(t, shop).serve()
		d.engine.plan, d.engine.events = upOf(400)
		d.engine.reached = make(chan string, 16)
		code := d.on(out, "down", term, nil)
		d.await("down")
		d.signals <- os.Interrupt
		within(t, "an interrupt does not end it", code)
	})
}
