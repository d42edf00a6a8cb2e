package cmd_test

import (
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
)

// What runs can be seen and stopped, whatever the stack file is like.
func TestVerbsAboutWhatRunsNeedNoFaultlessFile(t *testing.T) {
	const warning = "; the stack file is ignored, the project is "
	for name, c := range map[string]struct {
		text, flags string
		env         []string
		project     string
		says        string
	}{
		"a mistake":                {"name: shop\nservices: {web: {imag: x}}\n", "", nil, "shop", ` ! stack.yaml:2:18: services.web: unknown key "imag" (did you mean "image"?)`},
		"two mistakes":             {"name: shop\nservices: {web: {imag: x}, db: {imag: x}}\n", "", nil, "shop", ", and 1 mistake more"},
		"half written":             {"name: shop\nservices:\n  web: {image: \"", "", nil, "shop", " ! stack.yaml:"},
		"a required variable":      {"name: shop\nservices: {web: {image: x, command: \"${NEEDED:?say}\"}}\n", "", nil, "shop", "NEEDED"},
		"a named file":             {"name: shop\nservices: {web: {imag: x}}\n", "-f stack.yaml", nil, "shop", "imag"},
		"a missing env_file":       {"name: shop\nservices: {web: {image: x, env_file: none.env}}\n", "", nil, "shop", ""},
		"an inactive profile":      {"name: shop\nservices: {web: {image: x, profiles: [p]}}\n", "", nil, "shop", ""},
		"only the engine knows":    {"name: shop\nservices: {db: {image: x}}\n", "", nil, "shop", ""},
		"no file but a name":       {"", "-p mine", nil, "mine", ""},
		"no file but a variable":   {"", "", []string{"COMPOSE_PROJECT_NAME=ours"}, "ours", ""},
		"a mistake, but a flag":    {"name: shop\nservices: {web: {imag: x}}\n", "-p mine", nil, "mine", "imag"},
		"a mistake, of a variable": {"name: shop\nservices: {web: {imag: x}}\n", "", []string{"COMPOSE_PROJECT_NAME=ours"}, "ours", "imag"},
	} {
		for _, verb := range []string{"stop web", "kill web", "restart web", "start web", "rm -f web", "ps web", "logs web", "images web", "port web 80",
			"exec -T web true", "down web"} {
			d := newDesk(t, c.text).serve()
			d.env = c.env
			d.engine.observed.Containers = []planner.Container{{
				ID: "c1", Service: "web", Number: 1, State: planner.Running,
				Published: []planner.Binding{{HostPort: 8080, Target: 80, Protocol: "tcp"}},
			}}
			_, stderr, code := d.run(strings.TrimSpace(c.flags + " " + verb))
			if code != 0 {
				t.Errorf("%s: %s ends with %d: %s", name, verb, code, stderr)
				continue
			}
			if c.says != "" && (!strings.Contains(stderr, c.says) || strings.Count(stderr, warning+c.project+"\n") != 1) || c.says == "" && strings.Contains(stderr, " ! ") {
				t.Errorf("%s: %s warns of %q", name, verb, stderr)
			}
			switch {
			case len(d.engine.lifecycle) > 0:
				equal(t, name+": project of "+verb, d.engine.lifecycle[0].Project, c.project)
			case d.engine.down != nil:
				equal(t, name+": project of "+verb, d.engine.down.Project, c.project)
			case d.engine.start != nil:
				equal(t, name+": project of "+verb, d.engine.start.Project, c.project)
			}
		}
	}
}

func TestVerbsAskForAProjectThatCannotBeTold(t *testing.T) {
	for _, verb := range []string{"stop", "rm -f", "down", "ps"} {
		d := newDesk(t, "name: ${STAGE}-shop\nservices: [\n").serve()
		_, stderr, code := d.run(verb)
		if code != 1 || !strings.Contains(stderr, "stack.yaml:") || !strings.HasSuffix(stderr, "pass it with -p NAME\n") {
			t.Errorf("%s ends with %d: %s", verb, code, stderr)
		}
		if len(d.engine.lifecycle) > 0 || d.engine.down != nil {
			t.Errorf("%s is about a project nobody named", verb)
		}
		if _, stderr, code := d.run("-p mine " + verb); code != 0 || !strings.Contains(stderr, "the project is mine\n") {
			t.Errorf("%s with a name ends with %d: %s", verb, code, stderr)
		}
	}
}

func TestVerbsThatReadTheFileStillRefuse(t *testing.T) {
	for _, line := range []string{"up -d", "plan", "run web", "build", "config"} {
		d := newDesk(t, "name: shop\nservices: {web: {imag: x}}\n").serve()
		if _, stderr, code := d.run(line); code != 1 || !strings.Contains(stderr, "1 mistake") && !strings.Contains(stderr, "2 mistakes") {
			t.Errorf("%s ends with %d: %s", line, code, stderr)
		}
	}
	d := newDesk(t, "name: shop\nservices: {web: {image: x}}\n").serve()
	if _, stderr, code := d.run("logs wbe"); code != 1 || !strings.Contains(stderr, `did you mean "web"`) {
		t.Errorf("a service that nobody knows: %d: %s", code, stderr)
	}
	if _, stderr, code := newDesk(t, "").serve().run("ps"); code != 1 || !strings.Contains(stderr, "no stack file in ") {
		t.Errorf("no file and no name: %d: %s", code, stderr)
	}
}
