package cmd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/cmd"
	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display/screentest"
	"github.com/orlop/orlop/planner"
)

// screen is a terminal that a command runs on: what it shows, and its keys.
type screen struct {
	t        *testing.T
	keys     *os.File // the other end
	tty      *os.File
	released bool // the terminal was given back
	code     chan int

	mu      sync.Mutex // guards what follows
	vt      *screentest.Screen
	changed chan struct{}
}

const screenRows, screenColumns = 24, 110

// pseudoTerminal is a terminal and the end that it is seen and typed at.
func pseudoTerminal(t *testing.T) (keys, tty *os.File) {
	t.Helper()
	keys, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("SKIPPED: no pseudo-terminals here: %v", err)
	}
	number, err := unix.IoctlGetInt(int(keys.Fd()), unix.TIOCGPTN)
	check(t, err)
	check(t, unix.IoctlSetPointerInt(int(keys.Fd()), unix.TIOCSPTLCK, 0))
	check(t, unix.IoctlSetWinsize(int(keys.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: screenRows, Col: screenColumns}))
	tty, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|unix.O_NOCTTY, 0)
	check(t, err)
	return keys, tty
}

// onScreen runs a command line of a desk on a terminal.
func (d *desk) onScreen(line string) *screen {
	d.t.Helper()
	keys, tty := pseudoTerminal(d.t)
	s := &screen{t: d.t, keys: keys, tty: tty, code: make(chan int, 1), vt: screentest.New(screenColumns, 500), changed: make(chan struct{}, 1)}
	go s.show()
	go func() {
		s.code <- cmd.Run(context.Background(), strings.Fields(line), cli.World{
			Version: "v1", Dir: d.dir, Environ: []string{"ORLOP_STATE=" + d.state, "ORLOP_ROOT=" + d.dir, "TERM=xterm"},
			Stdin: tty, Stdout: tty, Stderr: tty, Signals: d.signals, Now: time.Now,
			KeyMode: func(f *os.File) (func(), error) {
				mode, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
				if err != nil {
					return nil, err
				}
				mode.Lflag &^= unix.ICANON | unix.ECHO
				return func() { s.released = true }, unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, mode)
			},
		})
	}()
	d.t.Cleanup(func() { keys.Close(); tty.Close() })
	return s
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (s *screen) show() {
	buf := make([]byte, 4096)
	for {
		n, err := s.keys.Read(buf)
		if err != nil {
			return
		}
		s.mu.Lock()
		_, _ = s.vt.Write(buf[:n])
		s.mu.Unlock()
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}
}

// lines are those that hold something, the last one last.
func (s *screen) lines() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, line := range s.vt.Rows() {
		if line != "" {
			out = append(out, line)
		}
	}
	return out
}

// until waits until the last line holds one text, and a line above it the
// other.
func (s *screen) until(last, above string) {
	s.t.Helper()
	limit := time.After(10 * time.Second)
	for {
		lines := s.lines()
		n := len(lines)
		if last != "" {
			n--
		}
		if len(lines) > 0 && strings.Contains(lines[len(lines)-1], last) && strings.Contains(strings.Join(lines[:n], "\n"), above) {
			return
		}
		select {
		case <-s.changed:
		case <-limit:
			s.t.Fatalf("not %q below %q but:\n%s", last, above, strings.Join(lines, "\n"))
		}
	}
}

func (s *screen) press(keys string) {
	s.t.Helper()
	_, err := s.keys.WriteString(keys)
	check(s.t, err)
}

// ends waits for the end and gives what stands on the screen then.
func (s *screen) ends(code int) string {
	s.t.Helper()
	select {
	case got := <-s.code:
		if got != code {
			s.t.Errorf("exit code is %d, want %d", got, code)
		}
	case <-time.After(10 * time.Second):
		s.t.Fatalf("it does not end:\n%s", strings.Join(s.lines(), "\n"))
	}
	if !s.released {
		s.t.Error("the terminal was not given back")
	}
	_, _ = s.tty.WriteString("END\n") // after all that it printed
	s.until("END", "")
	return strings.Join(s.lines(), "\n")
}

