package ci

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// run is one run of ci: an instance from its stack file to its removal.
type run struct {
	*cli.Invocation
	flags    Options
	project  *spec.Project // the instance
	tests    []string      // in the order in which they run
	began    time.Time
	tracer   *display.Tracer
	instance string
	flow     *display.Workflow
	record   *record
	client   *api.Client
	hold     *hold
	results  []*testResult
	running  *testResult // the test that was under way when the work ended
	upTook   time.Duration
	sick     []string // containers of the environment that did not live through the tests
	end      end

	directoryOfArtifacts string // absolute; empty: none are wanted
}

// end is how a run ended: its exit code, and where that comes from.
type end struct {
	code int
	why  string
}

// errStepFailed is the cause of what the first failure ended.
var errStepFailed = errors.New("a step failed")

// notBuilt is an error of what comes before any build.
type notBuilt struct{ error }

func (e notBuilt) Unwrap() error { return e.error }

// carryOut is the run: all bounds collecting and removing, work the rest.
func (c *run) carryOut(all, work context.Context) {
	err := c.start(work)
	if err == nil {
		defer c.client.Close()
		held, stop := c.hold.whileHeld(work)
		err = c.work(held)
		stop()
	}
	c.end = c.judge(err)
	if c.client != nil && c.hold != nil {
		c.explain(all, err)
		c.collect(all)
		c.tearDown(all)
	} else if err != nil {
		c.say(c.ErrStyle().Red(err.Error()))
	}
	c.tracer.EndWhole(!c.failed())
	c.verdict()
}

// start connects to the engine and has it hold the instance.
func (c *run) start(ctx context.Context) error {
	client, err := c.Connect(ctx)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	c.client = client
	if err := c.mustBeNew(ctx); err != nil {
		client.Close()
		return err
	}
	if c.hold, err = takeHold(ctx, client, c.project.Name); err != nil {
		client.Close()
	}
	return err
}

// mustBeNew refuses an instance that exists: it would be removed at the end.
func (c *run) mustBeNew(ctx context.Context) error {
	o, err := c.observed(ctx, false)
	if err != nil {
		return err
	}
	if len(o.Containers)+len(o.Networks)+len(o.Volumes) > 0 {
		return cli.Coded{Err: fmt.Errorf("%s exists already and would be removed: leave --instance out, or run \"orlop down\" for it", c.project.Name), Code: ExitBadFile}
	}
	return nil
}

// observed is what exists of the instance; without its document images and
// external things are left out.
func (c *run) observed(ctx context.Context, withDocument bool) (*planner.Observed, error) {
	req := &api.ObserveRequest{Project: c.project.Name}
	if withDocument {
		doc, err := cli.Marshal(c.project)
		if err != nil {
			return nil, err
		}
		req.Document = doc
	}
	reply, err := c.client.Observe(ctx, req)
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	o := &planner.Observed{}
	return o, cli.Unmarshal(reply.Observed, o)
}

// work brings the environment up and runs the tests.
func (c *run) work(ctx context.Context) error {
	began := c.Now()
	err := c.bringUp(ctx)
	c.upTook = c.Now().Sub(began)
	c.record.endUp()
	if err != nil {
		return err
	}
	return c.runTests(ctx)
}

// enginesToOutlive is how often the engine may go away while the environment
// comes up.
const enginesToOutlive = 3

// bringUp applies the environment until all of it is ready.
func (c *run) bringUp(ctx context.Context) error {
	defer c.tellWaits(ctx)()
	for left := enginesToOutlive; ; left-- {
		err := c.apply(ctx)
		if !errors.Is(err, api.ErrLost) || left == 0 {
			return err
		}
		c.note("the engine went away: continuing with the next one")
	}
}

func (c *run) apply(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	c.record.failed = func(planner.Event) { cancel(errStepFailed) }
	began := c.Now()
	env := environment(c.project, c.tests)
	req, err := c.Request(ctx, c.client, cli.Application{
		Project: env, Builds: c.flags.Builds, Timeout: -1, Options: planner.Options{Wait: true, Build: c.flags.Build, Pull: c.flags.Pull},
	})
	if err != nil {
		if ctx.Err() == nil {
			err = notBuilt{err}
		}
		return err
	}
	defer req.Close()
	stream, err := c.client.Apply(ctx, req.Message)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	return c.show(ctx, stream, cli.Progress{
		Words:    display.Words{Done: "is up", Nothing: "is up", Failed: "is not up", Header: true, Brief: true, Fold: "environment"},
		Services: len(env.Services) - len(c.tests), Began: began, Lend: req.Lend,
	})
}

