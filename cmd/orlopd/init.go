package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// beInit is what orlopd does as the first process of a container with
// "init: true": it runs the program, passes signals on to it, reaps what is
// orphaned, and ends with the program's exit code.
func beInit(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "init: nothing to run")
		return 127
	}
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	path, err := exec.LookPath(args[0])
	if err != nil {
		fmt.Fprintf(os.Stderr, "init: cannot run %s: %v\n", args[0], errors.Unwrap(err))
		return 127
	}
	child, err := os.StartProcess(path, args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		fmt.Fprintf(os.Stderr, "init: cannot run %s: %v\n", args[0], err)
		return 126
	}
	for sig := range signals {
		switch sig {
		case syscall.SIGCHLD:
			if code, ended := reap(child.Pid); ended {
				return code
			}
		case syscall.SIGURG: // the Go runtime's own
		default:
			_ = child.Signal(sig)
		}
	}
	return 0
}

// reap collects the processes that have ended; ended says that the program
// is among them.
func reap(program int) (code int, ended bool) {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if pid <= 0 || err != nil {
			return code, ended
		}
		if pid != program {
			continue
		}
		ended, code = true, status.ExitStatus()
		if status.Signaled() {
			code = 128 + int(status.Signal())
		}
	}
}
