package cmd_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
)

func TestServicesAreCompletedFromTheFileThatIsNamed(t *testing.T) {
	d := newDesk(t, shop)
	check(t, os.WriteFile(filepath.Join(d.dir, "other.yaml"), []byte("services: {mail: {image: x}, off: {image: x, profiles: [debug]}}\n"), 0o600))
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"logs", ""}, "db web"},
		{[]string{"logs", "db", ""}, "web"}, // each once
		{[]string{"exec", ""}, "db web"},
		{[]string{"exec", "web", ""}, ""}, // the command is the user's
		{[]string{"-f", "other.yaml", "up", ""}, "mail off"},
		{[]string{"up", "-f", "other.yaml", ""}, "mail off"},
		{[]string{"up", "-f", "nosuch.yaml", ""}, ""},
	} {
		stdout, _, code := d.runArgs(append([]string{"__complete"}, test.args...)...)
		words, _, _ := strings.Cut(stdout, ":")
		if got := strings.Join(strings.Fields(words), " "); got != test.want || code != 0 {
			t.Errorf("%q completes to %q, want %q", test.args, got, test.want)
		}
	}
	if _, stderr, code := d.run("completion tcsh"); code != 1 || stderr != "no completion for \"tcsh\": there is bash, zsh and fish\n" {
		t.Errorf("exit code %d, %q", code, stderr)
	}
	for shell, word := range map[string]string{"zsh": "#compdef orlop", "fish": "complete -c orlop"} {
		if stdout, _, code := d.run("completion " + shell); code != 0 || !strings.Contains(stdout, word) {
			t.Errorf("the script of %s: exit code %d", shell, code)
		}
	}
}

func TestEventsComeAsTheyHappen(t *testing.T) {
	for _, flag := range []string{"", " --json"} {
		d := newDesk(t, shop).serve()
		d.engine.reached = make(chan string, 16)
		d.engine.observed.Containers = []planner.Container{webContainer(planner.Running, 0)}
		r, w, err := os.Pipe()
		check(t, err)
		code := d.on(w, "events"+flag, "", nil)
		d.await("watch")
		d.engine.changes <- changed(webContainer(planner.Exited, 3))
		buf := make([]byte, 1000)
		check(t, r.SetReadDeadline(time.Now().Add(10*time.Second)))
		n, err := r.Read(buf)
		check(t, err)
		line := string(buf[:n])
		if flag == "" && line != "2026-11-21 12:00:01.000000 container die w1 (exitCode=3, image=shop-web, name=shop-web-1, number=1, project=shop)\n" {
			t.Errorf("the event is %q", line)
		}
		if flag != "" {
			var e struct {
				Action, Service string
				Attributes      map[string]string
			}
			if err := json.Unmarshal([]byte(line), &e); err != nil || e.Action != "die" || e.Service != "web" || e.Attributes["exitCode"] != "3" {
				t.Errorf("the event is %s: %v", line, err)
			}
		}
		d.signals <- os.Interrupt
		if got := within(t, "it does not end", code); got != 130 {
			t.Errorf("exit code is %d", got)
		}
		r.Close()
		w.Close()
	}
}
