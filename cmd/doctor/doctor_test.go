package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/orlop/orlop/api"
)

// patient is a doctor whose command answers as said; what it ran is noted.
func patient(t *testing.T, answers map[string]string) (*Doctor, *[]string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "orlopd")
	if err := os.WriteFile(program, []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	var ran []string
	return &Doctor{
		Version: "1", Program: program,
		Host: func(context.Context, bool) ([]api.Check, error) {
			return []api.Check{{Name: "kernel", Result: api.CheckOK}}, nil
		},
		Running: func(context.Context) bool { return true },
		Greet:   func(context.Context) (*api.StatusReply, error) { return &api.StatusReply{Version: "1", Pid: 7}, nil },
		Run: func(_ context.Context, _ string, args ...string) (string, error) {
			line := strings.Join(args, " ")
			ran = append(ran, line)
			for part, answer := range answers {
				if strings.Contains(line, part) {
					if text, is := strings.CutPrefix(answer, "error: "); is {
						return "", errors.New(text)
					}
					return answer, nil
				}
			}
			return "", nil
		},
	}, &ran
}

func examine(t *testing.T, d *Doctor) map[string]api.Check {
	t.Helper()
	out := map[string]api.Check{}
	if err := d.Examine(t.Context(), false, func(c api.Check) { out[c.Name] = c }); err != nil {
		t.Fatal(err)
	}
	return out
}

// listener says a word to whoever connects.
func listener(t *testing.T, word string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprint(c, word)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String()
}

func TestAMachineThatWorks(t *testing.T) {
	d, ran := patient(t, map[string]string{"port trial 80": listener(t, "orlop\n") + "\n"})
	for name, c := range examine(t, d) {
		if c.Result != api.CheckOK {
			t.Errorf("%s: %+v", name, c)
		}
	}
	last := (*ran)[len(*ran)-2:]
	if !strings.Contains(last[0], "down -v") || !strings.HasPrefix(last[1], "image rm") {
		t.Errorf("the trial is not taken down: %q", *ran)
	}
}

func TestATrialThatFailsIsTakenDown(t *testing.T) {
	d, ran := patient(t, map[string]string{"up -d trial": "error: cannot start trial: no room"})
	c := examine(t, d)["container"]
	if c.Result != api.CheckFailed || !strings.Contains(c.Found, "no room") {
		t.Errorf("%+v", c)
	}
	if all := strings.Join(*ran, "\n"); !strings.Contains(all, "down -v") || !strings.Contains(all, "image rm") {
		t.Errorf("what it made is left: %q", all)
	}
	d, _ = patient(t, map[string]string{"port trial 80": listener(t, "something else") + "\n"})
	if c := examine(t, d)["container"]; c.Result != api.CheckFailed || !strings.Contains(c.Found, `"something else"`) {
		t.Errorf("another who answers: %+v", c)
	}
}

func TestPortsThatNobodyListensAt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free := l.Addr().(*net.TCPAddr).Port
	l.Close()
	_, busy, _ := net.SplitHostPort(listener(t, "x"))
	line := func(name string, port any) string {
		return fmt.Sprintf(`{"Name":%q,"Publishers":[{"URL":"127.0.0.1","PublishedPort":%v,"Protocol":"tcp"},{"URL":"","PublishedPort":53,"Protocol":"udp"}]}`, name, port) + "\n"
	}
	d, _ := patient(t, map[string]string{"ls -q": "shop\n", "-p shop ps": line("shop-web-1", free) + line("shop-db-1", busy)})
	c := d.ports(t.Context())
	if want := fmt.Sprintf("127.0.0.1:%d (shop-web-1)", free); c.Result != api.CheckFailed || !strings.HasSuffix(c.Found, "at "+want) {
		t.Errorf("%+v, want %s", c, want)
	}
}

func TestAnEngineThatCannotBeReached(t *testing.T) {
	d, ran := patient(t, nil)
	d.Greet = func(context.Context) (*api.StatusReply, error) { return nil, errors.New("the disk is full") }
	found := examine(t, d)
	if c := found["engine"]; c.Result != api.CheckFailed || c.Found != "the disk is full" || !strings.Contains(c.Cure, "engine logs") {
		t.Errorf("%+v", c)
	}
	if len(*ran) > 0 {
		t.Errorf("it went on without an engine: %q", *ran)
	}
	d.Greet = func(context.Context) (*api.StatusReply, error) { return &api.StatusReply{Version: "0"}, nil }
	if c := examine(t, d)["engine"]; c.Result != api.CheckWarning || !strings.Contains(c.Cure, "engine restart") {
		t.Errorf("another version: %+v", c)
	}
}

func TestAnEngineThatWasStoppedIsStoppedAgain(t *testing.T) {
	d, ran := patient(t, map[string]string{"port trial 80": listener(t, "orlop\n") + "\n"})
	d.Running = func(context.Context) bool { return false }
	examine(t, d)
	if last := (*ran)[len(*ran)-1]; last != "engine stop" {
		t.Errorf("the last thing done is %q", last)
	}
}
