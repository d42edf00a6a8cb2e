package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// write puts a file beside the stack file.
func (d *desk) write(name, text string) {
	d.t.Helper()
	if err := os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// TestANameWithoutAValueTakesThatOfTheStackFile holds that -e NAME means what
// ${NAME} means in the file: the caller's environment over environment files.
func TestANameWithoutAValueTakesThatOfTheStackFile(t *testing.T) {
	for _, test := range []struct {
		name string
		args []string
		want string
	}{
		{"run and .env", []string{"run", "-T", "-e", "TOKEN", "web"}, "dotenv"},
		{"run and --env-file", []string{"--env-file", "other.env", "run", "-T", "-e", "TOKEN", "web"}, "other"},
		{"run and the caller", []string{"run", "-T", "-e", "MINE", "web"}, "caller"},
		{"exec and .env", []string{"exec", "-T", "-e", "TOKEN", "web", "env"}, "dotenv"},
		{"exec and --env-file", []string{"--env-file", "other.env", "exec", "-T", "-e", "TOKEN", "web", "env"}, "other"},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, shop).serve()
			d.env = []string{"MINE=caller"}
			d.write(".env", "TOKEN=dotenv\nMINE=x\n")
			d.write("other.env", "TOKEN=other\n")
			if _, stderr, code := d.runArgs(test.args...); code != 0 {
				t.Fatalf("exit code is %d: %s", code, stderr)
			}
			got := d.engine.start.Environment
			if d.engine.create != nil {
				p, err := spec.ParseProject(d.engine.create.Apply.Project)
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"TOKEN", "MINE"} {
					if v := p.Services["web"].Environment[name]; v != nil {
						got = append(got, name+"="+*v)
					}
				}
			}
			if len(got) != 1 || got[0] != "TOKEN="+test.want && got[0] != "MINE="+test.want {
				t.Errorf("the environment is %q, want the value %s", got, test.want)
			}
		})
	}
}

// TestVariablesOfComposeStandForFlags holds that they are read from the
// environment and from .env, and that a flag comes first.
func TestVariablesOfComposeStandForFlags(t *testing.T) {
	for _, test := range []struct {
		name, env, dotenv, args string
		want                    planner.Options
	}{
		{"nothing", "", "", "up -d", planner.Options{}},
		{"remove orphans", "COMPOSE_REMOVE_ORPHANS=true", "", "up -d", planner.Options{RemoveOrphans: true}},
		{"remove orphans, a word of YAML", "COMPOSE_REMOVE_ORPHANS=On", "", "up -d", planner.Options{RemoveOrphans: true}},
		{"remove orphans by .env", "", "COMPOSE_REMOVE_ORPHANS=1", "up -d", planner.Options{RemoveOrphans: true}},
		{"but the flag", "COMPOSE_REMOVE_ORPHANS=1", "", "up -d --remove-orphans=false", planner.Options{}},
		{"but the environment", "COMPOSE_REMOVE_ORPHANS=0", "COMPOSE_REMOVE_ORPHANS=1", "up -d", planner.Options{}},
		{"limit", "", "COMPOSE_PARALLEL_LIMIT=2", "up -d", planner.Options{Limit: 2}},
		{"the switch is no limit", "", "COMPOSE_PARALLEL_LIMIT=2", "build --parallel", planner.Options{Limit: 2, BuildOnly: true, Build: true}},
		{"a limit of the switch", "", "COMPOSE_PARALLEL_LIMIT=2", "pull --parallel=3", planner.Options{Limit: 3, PullOnly: true, NoDeps: true}},
		{"no limit", "COMPOSE_PARALLEL_LIMIT=-1", "", "up -d", planner.Options{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := newDesk(t, shop).serve()
			d.env = strings.Fields(test.env)
			d.write(".env", test.dotenv)
			if _, stderr, code := d.run(test.args); code != 0 {
				t.Fatalf("exit code is %d: %s", code, stderr)
			}
			got := d.applied()
			if got.RemoveOrphans != test.want.RemoveOrphans || got.Limit != test.want.Limit {
				t.Errorf("options are %+v, want %+v", got, test.want)
			}
		})
	}
	d := newDesk(t, shop).serve()
	d.write(".env", "COMPOSE_REMOVE_ORPHANS=yes\nCOMPOSE_PARALLEL_LIMIT=1\n")
	if _, stderr, code := d.run("down"); code != 0 {
		t.Fatalf("exit code is %d: %s", code, stderr)
	}
	var down planner.DownOptions
	if _, stderr, code := d.run("stop"); code != 0 || d.engine.lifecycle[0].Limit != 1 {
		t.Errorf("stop asks for %v: %s", d.engine.lifecycle, stderr)
	}
	if err := json.Unmarshal(d.engine.down.Options, &down); err != nil || !down.RemoveOrphans || down.Limit != 1 {
		t.Errorf("options of down are %+v, %v", down, err)
	}
}

