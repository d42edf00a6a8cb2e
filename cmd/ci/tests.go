package ci

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/ci/junit"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// testResult is what became of one test.
type testResult struct {
	service   string
	container string // ID
	began     time.Time
	took      time.Duration
	ended     bool
	code      int
	how       string // of the end, where the code is not all: a signal, out of memory
	skipped   string // why it was not run
	files     int    // that match --junit
	unread    bool   // there may be more of them: they could not be read
	reports   junit.Report
	last      *display.Tail
}

func (t *testResult) failed() bool { return t.ended && t.code != 0 }

// outcome is how a test ended, as a step.
func (t *testResult) outcome() (planner.Outcome, string) {
	switch {
	case !t.ended:
		return planner.Cancelled, ""
	case t.code != 0:
		return planner.Failed, "exit code " + strconv.Itoa(t.code) + display.Spaced(t.how)
	}
	return planner.Done, ""
}

// judgeTests is the end of a run in which every test had its turn.
func judgeTests(results []*testResult) end {
	for _, t := range results {
		if t.failed() {
			return end{t.code, "the code of " + t.service}
		}
	}
	return end{0, spec.Plural(len(results), "test service") + " passed"}
}

// runTests runs the tests one after the other. One whose dependency failed is
// skipped; the others have their turn all the same.
func (c *run) runTests(ctx context.Context) error {
	before := c.restarts(ctx)
	for _, name := range c.tests {
		t := &testResult{service: name, last: &display.Tail{Most: culpritLines}}
		c.results = append(c.results, t)
		if t.skipped = c.skips(name); t.skipped != "" {
			c.sayTest(t)
			continue
		}
		c.flow.Begin("test " + name)
		c.running = t
		traced := c.tracer.Own(display.ActionTest, name)
		err := c.runTest(ctx, t)
		traced(t.outcome())
		c.flow.End()
		if err != nil {
			return &testNotRun{name, err}
		}
		c.running = nil
		c.readReports(ctx, t)
		c.sayTest(t)
	}
	c.sick = c.sickContainers(ctx, before)
	if patterns := c.flags.JUnit; len(patterns) > 0 && !anyReports(c.results) {
		c.warn("no test has a file that matches " + strings.Join(patterns, " or "))
	}
	return nil
}

// anyReports says that there is a report, or may be. A test without one is no mistake
// while others have theirs: the patterns are those of all tests.
func anyReports(results []*testResult) bool {
	return slices.ContainsFunc(results, func(t *testResult) bool { return t.files > 0 || t.unread })
}

// testNotRun is the error of a test that could not be made, or that something
// else than its own end ended.
type testNotRun struct {
	service string
	err     error
}

func (e *testNotRun) Error() string {
	return e.service + " did not run to completion: " + e.err.Error()
}
func (e *testNotRun) Unwrap() error { return e.err }

// skips says why a test can't run: another that it depends on failed.
func (c *run) skips(name string) string {
	for _, t := range c.results {
		if _, on := c.project.Services[name].DependsOn[t.service]; on && (t.failed() || t.skipped != "") {
			return "skipped: waits for " + t.service
		}
	}
	return ""
}

// runTest runs one test to its end.
func (c *run) runTest(ctx context.Context, t *testResult) error {
	project := oneRun(c.project, t.service)
	req, err := c.Request(ctx, c.client, cli.Application{Project: project, Timeout: -1, PlanOnly: true, Options: planner.Options{NoBuild: true}})
	if err != nil {
		return err
	}
	defer req.Close()
	t.began = c.Now()
	made, err := cli.CreateOneOff(ctx, c.client, &api.CreateRequest{Apply: req.Message, Service: t.service}, c.SayNotice)
	if err != nil {
		return cli.Cause(ctx, err)
	}
	t.container = made.Id
	t.code, err = c.attachTest(ctx, t)
	for errors.Is(err, api.ErrLost) {
		c.note("the engine went away: what " + t.service + " prints now is in its log")
		if t.code, err = c.awaitExit(ctx, t.container); errors.Is(err, errNotStarted) {
			t.code, err = c.attachTest(ctx, t)
		}
	}
	t.took = c.Now().Sub(t.began)
	if err != nil {
		return err
	}
	if t.how, err = c.howEnded(ctx, t.container); err != nil {
		return err
	}
	t.how = c.Mask.Text(t.how)
	t.ended = true
	c.record.note(display.JSONLine{Type: "test", Service: t.service, Code: &t.code, Took: t.took})
	return nil
}

