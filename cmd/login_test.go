package cmd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/docker/cli/cli/config"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
)

// fakeRegistry takes one login.
type fakeRegistry struct {
	api.UnimplementedRegistryServer
	mu      sync.Mutex
	checked []*api.LoginRequest // guarded by mu
}

func (f *fakeRegistry) CheckLogin(_ context.Context, r *api.LoginRequest) (*api.LoginReply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.checked = append(f.checked, r)
	if r.Username != "ann" || r.Password != "open sesame" {
		return nil, errors.New("cannot log in at r.test: it does not take this login")
	}
	return &api.LoginReply{}, nil
}

// terminalUser is somebody at a terminal.
type terminalUser struct {
	t      *testing.T
	master *os.File
	mu     sync.Mutex
	seen   strings.Builder // guarded by mu
	more   chan struct{}
}

func newTerminalUser(t *testing.T, master *os.File) *terminalUser {
	u := &terminalUser{t: t, master: master, more: make(chan struct{}, 1)}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			u.mu.Lock()
			u.seen.Write(buf[:n])
			u.mu.Unlock()
			select {
			case u.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return u
}

func (u *terminalUser) screen() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.seen.String()
}

// await waits until something is on the screen.
func (u *terminalUser) await(text string) {
	u.t.Helper()
	late := time.After(20 * time.Second)
	for !strings.Contains(u.screen(), text) {
		select {
		case <-u.more:
		case <-late:
			u.t.Fatalf("no %q is on the screen: %q", text, u.screen())
		}
	}
}

func (u *terminalUser) types(text string) {
	u.t.Helper()
	if _, err := u.master.WriteString(text); err != nil {
		u.t.Fatal(err)
	}
}

// loginDir is where logins are kept meanwhile.
func loginDir(t *testing.T) string {
	t.Helper()
	before, dir := config.Dir(), t.TempDir()
	config.SetDir(dir)
	t.Cleanup(func() { config.SetDir(before) })
	return dir
}

// TestALoginAtATerminal asks for the password without showing it.
func TestALoginAtATerminal(t *testing.T) {
	dir := loginDir(t)
	d := newDesk(t, shop).serve()
	master, slave := openTerminal(t, 100, 30)
	user := newTerminalUser(t, master)
	code := make(chan int, 1)
	go func() { code <- d.login(slave) }()
	user.await("User name at r.test: ")
	user.types("ann\n")
	user.await("Password of ann: ")
	user.types("open sesame\n")
	if got := <-code; got != cli.ExitOK {
		t.Fatalf("exit code %d: %s", got, user.screen())
	}
	user.await("logged in at r.test as ann")
	if strings.Contains(user.screen(), "open sesame") {
		t.Errorf("the password is on the screen: %q", user.screen())
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil || !strings.Contains(string(text), `"r.test"`) {
		t.Errorf("kept is %s: %v", text, err)
	}
}

// TestALoginThatIsInterrupted leaves the terminal as it was, and keeps nothing.
func TestALoginThatIsInterrupted(t *testing.T) {
	dir := loginDir(t)
	d := newDesk(t, shop).serve()
	master, slave := openTerminal(t, 100, 30)
	user := newTerminalUser(t, master)
	code := make(chan int, 1)
	go func() { code <- d.login(slave, "-u", "ann") }()
	user.await("Password of ann: ")
	if isEchoed(t, slave) {
		t.Error("what is typed would be shown")
	}
	d.signals <- syscall.SIGINT
	if got := <-code; got != cli.ExitInterrupted {
		t.Errorf("exit code %d: %s", got, user.screen())
	}
	if !isEchoed(t, slave) {
		t.Error("the terminal shows nothing that is typed")
	}
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil || len(d.registry.checked) > 0 {
		t.Error("a login was asked for, or kept")
	}
}

func isEchoed(t *testing.T, tty *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// login runs login at a terminal.
func (d *desk) login(tty *os.File, flags ...string) int {
	return cmd.Run(context.Background(), append([]string{"login", "r.test"}, flags...), cli.World{
		Version: "v1", Dir: d.dir, Environ: []string{"ORLOP_STATE=" + d.state, "TERM=xterm"}, Stdin: tty, Stdout: tty, Stderr: tty,
		Signals: d.signals, Now: func() time.Time { return then },
	})
}

// TestALoginThatIsRefusedIsNotKept, and neither is its password shown.
func TestALoginThatIsRefusedIsNotKept(t *testing.T) {
	dir := loginDir(t)
	d := newDesk(t, shop).serve()
	for stdin, want := range map[string]string{"wrong\n": "it does not take this login", "": "standard input has no password", "\n": "standard input has no password"} {
		d.stdin = stdin
		stdout, stderr, code := d.run("login r.test -u ann --password-stdin")
		if code == 0 || !strings.Contains(stderr, want) || strings.Contains(stdout+stderr, "wrong") {
			t.Errorf("%q: exit code %d, %s%s", stdin, code, stdout, stderr)
		}
	}
	for line, want := range map[string]string{
		"login r.test --password-stdin":             "--password-stdin needs a user name: write it with -u",
		"login r.test -u ann -p x --password-stdin": "both give the password",
		"login r.test -u ann":                       "needs a user name and a password: write -u NAME --password-stdin",
	} {
		if _, stderr, code := d.run(line); code == 0 || !strings.Contains(stderr, want) {
			t.Errorf("%s: exit code %d, %s", line, code, stderr)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("kept is %v", left)
	}
	d.stdin = "open sesame\r\n"
	if stdout, stderr, code := d.run("login https://r.test/v2/ -u ann --password-stdin"); code != 0 || stdout != "logged in at r.test as ann\n" || !strings.Contains(stderr, "kept in the clear") {
		t.Errorf("exit code %d, %s%s", code, stdout, stderr)
	}
	if stdout, _, code := d.run("logout r.test"); code != 0 || stdout != "logged out of r.test\n" {
		t.Errorf("exit code %d, %s", code, stdout)
	}
}
