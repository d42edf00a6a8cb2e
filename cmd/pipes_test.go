package cmd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestAPipeThatNobodyWritesIsInterrupted: every verb that reads a stack ends at
// once, also one that listens to no interrupt yet.
func TestAPipeThatNobodyWritesIsInterrupted(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"-f PIPE config", "-f PIPE up -d", "-f PIPE ps", "-f PIPE run web", "-f PIPE build", "-f PIPE plan", "-f PIPE down", "--env-file PIPE version", "image load -i PIPE",
	} {
		d := newDesk(t, "services: {web: {image: x}}\n").serve()
		signals := make(chan os.Signal, 1)
		d.signals = signals
		code := make(chan int, 1)
		go func() {
			_, _, c := d.run(strings.ReplaceAll(line, "PIPE", pipe))
			code <- c
		}()
		signals <- os.Interrupt
		select {
		case c := <-code:
			if c != 130 && c != 1 {
				t.Errorf("%s: exit code %d", line, c)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s does not hear the interrupt", line)
		}
	}
}

// TestAPipeIsReadOnceForAllThatACommandAsksOfIt: the environment file is asked
// for Compose's variables first, and again for the stack file's.
func TestAPipeIsReadOnceForAllThatACommandAsksOfIt(t *testing.T) {
	d := newDesk(t, "services: {web: {image: 'x:${TAG}'}}\n")
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	go os.WriteFile(pipe, []byte("TAG=7\n"), 0)
	if out, errs, code := d.run("--env-file " + pipe + " config --images"); code != 0 || out != "x:7\n" {
		t.Errorf("it prints %q, %q, exit code %d", out, errs, code)
	}
}