// attachTest starts the test's program and passes on what it prints.
func (c *run) attachTest(ctx context.Context, t *testResult) (code int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := c.client.Attach(ctx)
	if err != nil {
		return 0, cli.Cause(ctx, err)
	}
	start := &api.ProcessStart{Project: c.project.Name, Container: t.container, Service: t.service}
	if err := stream.Send(&api.ProcessInput{Of: &api.ProcessInput_Start{Start: start}}); err != nil && !errors.Is(err, io.EOF) { // what ended the stream comes with its end
		return 0, cli.Cause(ctx, err)
	}
	to := c.Stdout
	if c.flow.Marks() {
		to = c.Stderr // the marks' stream, so that the log has both in their order
	}
	out := &prefixed{w: to, prefix: c.StyleOf(to).Cyan(t.service + " | "), seen: t.last.Add}
	defer out.flush()
	for {
		m, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, api.ErrLost
		}
		if err != nil {
			return 0, cli.Cause(ctx, err)
		}
		switch of := m.Of.(type) {
		case *api.ProcessOutput_Stdout:
			_, err = out.Write(of.Stdout)
		case *api.ProcessOutput_Stderr:
			_, err = out.Write(of.Stderr)
		case *api.ProcessOutput_ExitCode:
			return int(of.ExitCode), nil
		}
		if err != nil {
			return 0, fmt.Errorf("cannot print what %s prints: %w", t.service, err)
		}
	}
}

// Why a container that is waited for will not end.
var (
	errNotStarted  = errors.New("no engine has started it")
	errTestGone    = errors.New("another command removed its container")
	errTestStopped = errors.New("another command stopped its container")
)

// awaitExit waits for the end of a container under whatever engine.
func (c *run) awaitExit(ctx context.Context, id string) (code int, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	err = cli.AcrossEngines(ctx, func() (err error) {
		code, err = c.awaitExitHere(ctx, id)
		return err
	})
	return code, cli.Cause(ctx, err)
}

// awaitExitHere waits for the end of a container under one engine.
func (c *run) awaitExitHere(ctx context.Context, id string) (code int, err error) {
	stream, err := c.client.Watch(ctx, &api.ObserveRequest{Project: c.project.Name})
	if err != nil {
		return 0, err
	}
	for there := false; ; {
		change, err := stream.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return 0, api.ErrLost
		case err != nil:
			return 0, err
		case change.Synced && !there:
			return 0, errTestGone
		case change.Container == nil:
			continue
		}
		k, err := change.Container.Planner()
		if err != nil {
			return 0, err
		}
		if k.ID != id {
			continue
		}
		there = true
		switch {
		case change.Removed:
			return 0, errTestGone
		case k.State == planner.Exited:
			return k.ExitCode, nil
		case k.State == planner.Created:
			return 0, errNotStarted
		}
	}
}

// howEnded says of a container's end what its code does not. One that another
// command ended has said nothing with its code.
func (c *run) howEnded(ctx context.Context, id string) (string, error) {
	o, err := c.observed(ctx, false)
	if err != nil {
		return "", nil // the code is known, and counts
	}
	for i := range o.Containers {
		switch k := &o.Containers[i]; {
		case k.ID != id:
		case k.Stopped:
			return "", errTestStopped
		default:
			return display.ExitNotes(k), nil
		}
	}
	return "", errTestGone
}

