package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// engineLog is a desk whose engine has written a log.
func engineLog(t *testing.T, name, text string) *desk {
	t.Helper()
	d := newDesk(t, "")
	check(t, os.MkdirAll(filepath.Join(d.dir, "log"), 0o700))
	check(t, os.WriteFile(filepath.Join(d.dir, "log", name), []byte(text), 0o600))
	return d
}

func TestTheEnginesLogIsShownFromItsEnd(t *testing.T) {
	d := engineLog(t, "engine.log", "1\n2\n3\n")
	for line, want := range map[string]string{
		"engine logs": "1\n2\n3\n", "engine logs -n 2": "2\n3\n", "engine logs --tail all": "1\n2\n3\n", "engine logs -n 0": "",
	} {
		stdout, stderr, code := d.run(line)
		if code != 0 || stdout != want {
			t.Errorf("%s: exit code %d, %q, want %q: %s", line, code, stdout, want, stderr)
		}
	}
	d = engineLog(t, "keeper.log", "of the keeper\n")
	if stdout, _, _ := d.run("engine logs --keeper"); stdout != "of the keeper\n" {
		t.Errorf("the keeper's log is %q", stdout)
	}
}

func TestWhatKeepsALogFromBeingShown(t *testing.T) {
	d := newDesk(t, "")
	_, stderr, code := d.run("engine logs")
	if want := "there is no log at " + d.dir + "/log/engine.log: the engine has never run with ORLOP_ROOT=" + d.dir + "\n"; code != 1 || stderr != want {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	for _, n := range []string{"some", "-1"} {
		if _, stderr, code := d.run("engine logs --tail=" + n); code != 1 || stderr != "--tail is \""+n+"\": it must be a number of lines or all\n" {
			t.Errorf("exit code %d, %q", code, stderr)
		}
	}
}

// TestALogIsFollowedFromFileToFile has the log rotated while it is followed.
func TestALogIsFollowedFromFileToFile(t *testing.T) {
	d := engineLog(t, "engine.log", "old\n")
	log := filepath.Join(d.dir, "log", "engine.log")
	r, w, err := os.Pipe()
	check(t, err)
	defer r.Close()
	code := d.on(w, "engine logs -f -n 1", "", nil)
	read := func(want string) {
		t.Helper()
		buf := make([]byte, 100)
		n, err := r.Read(buf)
		if err != nil || string(buf[:n]) != want {
			t.Errorf("followed is %q, %v, want %q", buf[:n], err, want)
		}
	}
	read("old\n")
	check(t, os.WriteFile(log+".new", []byte("new\n"), 0o600))
	check(t, os.Rename(log+".new", log))
	read("new\n")
	f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
	check(t, err)
	defer f.Close()
	_, err = f.WriteString("more\n")
	check(t, err)
	read("more\n")
	d.signals <- os.Interrupt
	if got := within(t, "it does not end", code); got != 130 {
		t.Errorf("exit code is %d", got)
	}
}

func TestTheEngineIsStoppedWithAWordAboutContainers(t *testing.T) {
	d := newDesk(t, "")
	if stdout, _, code := d.run("engine stop"); code != 0 || stdout != "no engine is running\n" {
		t.Errorf("without one: exit code %d, %q", code, stdout)
	}
	d.serve()
	stdout, stderr, code := d.run("engine stop")
	if code != 0 || stdout != "the engine is stopped; containers keep running, without published ports and names of services until it is back\n" {
		t.Errorf("exit code %d, %q: %s", code, stdout, stderr)
	}
	if d.engine.shutdown == nil || d.engine.shutdown.Restart {
		t.Errorf("asked was %v", d.engine.shutdown)
	}
}

func TestTheEngineIsStartedByAnyCommandOrByItself(t *testing.T) {
	d := newDesk(t, "")
	d.root = true
	stdout, stderr, code := d.run("engine start")
	if code != 0 || stdout != "the engine is running (process 42)\n" || len(d.started) != 1 {
		t.Errorf("exit code %d, %q, started %q: %s", code, stdout, d.started, stderr)
	}
	if _, _, code := d.run("engine start"); code != 0 || len(d.started) != 1 {
		t.Errorf("exit code %d, started %q", code, d.started)
	}
}

func TestTheStateOfTheEngineWarnsOfOtherVersions(t *testing.T) {
	d := newDesk(t, "").serve()
	d.engine.version = "v0"
	stdout, _, code := d.run("engine status")
	if code != 0 || !strings.Contains(stdout, "warning     the command is v1: run \"orlop engine restart\"; containers keep running\n") {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
}
