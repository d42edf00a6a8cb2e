package cmd_test

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/planner"
)

// TestWarningsAreSaidOnceForTheSameContent holds that who works with a stack
// is told what is left aside, and not again until something changes.
func TestWarningsAreSaidOnceForTheSameContent(t *testing.T) {
	const file = "name: shop\nservices:\n  db: {image: a, labels: {x: 010}}\n  web: {image: a, labels: {x: 010}, user: '${WHO}'}\n"
	const brief = " ! services.*.labels.x: 010 is not text for YAML and becomes \"8\", 2 services (first stack.yaml:3); quote it: \"010\"\n" +
		" ! WHO is not set: empty (stack.yaml:4)\n" +
		"   all places: orlop config --verbose\n"
	d := newDesk(t, file).serve()
	cache := t.TempDir()
	d.env = []string{"XDG_CACHE_HOME=" + cache}
	said := func(line string) string {
		_, stderr, code := d.run(line)
		if code != 0 {
			t.Fatalf("%s: exit code %d: %s", line, code, stderr)
		}
		before, _, _ := strings.Cut(stderr, " shop ")
		return before
	}
	equal(t, "first", said("config"), brief)
	for _, line := range []string{"config", "config -q", "plan", "up -d"} {
		if got := said(line); strings.Contains(got, "!") {
			t.Errorf("%s says it again: %s", line, got)
		}
	}
	if got := said("config -q --verbose"); !strings.Contains(got, "stack.yaml:3:30: warning: services.db.labels.x: 010") ||
		!strings.Contains(got, "stack.yaml:4:31: warning: services.web.labels.x: 010") {
		t.Errorf("--verbose does not show all places: %s", got)
	}
	d.write("stack.yaml", file+"networks: {n: {}}\n# changed\n")
	if got := said("plan"); got != "" {
		t.Errorf("the same warnings are said again: %s", got)
	}
	d.write("stack.yaml", strings.Replace(file, ", user: '${WHO}'", ", user: '${HER}'", 1))
	equal(t, "after a change", said("plan"), strings.Replace(brief, "WHO is not", "HER is not", 1))
	d.env = nil
	for range 2 {
		if got := said("config"); !strings.Contains(got, "services.*.labels.x") {
			t.Errorf("nothing is said where nothing can be remembered: %s", got)
		}
	}
}

// TestStrictAlwaysSaysWarnings holds that who asks for strictness hears all.
func TestStrictAlwaysSaysWarnings(t *testing.T) {
	d := newDesk(t, "name: shop\nversion: '3'\nservices: {web: {image: a}}\n")
	d.env = []string{"XDG_CACHE_HOME=" + t.TempDir()}
	for range 2 {
		if _, stderr, code := d.run("--strict config"); code != 0 || !strings.Contains(stderr, "! version: obsolete") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
}

// TestWhatACommandThatFailedWarnedOfIsSaidAgain: it may be why it failed.
func TestWhatACommandThatFailedWarnedOfIsSaidAgain(t *testing.T) {
	d := newDesk(t, "name: shop\nservices:\n  web: {image: a, user: '${WHO}'}\n").serve()
	d.env = []string{"XDG_CACHE_HOME=" + t.TempDir()}
	d.engine.plan = &planner.Plan{Project: "shop"}
	d.engine.verdict = &api.Verdict{Error: "no"}
	for range 2 {
		if _, stderr, code := d.run("up -d"); code != 1 || !strings.Contains(stderr, "! WHO is not set") {
			t.Errorf("exit code %d: %s", code, stderr)
		}
	}
	d.engine.verdict = nil
	if _, stderr, code := d.run("up -d"); code != 0 || !strings.Contains(stderr, "! WHO is not set") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := d.run("up -d"); code != 0 || strings.Contains(stderr, "WHO") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}
