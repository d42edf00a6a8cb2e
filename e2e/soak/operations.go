package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

// operation is one thing that is done, or one fault. It says more of what it did.
type operation struct {
	name    string
	weight  int
	isFault bool
	do      func(ctx context.Context, s *soak) (string, error)
}

// operations are all of them.
func operations() []operation {
	return []operation{
		{"edit", 10, false, edit},
		{"recreate", 3, false, verb("up", "-d", "--force-recreate", "-t", "1")},
		{"restart", 3, false, onOne("restart", "-t", "1")},
		{"stop", 3, false, onOne("stop", "-t", "1")},
		{"start", 2, false, onOne("start")},
		{"kill", 3, false, onOne("kill")},
		{"remove", 2, false, onOne("rm", "-sf")},
		{"down", 2, false, verb("down", "-t", "1")},
		{"write", 4, false, write},
		{"exec", 3, false, execute},
		{"run", 3, false, verb("run", "--rm", "-T", "--no-deps", "s0", "true")},
		{"build", 2, false, verb("build")},
		{"logs", 2, false, verb("logs", "-n", "5")},
		{"collect", 1, false, verb("gc", "--older-than", "1h", "-f")},
		{"interrupt", 4, false, interrupt},
		{"kill the engine", 4, true, killEngine(false)},
		{"kill engine and keeper", 3, true, killEngine(true)},
		{"kill the engine during up", 4, true, killDuringUp},
		{"kill a shim", 3, true, killProcesses("orlop-shim")},
		{"kill a process", 4, true, killProcesses("busybox")},
		{"stop the engine for a moment", 2, true, hang},
		{"remove a link", 3, true, onNetwork("a link", removeLink)},
		{"set a bridge down", 3, true, onNetwork("a bridge", bridgeDown)},
		{"remove the firewall's table", 2, true, removeTable},
		{"lose the store", 1, true, loseStore},
	}
}

// choose takes one at random, by weight.
func (s *soak) choose() operation {
	all := operations()
	sum := 0
	for _, o := range all {
		sum += o.weight
	}
	n := s.rng.IntN(sum)
	for _, o := range all {
		if n -= o.weight; n < 0 {
			return o
		}
	}
	return all[0]
}

func verb(args ...string) func(context.Context, *soak) (string, error) {
	return func(ctx context.Context, s *soak) (string, error) {
		_, err := s.orlop(ctx, args...)
		return "", err
	}
}

// onOne is a verb on one service. One that is not there, or does not run, may be
// refused: what must hold is looked at afterwards.
func onOne(args ...string) func(context.Context, *soak) (string, error) {
	return func(ctx context.Context, s *soak) (string, error) {
		name := s.stack.services[s.rng.IntN(len(s.stack.services))].name
		_, err := s.orlop(ctx, append(args, name)...)
		if err != nil && !strings.Contains(err.Error(), "hangs") {
			err = nil
		}
		return name, err
	}
}

func edit(_ context.Context, s *soak) (string, error) {
	text := s.stack.change(s.rng)
	return text, s.stack.write(s.dir)
}

// write writes into the volume, through the container that has it.
func write(ctx context.Context, s *soak) (string, error) {
	word := s.word()
	_, err := s.orlop(ctx, "exec", "-T", "s0", "sh", "-c", "printf %s "+word+" > /data/new && sync && mv /data/new /data/file")
	if err == nil {
		s.data = word
	}
	return "", ignoreAbsent(err)
}

func execute(ctx context.Context, s *soak) (string, error) {
	out, err := s.orlop(ctx, "exec", "-T", "s0", "sh", "-c", "echo $VALUE")
	if err != nil {
		return "", ignoreAbsent(err)
	}
	if want := fmt.Sprintf("%d\n", s.stack.services[0].value); out != want {
		return "", fmt.Errorf("exec in s0 says %q instead of %q", out, want)
	}
	return "", nil
}

// ignoreAbsent leaves out that s0 is not there yet: before the first up, and
// after a down.
func ignoreAbsent(err error) error {
	if err != nil && (strings.Contains(err.Error(), "not running") || strings.Contains(err.Error(), "no container") || strings.Contains(err.Error(), "not exist") ||
		strings.Contains(err.Error(), "does not run")) {
		return nil
	}
	return err
}

