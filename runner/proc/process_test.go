package proc

import (
	"context"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestIgnoredSignals(t *testing.T) {
	pid := os.Getpid()
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, unix.SIGUSR2)
	defer signal.Stop(ch)
	if IgnoresSignal(pid, unix.SIGUSR2) {
		t.Error("a signal that is handled counts as ignored")
	}
	if IgnoresSignal(pid, unix.SIGKILL) || IgnoresSignal(pid, unix.SIGSTOP) {
		t.Error("SIGKILL counts as ignored")
	}
	if IgnoresSignal(1<<30, unix.SIGTERM) {
		t.Error("a process that is not there ignores a signal")
	}
	// Another program, for the threads of a Go program block signals for
	// moments of their own.
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	defer sleep.Wait()
	defer sleep.Process.Kill()
	if !IgnoresSignal(sleep.Process.Pid, unix.SIGTERM) {
		t.Error("a signal that nobody handles counts as handled")
	}
}

func TestWhatIsSaidOfAProcess(t *testing.T) {
	sleep := exec.Command("sleep", "60")
	if err := sleep.Start(); err != nil {
		t.Fatal(err)
	}
	pid := sleep.Process.Pid
	if s := State(pid); !strings.HasPrefix(s, "S") && !strings.HasPrefix(s, "R") && !strings.HasPrefix(s, "D") {
		t.Errorf("it is %q", s)
	}
	if IsBeforeExec(pid) {
		t.Error("a program counts as runc")
	}
	if err := sleep.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	awaitProcess(t.Context(), pid)
	if s := State(pid); !strings.HasPrefix(s, "Z") {
		t.Errorf("once it has ended it is %q", s)
	}
	_ = sleep.Wait()
	if s := State(pid); s != "unknown" {
		t.Errorf("once it is gone it is %q", s)
	}
	if IsBeforeExec(pid) {
		t.Error("what is gone counts as runc")
	}
}

// A first process that ignores its signal is given its time while it has children
// whose work may be worth it.
func TestChildrenAreAwaited(t *testing.T) {
	parent := exec.Command("sh", "-c", "sleep 60 & sleep 60 & echo ready; wait")
	parent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer syscall.Kill(-parent.Process.Pid, syscall.SIGKILL)
	if _, err := out.Read(make([]byte, 16)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	alone := Childless(ctx, parent.Process.Pid)
	select {
	case <-alone:
		t.Error("it has children")
	case <-time.After(50 * time.Millisecond):
	}
	for child := firstChild(parent.Process.Pid); child != 0; child = firstChild(parent.Process.Pid) {
		_ = syscall.Kill(child, syscall.SIGKILL)
		awaitProcess(t.Context(), child)
	}
	select {
	case <-alone:
	case <-time.After(10 * time.Second):
		t.Error("its children have ended")
	}
	cancel()
	if firstChild(1<<30) != 0 {
		t.Error("a process that is not there has a child")
	}
}

func TestTheMachineIsRead(t *testing.T) {
	if u := Measure("/no-such-cgroup"); u.CPU != 0 || u.Memory != 0 || u.MemoryLimit == 0 {
		t.Errorf("of a cgroup that is not there: %+v", u)
	}
	if list := Processes("/no-such-cgroup"); len(list) != 0 {
		t.Errorf("it has %v", list)
	}
	if r, s := Traffic(1 << 30); r != 0 || s != 0 {
		t.Errorf("a process that is not there has received %d and sent %d", r, s)
	}
	if OutOfMemory("/no-such-cgroup") {
		t.Error("something was killed in a cgroup that is not there")
	}
	RemoveCgroups("/no-such-cgroup")
	if !IsFatal("") || !IsFatal("9") || IsFatal("TERM") || IsFatal("nonsense") {
		t.Error("SIGKILL alone is fatal")
	}
}

func TestParentsAndMemoryAreRead(t *testing.T) {
	if got := Parent(os.Getpid()); got != os.Getppid() {
		t.Errorf("our parent is %d, want %d", got, os.Getppid())
	}
	if got := Resident(os.Getpid()); got < 1<<20 || got > 1<<32 {
		t.Errorf("we have %d bytes", got)
	}
	const nobody = 1 << 30
	if Parent(nobody) != 0 || Resident(nobody) != 0 {
		t.Error("nobody has a parent, or memory")
	}
}
