//go:build cgo

package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/runner/exec/job"
)

// One that has been deleted has ended; one whose note can't be read is left to its shim.
func TestContainersThatCannotBeJoined(t *testing.T) {
	engine, helper := net.Pipe()
	defer engine.Close()
	defer helper.Close()
	s := newServer(helper)
	s.running[1] = &running{}
	q := &job.Request{ID: 1, State: t.TempDir(), Container: "box", Process: &specs.Process{Args: []string{"true"}}}
	if a := s.run(q); a.Unfit || !strings.Contains(a.Error, "stopped container") {
		t.Errorf("of one that is gone: %+v", a)
	}
	if err := os.MkdirAll(filepath.Join(q.State, "box"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(q.State, "box", "state.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if a := s.run(q); !a.Unfit || a.Error == "" {
		t.Errorf("of one with half a note: %+v", a)
	}
}

// What a start has left is reaped, once those starts are over which it could belong to;
// a process that somebody waits for is not.
func TestStrangersAreReaped(t *testing.T) {
	begin := func() int {
		p, err := os.StartProcess("/bin/sh", []string{"sh", "-c", "exit 7"}, &os.ProcAttr{})
		if err != nil {
			t.Fatal(err)
		}
		var info unix.Siginfo
		if err := unix.Waitid(unix.P_PID, p.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
			t.Fatal(err)
		}
		return p.Pid
	}
	known, stranger := begin(), begin()
	if c := children(); c[known] == "" || c[stranger] == "" {
		t.Fatalf("%v are not all of %d and %d", c, known, stranger)
	}
	s := newServer(nil)
	over := make(chan struct{})
	s.mu.Lock()
	s.running[1] = &running{pid: known}
	s.starts[over] = true
	s.reapStrangers()
	s.mu.Unlock()
	if beginOf(stranger) == "" {
		t.Error("it is reaped while it could belong to another start")
	}
	close(over)
	for end := time.Now().Add(10 * time.Second); beginOf(stranger) != ""; {
		if time.Now().After(end) {
			t.Fatal("it is not reaped")
		}
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(known, &status, 0, nil); err != nil || status.ExitStatus() != 7 {
		t.Errorf("who waits for the other one learns %v, %v", status.ExitStatus(), err)
	}
}