// interrupt sends a signal to an up at a random moment.
func interrupt(ctx context.Context, s *soak) (string, error) {
	signal := []os.Signal{os.Interrupt, syscall.SIGTERM, syscall.SIGKILL}[s.rng.IntN(3)]
	after := time.Duration(s.rng.IntN(300)) * time.Millisecond
	return fmt.Sprintf("%s after %s", signal, after), s.duringUp(ctx, after, func(c *exec.Cmd) error { return c.Process.Signal(signal) })
}

// duringUp begins an up that replaces all, and calls f after some time. How the up
// ends is not looked at.
func (s *soak) duringUp(ctx context.Context, after time.Duration, f func(*exec.Cmd) error) error {
	bounded, cancel := context.WithTimeout(ctx, commandLimit)
	defer cancel()
	c := s.engine.Command(bounded, s.dir, "-p", "soak", "--progress", "quiet", "up", "-d", "--force-recreate", "-t", "1")
	if err := c.Start(); err != nil {
		return err
	}
	time.Sleep(after) // a moment is what is asked for
	err := f(c)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	_ = c.Wait()
	if bounded.Err() != nil && ctx.Err() == nil {
		return fmt.Errorf("up hangs: no end within %s", commandLimit)
	}
	return err
}

func killEngine(keeperToo bool) func(context.Context, *soak) (string, error) {
	return func(ctx context.Context, s *soak) (string, error) { return "", s.engine.Kill(ctx, keeperToo) }
}

func killDuringUp(ctx context.Context, s *soak) (string, error) {
	status, err := s.engine.Status(ctx)
	if err != nil {
		return "", err
	}
	after := time.Duration(s.rng.IntN(400)) * time.Millisecond
	return "after " + after.String(), s.duringUp(ctx, after, func(*exec.Cmd) error { return syscall.Kill(status.PID, syscall.SIGKILL) })
}

// killProcesses kills one process of the engine's containers that runs a program.
func killProcesses(program string) func(context.Context, *soak) (string, error) {
	return func(_ context.Context, s *soak) (string, error) {
		pids := lab.Running(s.engine, program)
		if len(pids) == 0 {
			return "none runs", nil
		}
		pid := pids[s.rng.IntN(len(pids))]
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return "", err
		}
		return fmt.Sprint("process ", pid), nil
	}
}

func hang(ctx context.Context, s *soak) (string, error) {
	status, err := s.engine.Status(ctx)
	if err != nil {
		return "", err
	}
	if err := syscall.Kill(status.PID, syscall.SIGSTOP); err != nil {
		return "", err
	}
	time.Sleep(time.Second)
	return "", syscall.Kill(status.PID, syscall.SIGCONT)
}

// onNetwork does something to one of the engine's links of a kind.
func onNetwork(kind string, do func(link string) error) func(context.Context, *soak) (string, error) {
	return func(_ context.Context, s *soak) (string, error) {
		links := lab.Links(s.engine, kind == "a bridge")
		if len(links) == 0 {
			return "there is none", nil
		}
		link := links[s.rng.IntN(len(links))]
		return link, do(link)
	}
}

func removeLink(link string) error {
	_ = exec.Command("ip", "link", "delete", link).Run() // it may have gone by itself
	return nil
}

func bridgeDown(link string) error {
	_ = exec.Command("ip", "link", "set", link, "down").Run()
	return nil
}

func removeTable(_ context.Context, s *soak) (string, error) {
	_ = exec.Command("nft", "delete", "table", "inet", "orlop_"+s.engine.ID()).Run() // there may be none
	return "", nil
}

// loseStore removes the engine's own file while no engine runs. What was wanted of
// the containers is then as they are.
func loseStore(ctx context.Context, s *soak) (string, error) {
	if _, err := s.orlop(ctx, "engine", "stop"); err != nil {
		return "", err
	}
	return "", os.Remove(filepath.Join(s.engine.Root, "engine.db"))
}