// TestOrphansCanBeIgnored holds that nothing is said of them then.
func TestOrphansCanBeIgnored(t *testing.T) {
	d := newDesk(t, shop).serve()
	d.engine.plan = &planner.Plan{Project: "shop", Leave: 2, Orphans: []string{"old/1"}}
	if stdout, _, _ := d.run("plan"); !strings.Contains(stdout, "old/1") {
		t.Fatalf("the orphan is not told: %s", stdout)
	}
	d.env = []string{"COMPOSE_IGNORE_ORPHANS=1"}
	stdout, _, _ := d.run("plan")
	_, stderr, _ := d.run("up -d")
	if strings.Contains(stdout+stderr, "old/1") {
		t.Errorf("the orphan is told: %s%s", stdout, stderr)
	}
	if _, stderr, code := d.run("up -d --remove-orphans"); code == 0 || !strings.Contains(stderr, "COMPOSE_IGNORE_ORPHANS and --remove-orphans cannot be used together") {
		t.Errorf("the exit code is %d: %s", code, stderr)
	}
}

func TestAWrongVariableIsNamed(t *testing.T) {
	for variable, want := range map[string]string{
		"COMPOSE_PROGRESS=fancy":       `COMPOSE_PROGRESS is "fancy": it must be one of auto, tty, plain, json, quiet`,
		"COMPOSE_ANSI=maybe":           `COMPOSE_ANSI is "maybe": it must be one of auto, always, never`,
		"COMPOSE_PARALLEL_LIMIT=three": `COMPOSE_PARALLEL_LIMIT is "three": it must be an integer`,
	} {
		d := newDesk(t, shop)
		d.write(".env", variable)
		if _, stderr, code := d.run("config"); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", variable, code, stderr)
		}
	}
	d := newDesk(t, shop)
	d.env = []string{"COMPOSE_PROGRESS=fancy", "COMPOSE_ANSI=maybe"}
	if _, stderr, code := d.run("--ansi never config --progress plain"); code != 0 {
		t.Errorf("flags do not come first: %s", stderr)
	}
}

// TestColoursFollowTheVariable holds that .env can turn them on.
func TestColoursFollowTheVariable(t *testing.T) {
	d := newDesk(t, "services: {web: {imaje: a}}")
	d.write(".env", "COMPOSE_ANSI=always")
	if _, stderr, _ := d.run("config"); !strings.Contains(stderr, "\x1b[") {
		t.Errorf("there is no colour in %q", stderr)
	}
}

// TestTheProjectsNameMayStandInDotEnv holds that it is enough where no stack
// file is.
func TestTheProjectsNameMayStandInDotEnv(t *testing.T) {
	d := newDesk(t, "").serve()
	d.write(".env", "COMPOSE_PROJECT_NAME=ours\n")
	if _, stderr, code := d.run("down"); code != 0 || d.engine.down.Project != "ours" {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}
