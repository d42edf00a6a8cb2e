package proc

import (
	"os"
	"os/exec"
	"os/signal"
	"testing"

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