const watchedShop = `name: shop
services:
  db:
    image: postgres
  web:
    image: nginx
    develop: {watch: [{path: src, action: restart}]}
`

func watchDesk(t *testing.T) *desk {
	t.Helper()
	d := newDesk(t, watchedShop)
	d.engine.plan = &planner.Plan{Project: "shop", Leave: 2}
	d.engine.reached = make(chan string, 64)
	d.engine.observed.Containers = []planner.Container{webContainer(planner.Running, 0)}
	check(t, os.Mkdir(filepath.Join(d.dir, "src"), 0o755))
	for _, service := range []string{"db", "web"} {
		d.engine.lines = append(d.engine.lines, &api.LogLine{
			Container: "shop-" + service + "-1", Service: service, Number: 1, Text: []byte("a line of " + service),
		})
	}
	return d.serve()
}

func TestTheMenuOfAWatchNamesItsKeysAndDoesWhatTheySay(t *testing.T) {
	d := watchDesk(t)
	s := d.onScreen("watch")
	s.until("r rebuild  ·  s restart  ·  p pause  ·  v plan  ·  l logs: none  ·  q quit", "watching 2 folders")
	s.press("p")
	s.until("p resume", "watching is paused")
	s.press("s") // what is asked for doesn't wait
	d.await("restart")
	s.until("p resume", "web   restarted")
	s.press("p")
	s.until("p pause", "watching again")
	s.press("s")
	d.await("restart")
	s.until("q quit", "web   restarted")
	s.press("v")
	s.until("q quit", "the stack matches its files")
	s.press("x") // no key of ours
	s.press("l")
	s.until("l logs: db", "a line of db")
	s.press("ll")
	s.until("l logs: none", "a line of web")
	s.press("q")
	if end := s.ends(0); strings.Contains(end, "q quit") || !strings.Contains(end, "shop keeps running") {
		t.Errorf("the line stays behind, or that the stack goes on is not said:\n%s", end)
	}
	if len(d.engine.lifecycle) != 2 {
		t.Errorf("to quit a watch did more than end it: %v", d.engine.lifecycle)
	}
}

func TestTheMenuOfAnAttachedUp(t *testing.T) {
	d := watchDesk(t)
	s := d.onScreen("up --watch")
	s.until("l logs: all  ·  d detach  ·  q/Ctrl-C stop and quit", "watching 2 folders")
	s.until("q/Ctrl-C stop", "db-1  | a line of db")
	s.press("l")
	s.until("l logs: db", "")
	s.press("d")
	if end := s.ends(0); !strings.Contains(end, "shop keeps running") || len(d.engine.lifecycle) > 0 {
		t.Errorf("detached with %v:\n%s", d.engine.lifecycle, end)
	}
}

// TestTheMenuOfAnUpThatWatchesNothing: its logs, and two ways out.
func TestTheMenuOfAnUpThatWatchesNothing(t *testing.T) {
	d := watchDesk(t)
	s := d.onScreen("up --menu")
	s.until(" l logs: all  ·  d detach  ·  q/Ctrl-C stop and quit", "")
	s.press("rspv") // no keys of this menu
	s.press("l")
	s.until("l logs: db", "")
	s.press("d")
	if end := s.ends(0); !strings.Contains(end, "shop keeps running") || len(d.engine.lifecycle) > 0 {
		t.Errorf("detached with %v:\n%s", d.engine.lifecycle, end)
	}
}

// TestAnUpWithoutAMenu: neither of a watch, if nobody wants one.
func TestAnUpWithoutAMenu(t *testing.T) {
	d := watchDesk(t)
	s := d.onScreen("up --watch --menu=false")
	s.until("", "watching 2 folders")
	d.signals <- os.Interrupt
	d.await("stop")
	if code := <-s.code; code != 130 || s.released {
		t.Errorf("it ends with %d, and a terminal was taken and given back: %t", code, s.released)
	}
}

