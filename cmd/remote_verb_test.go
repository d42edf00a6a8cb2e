package cmd_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/e2e/lab"
	"github.com/orlop/orlop/planner"
)

// newRemoteDesk is a desk whose stack file includes one of a registry, which mounts /etc.
func newRemoteDesk(t *testing.T) *desk {
	t.Helper()
	registry, err := lab.NewRegistry()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(registry.Close)
	if _, err := registry.PublishStack("stacks/app:1", lab.StackFile{Kind: "file", Name: "compose.yaml", Content: "services: {web: {image: x, volumes: ['/etc:/host']}}\n"}); err != nil {
		t.Fatal(err)
	}
	d := newDesk(t, "name: shop\ninclude: ['oci://"+registry.Address()+"/stacks/app:1']\n").serve()
	d.engine.plan = &planner.Plan{Project: "shop"}
	d.env = append(d.env, "HOME="+t.TempDir())
	return d
}

// atTerminal carries a command line out at a terminal whose user answers a question.
func (d *desk) atTerminal(answer string, args ...string) (screen string, code int) {
	d.t.Helper()
	master, slave := openTerminal(d.t, 200, 40)
	var said strings.Builder
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return // the other end is closed
			}
			said.Write(buf[:n])
			if strings.Contains(string(buf[:n]), "[y/N]") {
				if _, err := master.WriteString(answer); err != nil {
					d.t.Error(err)
				}
			}
		}
	}()
	code = cmd.Run(context.Background(), args, cli.World{
		Version: "v1", Dir: d.dir, Environ: append([]string{"ORLOP_STATE=" + d.state, "ORLOP_ROOT=" + d.dir, "TERM=xterm"}, d.env...), Stdin: slave, Stdout: slave, Stderr: slave,
		Signals: d.signals, Now: func() time.Time { return then },
	})
	slave.Close()
	<-read
	return said.String(), code
}

// TestARemoteStackNeedsAYes of who sits at the terminal, once.
func TestARemoteStackNeedsAYes(t *testing.T) {
	d := newRemoteDesk(t)
	if screen, code := d.atTerminal("n\n", "up", "-d"); code != 1 || !strings.Contains(screen, "not allowed: nothing was changed") || d.engine.apply != nil {
		t.Errorf("exit code %d:\n%s", code, screen)
	}
	if _, errs, code := d.run("up -d"); code != 1 || !strings.Contains(errs, "allow it at a terminal, or this time with --allow-remotes") || d.engine.apply != nil {
		t.Errorf("without a terminal: exit code %d:\n%s", code, errs)
	}
	if screen, code := d.atTerminal("y\n", "up", "-d"); code != 0 || !strings.Contains(screen, "host_mount") || d.engine.apply == nil {
		t.Errorf("exit code %d:\n%s", code, screen)
	}
	if screen, code := d.atTerminal("", "up", "-d"); code != 0 || strings.Contains(screen, "Allow") {
		t.Errorf("again: exit code %d:\n%s", code, screen)
	}
	if got := d.engine.apply.RemoteDirs; len(got) != 1 {
		t.Errorf("the engine is told the directories %v", got)
	}
}