// sickContainers names those of the environment that ended or were started
// again while the tests ran.
func (c *run) sickContainers(ctx context.Context, before map[string]int) []string {
	o, err := c.observed(ctx, false)
	if err != nil {
		return nil
	}
	var out []string
	for i := range o.Containers {
		if k := &o.Containers[i]; !k.OneOff && !isWell(k, before[k.ID]) {
			out = append(out, display.Replica(k)+" "+display.StateNote(k))
		}
	}
	slices.Sort(out)
	return out
}

// restarts are how often each container was started again.
func (c *run) restarts(ctx context.Context) map[string]int {
	o, err := c.observed(ctx, false)
	if err != nil {
		return nil
	}
	counts := map[string]int{}
	for i := range o.Containers {
		counts[o.Containers[i].ID] = o.Containers[i].Restarts
	}
	return counts
}

// prefixed writes lines behind a prefix.
type prefixed struct {
	w      io.Writer
	prefix string
	seen   func(line string) // is told of each line
	rest   []byte
}

// longestLine is where a line without an end is cut, in bytes.
const longestLine = 64 << 10

func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		i := bytes.IndexByte(p.rest, '\n')
		if i < 0 && len(p.rest) > longestLine {
			i = len(p.rest) - 1
		}
		if i < 0 {
			return len(b), nil
		}
		line := strings.TrimRight(string(p.rest[:i+1]), "\r\n")
		p.rest = p.rest[i+1:]
		p.seen(line)
		if _, err := io.WriteString(p.w, p.prefix+line+"\n"); err != nil {
			return 0, err
		}
	}
}

// flush writes a last line that has no end.
func (p *prefixed) flush() {
	if len(p.rest) > 0 {
		_, _ = p.Write([]byte("\n"))
	}
}

// readReports reads the JUnit files that a test has written.
func (c *run) readReports(ctx context.Context, t *testResult) {
	if len(c.flags.JUnit) == 0 || t.container == "" {
		return
	}
	files, err := c.readFiles(ctx, t.container, c.flags.JUnit)
	if err != nil {
		c.warn("cannot read all reports of " + t.service + ": " + err.Error())
	}
	t.files, t.unread = len(files), err != nil
	slices.SortFunc(files, func(x, y readFile) int { return strings.Compare(x.path, y.path) })
	for _, f := range files {
		report, err := junit.Read(bytes.NewReader(f.content))
		if err != nil {
			c.warn(fmt.Sprintf("%s of %s is not a JUnit report: %v", f.path, t.service, err))
			t.reports.Suites = append(t.reports.Suites, junit.Suite{Name: t.service, Cases: []junit.Case{
				{Class: t.service, Name: f.path, Status: junit.Broken, Message: "it is not a JUnit report: " + err.Error()},
			}})
			continue
		}
		t.reports.Merge(t.service, report)
	}
	if n := t.reports.Count(); n.Failures+n.Errors > 0 && t.ended && t.code == 0 {
		c.warn(fmt.Sprintf("%s ended with code 0, but %d of its %s failed", t.service, n.Failures+n.Errors, spec.Plural(n.Tests, "case")))
	}
}

// readFile is a file of a container.
type readFile struct {
	path    string
	content []byte
}

// readFiles gives the whole files that it has read, also beside an error.
func (c *run) readFiles(ctx context.Context, container string, patterns []string) ([]readFile, error) {
	stream, err := c.client.ReadFiles(ctx, &api.ReadFilesRequest{Project: c.project.Name, Container: container, Patterns: patterns})
	if err != nil {
		return nil, cli.Cause(ctx, err)
	}
	var files []readFile
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			if err = cli.Cause(ctx, err); ctx.Err() != nil || errors.Is(err, api.ErrLost) { // maybe within the last one
				files = files[:max(0, len(files)-1)]
			}
			return files, err
		}
		if n := len(files); n == 0 || files[n-1].path != part.Path {
			files = append(files, readFile{path: part.Path})
		}
		last := &files[len(files)-1]
		last.content = append(last.content, part.Content...)
	}
}