func TestQuittingAnAttachedUpStopsItsServices(t *testing.T) {
	d := watchDesk(t)
	s := d.onScreen("up --watch")
	s.until("q/Ctrl-C stop and quit", "watching")
	s.press("q")
	d.await("stop")
	s.ends(130)
}

func TestAnInterruptGivesTheTerminalBack(t *testing.T) {
	d := watchDesk(t)
	s := d.onScreen("watch")
	s.until("q quit", "")
	d.signals <- os.Interrupt
	s.ends(130)
}

// save writes a file as an editor does, in one step.
func (d *desk) save(name, text string) {
	d.t.Helper()
	path := filepath.Join(d.dir, name)
	check(d.t, os.WriteFile(path+"~", []byte(text), 0o600))
	check(d.t, os.Rename(path+"~", path))
}

func TestAChangeOfTheStackIsAppliedAfterAKey(t *testing.T) {
	d := watchDesk(t)
	s := d.onScreen("watch --ask")
	s.until("q quit", "watching")
	d.engine.mu.Lock()
	d.engine.plan = &planner.Plan{Project: "shop", Steps: []*planner.Step{{ID: "x", Action: planner.Restart, Resource: "web/1", Name: "web/1"}}}
	d.engine.mu.Unlock()
	edit := func(label string) {
		text := strings.ReplaceAll(watchedShop, "image: nginx", "image: nginx\n    labels: {a: "+label+"}")
		d.save("stack.yaml", text)
	}
	edit("one")
	s.until("? Apply this? [y/N]", "web/1")
	s.press("n")
	s.until("q quit", "the stack stays as it is")
	edit("two")
	s.until("? Apply this? [y/N]", "stays as it is")
	s.press("y")
	s.until("q quit", "Apply this? yes")
	d.await("apply")
	s.press("q")
	s.ends(0)
}

func TestAServiceThatCouldNotBeRemovedIsTriedAgainAtTheNextEdit(t *testing.T) {
	d := watchDesk(t)
	d.engine.stopError = errors.New("it is stuck")
	s := d.onScreen("watch")
	s.until("q quit", "watching")
	edit := func(label string) {
		text := "name: shop\nservices:\n  web: {image: nginx, labels: {a: " + label + "}, develop: {watch: [{path: src, action: restart}]}}\n"
		d.save("stack.yaml", text)
	}
	edit("one")
	d.await("stop")
	s.until("q quit", "it is stuck")
	edit("two")
	d.await("stop")
	d.await("remove")
	d.await("apply")
	s.press("q")
	s.ends(0)
}

// TestAPlanCanBeLookedAtWhileABuildBegins is for the race detector: both load
// or read what the command knows of the stack.
func TestAPlanCanBeLookedAtWhileABuildBegins(t *testing.T) {
	d := watchDesk(t)
	stack := strings.Replace(watchedShop, "image: nginx", "build: .", 1)
	check(t, os.WriteFile(filepath.Join(d.dir, "stack.yaml"), []byte(stack), 0o600))
	check(t, os.WriteFile(filepath.Join(d.dir, "Dockerfile"), []byte("FROM scratch\n"), 0o600))
	s := d.onScreen("watch")
	s.until("q quit", "watching")
	d.await("apply")
	for range 5 {
		s.press("vrvvrv") // plans are shown beside each other and beside builds
		for range 4 {
			d.await("plan")
		}
	}
	s.press("q")
	s.ends(0)
}

func TestWithoutATerminalThereIsNoMenu(t *testing.T) {
	d := watchDesk(t)
	go func() {
		d.await("watch")
		d.signals <- os.Interrupt
	}()
	if _, stderr, _ := d.run("watch"); strings.Contains(stderr, "q quit") || strings.Contains(stderr, "\x1b") {
		t.Errorf("a pipe gets %q", stderr)
	}
}
