package cmd_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

const tested = `name: shop
services:
  web: {image: nginx}
  tests: {image: checks, profiles: [test]}
`

// newCI is a desk whose engine brings everything up and runs a test that ends
// with the code.
func newCI(t *testing.T, code int32) *desk {
	t.Helper()
	d := newDesk(t, tested).serve()
	d.engine.plan = &planner.Plan{Project: "shop", Steps: []*planner.Step{
		{ID: "create web/1", Action: planner.Create, Resource: "web/1", Service: "web"},
	}}
	d.engine.exitCode = code
	return d
}

// removed says whether the instance was removed with all that it had.
func (d *desk) removed() bool {
	d.t.Helper()
	if d.engine.down == nil {
		return false
	}
	var o planner.DownOptions
	if err := json.Unmarshal(d.engine.down.Options, &o); err != nil {
		d.t.Fatal(err)
	}
	return o.Volumes && o.RemoveImages == "local" && o.RemoveOrphans
}

func TestCIEndsWithTheCodeOfTheTestAndRemoves(t *testing.T) {
	for _, code := range []int32{0, 1, 7, 66, 255} {
		d := newCI(t, code)
		_, stderr, got := d.run("ci")
		if got != int(code) || !d.removed() || !d.engine.released {
			t.Errorf("exit code %d, want %d; removed %t, released %t:\n%s", got, code, d.removed(), d.engine.released, stderr)
		}
		p, err := spec.ParseProject(d.engine.apply.Project)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(p.Name, "shop-ci-") || !strings.HasPrefix(p.Instance, "ci-") || p.Services["tests"].Replicas() != 0 || !d.applied().Wait {
			t.Errorf("what is brought up is %s with %d containers of tests", p.Name, p.Services["tests"].Replicas())
		}
		if d.engine.create.Service != "tests" || d.engine.start.Stdin || d.engine.start.Terminal {
			t.Errorf("what is run is %s, %v", d.engine.create.Service, d.engine.start)
		}
	}
}

func TestCIKeepsWhatFailedIfAsked(t *testing.T) {
	d := newCI(t, 3)
	_, stderr, code := d.run("ci --keep-on-failure")
	if code != 3 || d.engine.down != nil || !d.engine.released {
		t.Errorf("exit code %d, released %t, %v", code, d.engine.released, d.engine.down)
	}
	if !strings.Contains(stderr, " down -v --rmi local") {
		t.Errorf("it does not say how to remove it:\n%s", stderr)
	}
	d = newCI(t, 0)
	if _, _, code := d.run("ci --keep-on-failure"); code != 0 || !d.removed() {
		t.Errorf("one that passed is kept, exit code %d", code)
	}
}

func TestCIEndedBySignals(t *testing.T) {
	for signal, want := range map[syscall.Signal]int{syscall.SIGINT: 130, syscall.SIGTERM: 143, syscall.SIGHUP: 129} {
		d := newCI(t, 0)
		d.engine.hold, d.engine.reached = make(chan struct{}), make(chan string)
		go func() {
			for call := range d.engine.reached {
				if call == "apply" {
					d.signals <- signal
				}
			}
		}()
		out := filepath.Join(d.dir, "out")
		_, stderr, code := d.run("ci --artifacts " + out)
		if code != want || !d.removed() || !d.engine.released || d.engine.create != nil {
			t.Errorf("%s: exit code %d, removed %t:\n%s", signal, code, d.removed(), stderr)
		}
		if report, err := os.ReadFile(filepath.Join(out, "junit.xml")); err != nil || !strings.Contains(string(report), `name="tests" classname="orlop.test"`) {
			t.Errorf("%s: the report is %s, %v", signal, report, err)
		}
	}
}

func TestCIThatCantRemoveLeavesItToTheEngine(t *testing.T) {
	d := newCI(t, 0)
	d.engine.downError = errors.New("the volume is stuck")
	_, stderr, code := d.run("ci")
	if code != 68 || d.engine.released || !strings.Contains(stderr, "the volume is stuck") {
		t.Errorf("exit code %d, released %t:\n%s", code, d.engine.released, stderr)
	}
}

func TestCIDoesNotTakeWhatExists(t *testing.T) {
	d := newCI(t, 0)
	d.engine.observed.Containers = []planner.Container{{ID: "1", Service: "web"}}
	_, stderr, code := d.run("--instance mine ci")
	if code != 64 || d.engine.down != nil || d.engine.apply != nil || !strings.Contains(stderr, "shop-mine exists already") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}

