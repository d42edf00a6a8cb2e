package proc

import (
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSignals(t *testing.T) {
	for name, want := range map[string]syscall.Signal{"": unix.SIGKILL, "TERM": unix.SIGTERM, "SIGUSR1": unix.SIGUSR1, "sigint": unix.SIGINT, "9": unix.SIGKILL} {
		if got, err := ParseSignal(name); got != want || err != nil {
			t.Errorf("ParseSignal(%q): %v, %v", name, got, err)
		}
	}
	if _, err := ParseSignal("SIGNONSENSE"); err == nil || !strings.Contains(err.Error(), `"SIGNONSENSE"`) {
		t.Errorf("nonsense: %v", err)
	}
	for _, number := range []string{"-1", "65", "99"} {
		if _, err := ParseSignal(number); err == nil || err.Error() != "there is no signal "+number+": they are 1 to 64" {
			t.Errorf("signal %s: %v", number, err)
		}
	}
	for name, want := range map[string]syscall.Signal{"": unix.SIGTERM, "SIGQUIT": unix.SIGQUIT, "nonsense": unix.SIGTERM, "3": unix.SIGQUIT} {
		if got := StopSignal(name); got != want {
			t.Errorf("StopSignal(%q) is %v", name, got)
		}
	}
}

// TestIgnoredSignals asks about this process: the masks in /proc tell which
// signals it handles.
