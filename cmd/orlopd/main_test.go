package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/keeper"
)

// Copies of the test binary are the keeper and the engine, by their names.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "orlopd", stepRunner:
		main()
	case "orlop-engine":
		engine()
	}
	os.Exit(m.Run())
}

// engine tells whoever connects about its world; on "quit" it quits.
func engine() {
	c, err := keeper.Dial(keeper.ControlFD)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	go func() { <-c.Done(); os.Exit(0) }()
	api, err := net.FileListener(os.NewFile(keeper.APIFD, "api"))
	if err != nil {
		os.Exit(1)
	}
	for {
		conn, err := api.Accept()
		if err != nil {
			os.Exit(1)
		}
		buf := make([]byte, 16)
		n, _ := conn.Read(buf)
		switch string(buf[:n]) {
		case "status":
			s, _ := c.Status(context.Background())
			fmt.Fprintf(conn, "%d %d", s.PID, s.Memory)
		case "quit":
			c.Quit(context.Background())
			os.Exit(0)
		}
		conn.Close()
	}
}

func install(t *testing.T, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), self, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func ask(t *testing.T, state, word string) string {
	t.Helper()
	c, err := net.Dial("unix", filepath.Join(state, "orlop.sock"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, word)
	answer, _ := io.ReadAll(c)
	return string(answer)
}

func TestStartDetaches(t *testing.T) {
	bin := install(t, "orlopd", "orlop-engine")
	dir := t.TempDir()
	o := keeper.StartOptions{Path: filepath.Join(bin, "orlopd"), Root: filepath.Join(dir, "root"), State: filepath.Join(dir, "state")}
	// A descriptor that would be inherited, as from make or a shell.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETFD, 0); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup // many commands at once start one keeper
	for range 4 {
		wg.Go(func() {
			if err := keeper.Start(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	w.Close()
	var pid int
	var memory int64
	if _, err := fmt.Sscan(ask(t, o.State, "status"), &pid, &memory); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p, ok := keeper.Running(o.State); ok && p == pid {
			unix.Kill(pid, unix.SIGKILL)
		}
	})
	if got, ok := keeper.Running(o.State); !ok || got != pid {
		t.Errorf("running is %d, %t; want %d", got, ok, pid)
	}
	if sid, err := unix.Getsid(pid); err != nil || sid != pid {
		t.Errorf("its session is %d, %v; want one of its own", sid, err)
	}
	if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", pid)); err != nil || cwd != "/" {
		t.Errorf("its directory is %s, %v", cwd, err)
	}
	t.Logf("resident: %d KB", memory>>10)
	// The end of the pipe is seen: nobody else holds its other end.
	r.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := r.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the keeper or its engine inherited a descriptor: %v", err)
	}
	end := watch(t, pid)
	ask(t, o.State, "quit")
	// One that comes while the last is leaving is started all the same.
	if err := keeper.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	end()
	next, ok := keeper.Running(o.State)
	if !ok || next == pid {
		// The start came before the leave: the socket still took it.
		return
	}
	end = watch(t, next)
	ask(t, o.State, "quit")
	end()
}

// watch returns a function that waits until a process has ended.
func watch(t *testing.T, pid int) func() {
	t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		defer unix.Close(fd)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 10_000)
		if err != nil || n != 1 {
			t.Errorf("process %d did not end: %v", pid, err)
		}
	}
}

func TestStartSaysWhatIsWrong(t *testing.T) {
	bin := install(t, "orlopd")
	dir := t.TempDir()
	err := keeper.Start(t.Context(), keeper.StartOptions{Path: filepath.Join(bin, "orlopd"), Root: dir, State: dir})
	if err == nil || !strings.Contains(err.Error(), "no engine beside orlopd") || !strings.Contains(err.Error(), "keeper.log") {
		t.Errorf("without an engine: %v", err)
	}
}

func TestASecondKeeperLeavesInPeace(t *testing.T) {
	bin := install(t, "orlopd", "orlop-engine")
	dir := t.TempDir()
	o := keeper.StartOptions{Path: filepath.Join(bin, "orlopd"), Root: dir, State: filepath.Join(dir, "s")}
	if err := keeper.Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	pid, _ := keeper.Running(o.State)
	end := watch(t, pid)
	out, err := exec.Command(o.Path, "--state", o.State, "--root", o.Root).CombinedOutput()
	if want := fmt.Sprintf("process %d", pid); err != nil || !strings.Contains(string(out), want) {
		t.Errorf("%q, %v; want code 0 and %q", out, err, want)
	}
	// SIGTERM ends the keeper and its engine.
	if err := unix.Kill(pid, unix.SIGTERM); err != nil {
		t.Fatal(err)
	}
	end()
}