// TestThePolicyIsAskedAboutAStack of a registry, with what the lock has for it, before anything is applied.
func TestThePolicyIsAskedAboutAStack(t *testing.T) {
	d := newRemoteDesk(t)
	d.policy.why = "it is not signed"
	if _, errs, code := d.run("up -d --allow-remotes"); code != 1 || !strings.Contains(errs, "the stack oci://") || !strings.Contains(errs, "/stacks/app:1 is not run: it is not signed") || d.engine.apply != nil {
		t.Errorf("exit code %d: %s", code, errs)
	}
	d.policy.why = ""
	if _, errs, code := d.run("up -d --allow-remotes"); code != 0 || d.engine.apply == nil {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if len(d.policy.asked) != 2 {
		t.Fatalf("asked: %v", d.policy.asked)
	}
	if r := d.policy.asked[1]; !strings.HasSuffix(r.Name, "/stacks/app:1") || strings.HasPrefix(r.Name, "oci:") || !strings.HasPrefix(r.Digest, "sha256:") || r.Locked != r.Digest {
		t.Errorf("asked about %v", r)
	}
}

// TestAFlagAllowsThisTime: it shows what it allows, and keeps nothing. --yes, which is
// about volumes and networks, allows no remote stack.
//
// Risk remote include: a script has --yes for its volumes, or allows a remote stack once
// Held: --allow-remotes alone allows one, for that command, and what it allows is shown
func TestAFlagAllowsThisTime(t *testing.T) {
	d := newRemoteDesk(t)
	for _, line := range []string{"up -d", "up -d --yes", "up -d -y"} {
		if _, errs, code := d.run(line); code != 1 || !strings.Contains(errs, "host_mount") || d.engine.apply != nil {
			t.Errorf("%s: exit code %d: %s", line, code, errs)
		}
	}
	if _, errs, code := d.run("up -d --allow-remotes"); code != 0 || strings.Count(errs, "host_mount") != 1 || d.engine.apply == nil {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if _, errs, code := d.run("up -d"); code != 1 || !strings.Contains(errs, "host_mount") {
		t.Errorf("it is kept: exit code %d: %s", code, errs)
	}
}

// TestCIIsWhateverItIsSetTo: systems set CI to true, to 1, or to their name.
func TestCIIsWhateverItIsSetTo(t *testing.T) {
	for value, code := range map[string]int{"true": 1, "1": 1, "woodpecker": 1, "TRUE": 1, "yes": 1, "": 0, "0": 0, "false": 0, "False": 0} {
		d := newRemoteDesk(t)
		d.env = append(d.env, "CI="+value)
		if _, errs, got := d.run("config -q"); got != code || code == 1 && !strings.Contains(errs, "which CI must not make") {
			t.Errorf("CI=%s: exit code %d: %s", value, got, errs)
		}
	}
}

// TestTheLockSteersNoTerminal: others write it.
func TestTheLockSteersNoTerminal(t *testing.T) {
	d := newRemoteDesk(t)
	d.write("orlop.lock", "version: 1\nremotes:\n  \"oci://\\e[2Jx\\ny\": sha256:"+strings.Repeat("a", 64)+"\n")
	_, errs, code := d.run("config -q --update-remotes")
	if code != 0 || !strings.Contains(errs, "is named no more") || strings.ContainsRune(errs, 0x1b) || strings.Contains(errs, "\ny") {
		t.Errorf("exit code %d: %q", code, errs)
	}
}

// TestTheLockIsWritten, and what stands in its place is told of.
func TestTheLockIsWritten(t *testing.T) {
	d := newRemoteDesk(t)
	lock := filepath.Join(d.dir, "orlop.lock")
	if out, errs, code := d.run("config --services"); code != 0 || out != "web\n" || !strings.Contains(errs, "orlop.lock: oci://") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if err := os.Remove(lock); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(lock, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := d.run("config -q"); code != 1 || !strings.Contains(errs, "cannot read orlop.lock: is a directory") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

// TestAnUpdateOfTheLockTellsOfThatAlone: nobody who asks for it reads the whole stack.
func TestAnUpdateOfTheLockTellsOfThatAlone(t *testing.T) {
	d := newRemoteDesk(t)
	stdout, stderr, code := d.run("config --update-remotes")
	if code != 0 || stdout != "" || !strings.Contains(stderr, "orlop.lock: ") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	stdout, stderr, code = d.run("config --update-remotes")
	if code != 0 || stdout != "" || !strings.HasSuffix(stderr, " orlop.lock: 1 remote stack is as it was\n") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	for _, line := range []string{"config --update-remotes --format yaml", "config --update-remotes --services"} {
		if stdout, stderr, code := d.run(line); code != 0 || !strings.Contains(stdout, "web") {
			t.Errorf("%s: exit code %d, %q, %q", line, code, stdout, stderr)
		}
	}
}
