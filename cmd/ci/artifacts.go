package ci

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd/ci/junit"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec/secret"
)

// open makes the directory of the artifacts and begins to record.
func (c *run) open() error {
	trace := c.Trace
	var events io.WriteCloser
	if dir := c.flags.Artifacts; dir != "" {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(c.Dir, dir)
		}
		err := os.MkdirAll(dir, 0o755)
		if err == nil {
			events, err = os.Create(filepath.Join(dir, "events.jsonl"))
		}
		if err != nil {
			return fmt.Errorf("cannot write to --artifacts %s: %w", c.flags.Artifacts, err)
		}
		c.directoryOfArtifacts = dir
		trace = cmp.Or(trace, filepath.Join(dir, "trace.json"))
	}
	c.record = newRecord(events, c.began)
	c.tracer = c.NewTracer(trace)
	c.tracer.Join()
	return nil
}

// collectTimeout bounds how long artifacts are collected.
const collectTimeout = time.Minute

// collect writes the artifacts, while all that they tell of is still there.
// What can't be written is said and keeps nothing else from being written.
func (c *run) collect(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	if t := c.running; t != nil {
		c.readReports(ctx, t)
	}
	if c.directoryOfArtifacts == "" || ctx.Err() != nil {
		return
	}
	collected := c.tracer.Own(display.ActionCollect, "artifacts")
	defer func() { collected(planner.Done, "") }()
	observed, err := c.observed(ctx, true)
	for name, write := range map[string]func(io.Writer) error{
		"plan.json":   func(w io.Writer) error { return c.writePlan(w, "json") },
		"plan.txt":    func(w io.Writer) error { return c.writePlan(w, "text") },
		"config.yaml": c.writeConfig,
		"inspect.json": func(w io.Writer) error {
			if err != nil {
				return err
			}
			return writeIndented(w, observed)
		},
		"junit.xml": func(w io.Writer) error { return c.report(observed).Write(w) },
	} {
		c.write(name, write)
	}
	for service, lines := range c.record.builds {
		c.write(filepath.Join("builds", service+".log"), func(w io.Writer) error {
			_, err := io.WriteString(w, strings.Join(lines, "\n")+"\n")
			return err
		})
	}
	c.writeLogs(ctx)
}

// write writes one artifact, without the project's secrets.
func (c *run) write(name string, content func(io.Writer) error) {
	var text bytes.Buffer
	err := content(&text)
	path := filepath.Join(c.directoryOfArtifacts, name)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o755)
	}
	if err == nil {
		err = os.WriteFile(path, c.Mask.Bytes(text.Bytes()), 0o644)
	}
	if err != nil {
		c.warn(fmt.Sprintf("cannot collect %s: %v", name, err))
	}
}

func (c *run) writePlan(w io.Writer, format string) error {
	plan := c.record.text
	if plan == nil {
		plan = &planner.Plan{Project: c.project.Name, Steps: []*planner.Step{}}
	}
	return display.WritePlan(w, plan, format, display.Style{})
}

func (c *run) writeConfig(w io.Writer) error {
	doc, err := c.project.YAML()
	if err == nil {
		_, err = w.Write(doc)
	}
	return err
}