// show shows a progress, and records it.
func (c *run) show(ctx context.Context, stream cli.ProgressStream, how cli.Progress) error {
	how.Project, how.Tracer, how.Beside = c.project, c.tracer, []display.Display{c.record}
	_, err := c.Show(ctx, stream, how)
	return err
}

// waitsEvery is how often a log is told what is still waited for.
const waitsEvery = 10 * time.Second

// tellWaits says now and then, where lines are never taken back, what is
// waited for. The returned function ends that.
func (c *run) tellWaits(ctx context.Context) (stop func()) {
	if c.DisplayMode() != "plain" {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(waitsEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				for _, line := range c.record.waits(c.Now()) {
					c.say(line)
				}
			case <-ctx.Done():
				return
			}
		}
	})
	return func() { cancel(); wg.Wait() }
}

// judge gives the exit code of an error, or of the tests.
func (c *run) judge(err error) end {
	var by signalled
	var with cli.Coded
	var before notBuilt
	var test *testNotRun
	switch {
	case err == nil:
		return judgeTests(c.results)
	case errors.As(err, &by):
		return end{by.code(), by.Error()}
	case errors.Is(err, errTimeout):
		return end{ExitTimeout, fmt.Sprintf("timed out after %s (--timeout)", c.flags.Timeout)}
	case errors.As(err, &test):
		return end{ExitNotRun, test.service + " did not run to completion"}
	case errors.Is(err, errNotHeld):
		return end{ExitNotUp, errNotHeld.Error()}
	case errors.As(err, &with):
		return end{with.Code, "nothing was started"}
	case errors.As(err, &before):
		return end{ExitNotBuilt, "an image could not be built"}
	}
	for _, s := range c.record.failures() {
		if s.step.Action == planner.Build || s.step.Action == planner.Pull {
			return end{ExitNotBuilt, "an image could not be built or pulled"}
		}
	}
	return end{ExitNotUp, "the environment did not come up"}
}

// failed says that the run has anything to explain or to keep.
func (c *run) failed() bool { return c.end.code != 0 }

// removeTimeout bounds the removal; what takes longer is killed by the engine.
const removeTimeout = 5 * time.Minute

// tearDown removes the instance, or keeps it where that is asked for. What it
// can't remove is left to the engine.
func (c *run) tearDown(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, removeTimeout)
	defer cancel()
	if c.failed() && c.flags.Keep && ctx.Err() == nil {
		if err := c.hold.release(ctx); err == nil {
			c.sayHowToLookInside()
			return
		}
	}
	err := c.remove(ctx)
	if err == nil {
		err = c.hold.release(ctx)
	}
	if err == nil {
		c.end.why += ", removed"
		return
	}
	c.hold.drop()
	c.end.why += ", not removed yet: the engine goes on with it"
	if !c.failed() {
		c.end.code = ExitNotRemoved
	}
	var quiet cli.Exit
	if !errors.As(err, &quiet) {
		c.say(" " + c.ErrStyle().Red("✗ "+err.Error()))
	}
}

func (c *run) remove(ctx context.Context) error {
	began := c.Now()
	req := &api.DownRequest{Project: c.project.Name}
	var err error
	if req.Document, err = cli.Marshal(c.project); err != nil {
		return err
	}
	if req.Options, err = cli.Marshal(planner.DownOptions{Volumes: true, RemoveImages: "local", RemoveOrphans: true}); err != nil {
		return err
	}
	stream, err := c.client.Down(ctx, req)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	return c.show(ctx, stream, cli.Progress{
		Words: display.Words{Done: "is removed", Nothing: "is removed", Failed: "is not removed", Fold: "remove"}, Began: began,
	})
}

// sayHowToLookInside ends a run whose instance is kept.
func (c *run) sayHowToLookInside() {
	c.end.why += ", kept"
	orlop := c.commandLine()
	c.say(" " + c.project.Name + " is kept. Look inside, and remove it:")
	for _, rest := range []string{"ps -a", "logs SERVICE", "exec SERVICE sh", "down -v --rmi local"} {
		c.say("     " + orlop + " " + rest)
	}
}

// commandLine is how later commands reach the instance.
func (c *run) commandLine() string {
	words := []string{"orlop"}
	for _, f := range c.Files {
		words = append(words, "-f", f)
	}
	if c.Name != "" {
		words = append(words, "-p", c.Name)
	}
	return strings.Join(append(words, "--profile", testProfile, "--instance", c.instance), " ")
}