func TestCIWhoseEnvironmentFails(t *testing.T) {
	for action, want := range map[planner.Action]int{planner.Build: 65, planner.Pull: 65, planner.Create: 66} {
		d := newCI(t, 0)
		d.engine.plan.Steps[0].Action = action
		d.engine.events = []planner.Event{{Step: "create web/1", Action: action, Resource: "web/1", Service: "web", Kind: planner.Failed, Text: "no luck"}}
		d.engine.verdict = &api.Verdict{Ok: false}
		_, stderr, code := d.run("ci")
		if code != want || d.engine.create != nil || strings.Count(stderr, "no luck") != 1 || strings.Contains(stderr, "is not up") {
			t.Errorf("%s: exit code %d, want %d:\n%s", action, code, want, stderr)
		}
	}
}

func TestCIReportsInJSON(t *testing.T) {
	d := newCI(t, 5)
	_, stderr, code := d.run("--progress json ci")
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	var last struct {
		Type   string
		Code   int `json:"exit_code"`
		Reason string
	}
	for _, l := range lines {
		if err := json.Unmarshal([]byte(l), &last); err != nil {
			t.Errorf("%q is no JSON: %v", l, err)
		}
	}
	if code != 5 || last.Type != "result" || last.Code != 5 || last.Reason != "the code of tests, removed" {
		t.Errorf("exit code %d, the last line is %+v", code, last)
	}
}

// TestCIKeepsSecretsOutOfItsArtifacts has a secret that every encoder writes in
// another way.
func TestCIKeepsSecretsOutOfItsArtifacts(t *testing.T) {
	const secret = `p&ss<w"rd`
	d := newCI(t, 0)
	stack := strings.Replace(tested, "[test]", "[test], secrets: [word]", 1) + "secrets: {word: {environment: WORD}}\n"
	if err := os.WriteFile(filepath.Join(d.dir, "stack.yaml"), []byte(stack), 0o600); err != nil {
		t.Fatal(err)
	}
	d.env = []string{"WORD=" + secret}
	report := `<testsuite name="s"><testcase name="c"><failure message="got p&amp;ss&lt;w&quot;rd">p&amp;ss&lt;w"rd</failure></testcase></testsuite>`
	d.engine.files = []*api.FilePart{{Path: "/r.xml", Content: []byte(report)}}
	d.engine.plan.Steps[0].Optional = true
	part := planner.Part{Name: "RUN " + secret, Began: then, Ended: then.Add(time.Second), Error: secret}
	for i, kind := range []planner.Outcome{planner.Progressed, planner.Failed} {
		d.engine.events = append(d.engine.events, planner.Event{
			Time: then.Add(time.Duration(i+1) * time.Second), Step: "create web/1", Action: planner.Create, Resource: "web/1", Service: "web", Kind: kind, Text: "says " + secret, Part: &part,
		})
	}
	out := filepath.Join(d.dir, "out")
	elsewhere := filepath.Join(d.dir, "out-trace.json")
	for _, flags := range []string{"", "--trace " + elsewhere + " "} {
		if _, stderr, code := d.run(flags + "ci --junit /r.xml --artifacts " + out); code != 0 {
			t.Fatalf("exit code %d:\n%s", code, stderr)
		}
	}
	for _, name := range []string{"out/junit.xml", "out/events.jsonl", "out/trace.json", "out-trace.json"} {
		text, err := os.ReadFile(filepath.Join(d.dir, name))
		if err != nil || strings.Contains(string(text), "p&") || strings.Contains(string(text), `p\u0026`) || !strings.Contains(string(text), "***") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
	}
}

// TestCIWhoseEngineDiesBesideATest has an engine die between the creation of a
// test and its end.
func TestCIWhoseEngineDiesBesideATest(t *testing.T) {
	for state, test := range map[planner.State]struct {
		removed bool
		starts  bool // again
		code    int
	}{
		planner.Created: {false, true, 3},
		planner.Exited:  {false, false, 5},
		planner.Running: {true, false, 69},
		"":              {false, false, 69}, // it is not there
	} {
		d := newCI(t, 3)
		d.engine.dies = []planner.Container{}
		if state != "" {
			d.engine.dies = []planner.Container{{ID: "c1", Service: "tests", OneOff: true, State: state, ExitCode: 5}}
		}
		if test.removed {
			go func() {
				d.engine.changes <- &api.ContainerChange{Container: &api.Container{Id: "c1", State: "running"}, Removed: true}
			}()
		}
		_, stderr, code := d.run("ci --timeout 20s")
		if code != test.code || (d.engine.start != nil) != test.starts || !d.removed() {
			t.Errorf("%s: exit code %d, want %d, started %t:\n%s", state, code, test.code, d.engine.start != nil, stderr)
		}
	}
}

