package reaper

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// begin begins a child that a shell's words are the program of.
func begin(t *testing.T, words string) int {
	t.Helper()
	p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", words}, &os.ProcAttr{})
	if err != nil {
		t.Fatal(err)
	}
	return p.Pid
}

// ended waits until a child is a zombie, and leaves it one.
func ended(t *testing.T, pid int) {
	t.Helper()
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T) *Reaper {
	r := New()
	go r.Run(t.Context())
	return r
}

func isTold(t *testing.T, told <-chan Exit) Exit {
	t.Helper()
	select {
	case e := <-told:
		return e
	case <-time.After(10 * time.Second):
		t.Fatal("nobody is told")
		return Exit{}
	}
}

func TestAWatchedChildIsTold(t *testing.T) {
	r := run(t)
	for words, want := range map[string]int{"exit 7": 7, "kill -9 $$": 137, "true": 0} {
		over := r.Call()
		pid := begin(t, words)
		ended(t, pid) // also of one that was faster
		told := make(chan Exit, 1)
		r.Watch(pid, func(e Exit) { told <- e })
		over()
		if e := isTold(t, told); e.Code != want || e.Pid != pid {
			t.Errorf("%s: %+v", words, e)
		}
	}
}

// Those that wait for a child of their own find it, however many others end meanwhile; and a
// child behind it is told at once.
func TestAChildOfACallIsLeftToIt(t *testing.T) {
	r := run(t)
	over := r.Call()
	mine := exec.Command("sh", "-c", "exit 5")
	if err := mine.Start(); err != nil {
		t.Fatal(err)
	}
	ended(t, mine.Process.Pid)
	for range 3 {
		told := make(chan Exit, 1)
		r.Watch(begin(t, "exit 3"), func(e Exit) { told <- e })
		if e := isTold(t, told); e.Code != 3 {
			t.Errorf("%+v", e)
		}
	}
	if err := mine.Wait(); err == nil || mine.ProcessState.ExitCode() != 5 {
		t.Errorf("who waits for it learns %v, %v", mine.ProcessState, err)
	}
	over()
}

// What nobody waits for is reaped once the calls are over that it could belong to.
func TestAnOrphanIsReaped(t *testing.T) {
	r := run(t)
	over := r.Call()
	pid := begin(t, "exit 1")
	ended(t, pid)
	if beginOf(pid) == "" {
		t.Error("it is reaped while a call may be waiting for it")
	}
	over()
	for end := time.Now().Add(10 * time.Second); beginOf(pid) != ""; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not reaped")
		}
	}
	if _, err := unix.Wait4(pid, nil, unix.WNOHANG, nil); err != syscall.ECHILD {
		t.Errorf("waiting for it: %v", err)
	}
}

// A call that hangs keeps no orphan for ever.
func TestAnOrphanBesideACallThatHangs(t *testing.T) {
	r := run(t)
	defer r.Call()()
	pid := begin(t, "exit 1")
	for end := time.Now().Add(10 * hungAfter); beginOf(pid) != ""; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is not reaped")
		}
	}
}