func writeIndented(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// writeLogs writes a file a service with all that its containers printed.
func (c *run) writeLogs(ctx context.Context) {
	printers := map[string]*display.LogPrinter{}
	for _, name := range slices.Sorted(maps.Keys(c.project.Services)) {
		f, err := os.Create(filepath.Join(c.directoryOfArtifacts, name+".log"))
		if err != nil {
			c.warn(fmt.Sprintf("cannot collect the log of %s: %v", name, err))
			continue
		}
		defer f.Close()
		masked := secret.NewWriter(f, c.Mask)
		defer func() { _ = masked.Flush() }() // as the file's end: what is missing there is seen
		printers[name] = display.NewLogPrinter(masked, masked, display.Style{}, display.Style{}, display.LogFormat{NoColor: true, Times: true, NoPrefix: c.project.Services[name].Replicas() < 2}, nil)
	}
	req := &api.LogsRequest{Project: c.project.Name, Tail: -1, Masked: true}
	err := cli.ReadLines(ctx, c.client, req, func(l *api.LogLine) {
		if p := printers[l.Service]; p != nil {
			p.Print(l)
		}
	})
	if err != nil {
		c.warn(fmt.Sprintf("cannot collect the logs: %v", cli.Cause(ctx, err)))
	}
}

// report is the JUnit report of the run: a suite of the steps, one of the
// services, one of the tests as a whole, and those that the tests wrote.
func (c *run) report(observed *planner.Observed) *junit.Report {
	now := c.Now()
	r := &junit.Report{Name: c.project.Name, Time: now.Sub(c.began), Suites: []junit.Suite{
		{Name: "orlop: steps", Timestamp: c.began, Cases: c.stepCases(now)},
		{Name: "orlop: services", Timestamp: c.began, Cases: c.serviceCases(observed, now)},
		{Name: "orlop: tests", Timestamp: c.began, Cases: c.testCases(now)},
	}}
	for _, t := range c.results {
		r.Suites = append(r.Suites, t.reports.Suites...)
	}
	maskReport(c.Mask, r)
	return r
}

func (c *run) stepCases(now time.Time) []junit.Case {
	var cases []junit.Case
	for _, s := range c.record.those(func(*stepRecord) bool { return true }) {
		cases = append(cases, stepCase(s, now))
	}
	return cases
}

// stepCase is a step as a case: one that never ended is broken, one that was
// not begun is skipped.
func stepCase(s *stepRecord, now time.Time) junit.Case {
	k := junit.Case{Class: "orlop.step", Name: s.step.ID, Time: s.last.Took}
	switch s.last.Kind {
	case planner.Done, planner.Unchanged:
	case planner.Failed:
		k.Status, k.Message, k.Detail = junit.Failed, s.last.Text, strings.Join(s.last.Lines, "\n")
		if s.step.Optional {
			k.Status = junit.Skipped
		}
	case planner.Skipped:
		k.Status, k.Message = junit.Skipped, s.last.Text
	default:
		k.Status, k.Message = junit.Skipped, "not begun"
		if !s.began.IsZero() {
			k.Status, k.Message, k.Time = junit.Broken, "not ended: "+cmp.Or(s.last.Text, "it was running"), now.Sub(s.began)
		}
	}
	return k
}

// serviceCases has a case for each service of the environment.
func (c *run) serviceCases(observed *planner.Observed, now time.Time) []junit.Case {
	var cases []junit.Case
	steps := c.record.those(func(*stepRecord) bool { return true })
	for _, name := range slices.Sorted(maps.Keys(c.project.Services)) {
		if slices.Contains(c.tests, name) {
			continue
		}
		k := serviceCase(name, steps, now)
		if observed != nil && k.Status != junit.Passed {
			for i := range observed.Containers {
				if o := &observed.Containers[i]; o.Service == name && !o.OneOff {
					k.Detail += "\n" + display.Replica(o) + " " + display.StateNote(o)
				}
			}
		}
		k.Detail = strings.TrimSpace(k.Detail)
		cases = append(cases, k)
	}
	return cases
}

// serviceCase sums up the steps of a service: the worst of them counts, and
// its time is that from the first begin to the last end.
func serviceCase(name string, steps []*stepRecord, now time.Time) junit.Case {
	sum := junit.Case{Class: "orlop.service", Name: name}
	rank := func(s junit.Status) int {
		return slices.Index([]junit.Status{junit.Passed, junit.Skipped, junit.Broken, junit.Failed}, s)
	}
	var first, last time.Time
	for _, s := range steps {
		if s.step.Service != name {
			continue
		}
		k := stepCase(s, now)
		if rank(k.Status) > rank(sum.Status) {
			sum.Status, sum.Message, sum.Detail = k.Status, k.Message, k.Detail
		}
		if !s.began.IsZero() && (first.IsZero() || s.began.Before(first)) {
			first = s.began
		}
		if end := s.began.Add(k.Time); !s.began.IsZero() && end.After(last) {
			last = end
		}
	}
	sum.Time = last.Sub(first)
	return sum
}

// testCases has a case for each test service as a whole.
func (c *run) testCases(now time.Time) []junit.Case {
	var cases []junit.Case
	for _, name := range c.tests {
		k := junit.Case{Class: "orlop.test", Name: name, Status: junit.Skipped, Message: "not begun"}
		i := slices.IndexFunc(c.results, func(t *testResult) bool { return t.service == name })
		if i >= 0 {
			k = testCase(c.results[i], now)
		}
		cases = append(cases, k)
	}
	return cases
}

func testCase(t *testResult, now time.Time) junit.Case {
	k := junit.Case{Class: "orlop.test", Name: t.service, Time: t.took}
	switch {
	case t.skipped != "":
		k.Status, k.Message = junit.Skipped, t.skipped
	case t.failed():
		k.Status, k.Message = junit.Failed, fmt.Sprintf("exit code %d%s", t.code, display.Spaced(t.how))
		k.Detail = strings.Join(t.last.Lines(), "\n")
	case !t.ended:
		k.Status, k.Message, k.Detail = junit.Broken, "it has not ended", strings.Join(t.last.Lines(), "\n")
		if !t.began.IsZero() {
			k.Time = now.Sub(t.began)
		}
	}
	return k
}

// maskReport hides secrets in all texts of a report, before XML escapes them.
func maskReport(m *secret.Mask, r *junit.Report) {
	each := func(texts ...*string) {
		for _, t := range texts {
			*t = m.Text(*t)
		}
	}
	each(&r.Name)
	for i := range r.Suites {
		s := &r.Suites[i]
		each(&s.Name, &s.Hostname, &s.Out, &s.Err)
		for j := range s.Properties {
			each(&s.Properties[j].Name, &s.Properties[j].Value)
		}
		for j := range s.Cases {
			k := &s.Cases[j]
			each(&k.Class, &k.Name, &k.Message, &k.Kind, &k.Detail, &k.Out, &k.Err)
		}
	}
}
