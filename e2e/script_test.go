package e2e

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/orlop/orlop/e2e/lab"
	"github.com/orlop/orlop/failpoint"
)

// TestScripts runs the scripts in testdata/script; see README.md there for the
// commands that they have.
func TestScripts(t *testing.T) { runScripts(t, filepath.Join("testdata", "script")) }

// TestFaults runs the scripts in faults/script, which inject faults; what they
// say of themselves is docs/faults.md.
func TestFaults(t *testing.T) { runScripts(t, filepath.Join("faults", "script")) }

// TestKeys runs the scripts in keys/script: each reads what keys of a stack file do
// from inside a container or from the kernel.
func TestKeys(t *testing.T) { runScripts(t, filepath.Join("keys", "script")) }

func runScripts(t *testing.T, dir string) {
	if missing != nil {
		t.Skip("SKIPPED: " + missing.Error())
	}
	if err := stage.open(); err != nil {
		t.Fatal(err)
	}
	t.Parallel() // with the scripts of the other folders, so that a long one has company to its end
	testscript.Run(t, testscript.Params{
		// What hangs is to fail with its output while there is time to clean up.
		Deadline:           deadline(t),
		Dir:                dir,
		Setup:              setUp,
		Cmds:               commands(),
		RequireUniqueNames: true,
		Condition:          condition,
		// For whoever writes a script: see all that differs at once.
		ContinueOnError: os.Getenv("ORLOP_E2E_CONTINUE") != "",
	})
}

// condition is what a script may ask for in brackets.
func condition(name string) (bool, error) {
	switch name {
	case "foreign":
		return hasForeign(), nil
	case "pids":
		return hasController("pids"), nil
	case "journald":
		_, err := os.Stat("/run/systemd/journal/socket")
		return err == nil, nil
	case "cgroup1":
		return !slices.ContainsFunc([]string{"blkio", "cpu", "cpuset", "memory", "pids"}, func(name string) bool { return !hasController(name) }), nil
	}
	return false, fmt.Errorf("no condition is called %q", name)
}

// hasController says whether a controller is one of cgroup v1, mounted where it should be.
func hasController(name string) bool {
	_, err := os.Stat("/sys/fs/cgroup/" + name + "/cgroup.procs")
	return err == nil
}

// deadline is when the scripts must have ended; who asks for a number of moments
// has time for them.
func deadline(t *testing.T) time.Time {
	limit := time.Now().Add(20 * time.Minute)
	if end, ok := t.Deadline(); ok && (end.Add(-time.Minute).Before(limit) || os.Getenv(momentsEnv) != "") {
		return end.Add(-time.Minute)
	}
	return limit
}

// scene is what one script has for itself.
type scene struct {
	engine    *lab.Engine
	project   string
	host      *lab.Host
	downloads map[string]*download
	askers    map[string]*asker
	snapshots map[string][]string
}

type sceneKey struct{}

func sceneOf(ts *testscript.TestScript) *scene { return ts.Value(sceneKey{}).(*scene) }

func setUp(env *testscript.Env) error {
	number := stage.number()
	s := &scene{
		engine: stage.engine, project: fmt.Sprintf("e%dx", number),
		downloads: map[string]*download{}, askers: map[string]*asker{}, snapshots: map[string][]string{},
	}
	env.Values[sceneKey{}] = s
	env.Vars = append(env.Vars, stage.engine.Env()...)
	env.Setenv("PATH", programs()+":"+foreign()+":"+os.Getenv("PATH"))
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("XDG_CACHE_HOME", env.WorkDir+"-cache") // beside what is built and watched
	env.Setenv("REPOSITORY", repository())
	env.Setenv("COMPOSE_PROJECT_NAME", s.project)
	env.Setenv("P", s.project)
	env.Setenv("ID", stage.engine.ID())
	env.Setenv("DOLLAR", "$")
	env.Setenv("REGISTRY", stage.registry.Address())
	env.Setenv("GOPROXY", goEnv("GOPROXY"))
	for i, port := range stage.ports(4) {
		env.Setenv(fmt.Sprintf("PORT%d", i+1), fmt.Sprint(port))
		env.Setenv(fmt.Sprintf("NEXT%d", i+1), fmt.Sprint(port+1)) // the one that an error proposes
	}
	env.Defer(func() { s.close(env) })
	return nil
}

func goEnv(name string) string {
	out, _ := exec.Command("go", "env", name).Output()
	return strings.TrimSpace(string(out))
}

// close takes down what the script has left up, by the names of its projects.
func (s *scene) close(env *testscript.Env) {
	for _, a := range s.askers {
		a.stop()
	}
	for _, d := range s.downloads {
		d.close()
	}
	failed := false
	if t, ok := env.T().(interface{ Failed() bool }); ok && t.Failed() {
		failed = true
		out, _ := s.engine.Run(background(), "/", "-p", s.project, "ps", "-a")
		env.T().Log("containers:\n" + out + "the engine's log:\n" + s.engine.Logs(25))
		endCommands(env.WorkDir)
	}
	if s.engine != stage.engine {
		if err := s.engine.Close(background()); err != nil && !failed {
			env.T().Fatal(err)
		}
		return
	}
	names, err := s.engine.Projects(background())
	if err != nil {
		env.T().Fatal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, s.project) {
			if _, err := s.engine.Run(background(), "/", "-p", name, "down", "-v", "--remove-orphans", "-t", "0"); err != nil {
				env.T().Fatal(err)
			}
		}
	}
}

// endCommands kills what a script that failed has left running: what is in the background
// may wait for ever for what the script would have done next, and holds the output for
// which the runner of scripts waits.
func endCommands(workDir string) {
	environments, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environments {
		text, err := os.ReadFile(path)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && slices.Contains(strings.Split(string(text), "\x00"), "WORK="+workDir) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // or it has ended
		}
	}
}

// ownEngine gives the script an engine of these programs that no other script
// uses. Its root is on a file system of so many megabytes; 0 is this machine's.
func (s *scene) ownEngine(ts *testscript.TestScript, bin string, megabytes int, images []string) {
	e, err := stage.newEngine(bin, megabytes)
	ts.Check(err)
	if bin != programs() {
		dir := ts.MkAbs(".failpoints")
		ts.Check(os.MkdirAll(dir, 0o700))
		e.Variables = []string{failpoint.Variable + "=" + dir}
		ts.Setenv(failpoint.Variable, dir)
		ts.Setenv("PATH", bin+":"+ts.Getenv("PATH"))
	}
	if s.engine != stage.engine {
		old := s.engine
		ts.Defer(func() { ts.Check(old.Close(background())) })
	}
	if s.host != nil {
		e.Netns = s.host.Path()
	}
	s.engine = e
	ts.Setenv("ORLOP_ROOT", e.Root)
	ts.Setenv("ORLOP_STATE", e.State)
	ts.Setenv("ID", e.ID())
	for _, name := range images {
		_, err := e.Run(background(), "/", "image", "load", archive(name))
		ts.Check(err)
	}
}

func isFree(port int) bool {
	for _, network := range []string{"tcp4", "tcp6"} {
		l, err := (&net.ListenConfig{}).Listen(context.Background(), network, fmt.Sprintf(":%d", port))
		if err != nil {
			return false
		}
		l.Close()
	}
	return true
}