func TestCIDoesNotTakeTheCodeOfATestThatAnotherCommandStopped(t *testing.T) {
	for _, ends := range []int32{0, 137} {
		d := newCI(t, ends)
		d.engine.stopped = true
		_, stderr, code := d.run("ci")
		if code != 69 || !d.removed() || !strings.Contains(stderr, "✗ tests did not run to completion: another command stopped its container") ||
			!strings.Contains(stderr, "Exit code 69: tests did not run to completion, removed") {
			t.Errorf("exit code %d:\n%s", code, stderr)
		}
	}
}

func TestCIMissesReportsOnlyWhereThereAreNone(t *testing.T) {
	for _, files := range [][]*api.FilePart{nil, {{Path: "/r.xml", Content: []byte("<testsuite/>")}}} {
		d := newCI(t, 0)
		d.engine.files = files
		_, stderr, code := d.run("ci --junit /r.xml")
		if missed := strings.Contains(stderr, "! no test has a file that matches /r.xml"); code != 0 || missed != (files == nil) {
			t.Errorf("%d files: exit code %d:\n%s", len(files), code, stderr)
		}
	}
}

// TestCIKeepsTheReportsThatItHasRead has a report past the bounds of what is
// read, and an engine that goes away within one.
func TestCIKeepsTheReportsThatItHasRead(t *testing.T) {
	report := []*api.FilePart{{Path: "/a.xml", Content: []byte(`<testsuite name="s"><testcase name="add"/></testsuite>`)}}
	tooLarge := errors.New("/r.xml is not a regular file of less than 64 MB")
	for name, test := range map[string]struct {
		files []*api.FilePart
		err   error
		kept  bool
	}{
		"beside one that is too large": {report, tooLarge, true},
		"none but one too large":       {nil, tooLarge, false},
		"a part of one":                {append(report, &api.FilePart{Path: "/b.xml", Content: []byte("<tests")}), status.Error(codes.Unavailable, "the engine died"), true},
	} {
		d := newCI(t, 0)
		d.engine.files, d.engine.readError = test.files, test.err
		_, stderr, code := d.run("ci --junit /*.xml --artifacts out")
		written, err := os.ReadFile(filepath.Join(d.dir, "out", "junit.xml"))
		if code != 0 || err != nil || strings.Contains(string(written), `name="add"`) != test.kept {
			t.Errorf("%s: exit code %d, %v:\n%s", name, code, err, written)
		}
		if !strings.Contains(stderr, "cannot read all reports of tests") || strings.Contains(stderr, "no test has a file") || strings.Contains(stderr, "no JUnit report") {
			t.Errorf("%s:\n%s", name, stderr)
		}
	}
}

func TestCIWhoseTestHasNoContainer(t *testing.T) {
	d := newCI(t, 0)
	d.engine.makeError = errors.New("the mount is refused")
	_, stderr, code := d.run("ci")
	if code != 69 || !d.removed() || !strings.Contains(stderr, "tests did not run to completion: the mount is refused") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}

func TestCIHoldsItsInstanceFromEngineToEngine(t *testing.T) {
	for name, holds := range map[string][]string{
		"two die in a row":                 {"dies", "dies before its answer", "dies before its answer", "dies", ""},
		"one dies when it shall let go":    {"dies at the release", ""},
		"three die when they shall let go": {"dies at the release", "dies before its answer", "dies at the release", ""},
	} {
		d := newCI(t, 0)
		d.engine.holds = holds
		_, stderr, code := d.run("ci")
		if code != 0 || !d.engine.released || len(d.engine.holds) != 0 {
			t.Errorf("%s: exit code %d, released %t, %d engines unasked:\n%s", name, code, d.engine.released, len(d.engine.holds), stderr)
		}
	}
}

func TestCIEndsItsWorkWhenNobodyHoldsTheInstance(t *testing.T) {
	for _, line := range []string{"ci --timeout 20s", "ci --timeout 20s --keep-on-failure"} {
		d := newCI(t, 0)
		d.engine.hold = make(chan struct{}) // the environment never comes up
		d.engine.holds = []string{"dies", "refused"}
		_, stderr, code := d.run(line)
		if code != 66 || !d.removed() || !strings.Contains(stderr, "no engine holds the project any more") {
			t.Errorf("%s: exit code %d, removed %t:\n%s", line, code, d.removed(), stderr)
		}
	}
}
