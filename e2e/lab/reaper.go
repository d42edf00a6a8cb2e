package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
)

// reaperMark tells the program that it is the reaper.
const reaperMark = "ORLOP_LAB_REAPER"

// Reaper is a process that outlives this one, and then removes what is left of
// its engines: also when this one is killed, or times out.
type Reaper struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

// BecomeReaper does not return in a process that StartReaper started. It must
// be the first that main calls.
func BecomeReaper() {
	if os.Getenv(reaperMark) == "" {
		return
	}
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	status := 0
	if err := reap(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "reaper:", err)
		status = 1
	}
	os.Exit(status)
}

// StartReaper starts this program again as the reaper, in a session of its own.
func StartReaper() (*Reaper, error) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), reaperMark+"=1")
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start the reaper: %w", err)
	}
	return &Reaper{cmd: cmd, pipe: pipe}, nil
}

// Watch makes the reaper sweep an engine at the end.
func (r *Reaper) Watch(root, state string) error {
	_, err := fmt.Fprintf(r.pipe, "engine %s %s\n", root, state)
	return err
}

// WatchNetns makes the reaper remove a network namespace at the end.
func (r *Reaper) WatchNetns(name string) error {
	_, err := fmt.Fprintf(r.pipe, "netns %s\n", name)
	return err
}

// Close makes the reaper do its work now.
func (r *Reaper) Close() error { return errors.Join(r.pipe.Close(), r.cmd.Wait()) }

// reap reads what to remove until the other end is closed, then removes it.
func reap(in io.Reader) error {
	var lines []string
	for s := bufio.NewScanner(in); s.Scan(); {
		lines = append(lines, s.Text())
	}
	var errs []error
	for _, line := range lines {
		if words := strings.Fields(line); words[0] == "engine" && len(words) == 3 {
			errs = append(errs, Sweep(words[1], words[2]))
		}
	}
	for _, line := range lines {
		if words := strings.Fields(line); words[0] == "netns" && len(words) == 2 {
			errs = append(errs, removeNetns(words[1]))
		}
	}
	return errors.Join(errs...)
}
