// Package machine makes a machine of namespaces for the program that calls it: a network with nothing but a link of its own, mounts, processes,
// cgroups. What is done there is not seen outside, and ends with the program: also when that is killed.
package machine

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Door is a script in the machine's directory that runs a program inside, for whoever is outside.
const Door = "enter"

// Address is the machine's own, on a link that leads nowhere.
const Address = "10.9.9.9"

// The program runs three times: outside, as the machine's first process, and inside.
const (
	stageMark = "CLUSTER_MACHINE"
	dirMark   = "CLUSTER_MACHINE_DIR"
	first     = "first"
	inside    = "inside"
)

// Enter starts the program again on a machine and ends with its status. There, it returns a directory that
// is removed with the machine, which is below parent. It must be the first that main calls.
func Enter(parent string) (dir string, err error) {
	switch os.Getenv(stageMark) {
	case "":
		code, err := outside(parent)
		if err != nil {
			return "", err
		}
		os.Exit(code)
	case first:
		code, err := begin()
		if err != nil {
			fmt.Fprintln(os.Stderr, "cannot make a machine:", err)
			code = 1
		}
		os.Exit(code)
	}
	return os.Getenv(dirMark), arrange(os.Getenv(dirMark))
}

// outside makes the machine and waits for its end.
func outside(parent string) (code int, err error) {
	if os.Geteuid() != 0 {
		return 0, errors.New("needs root")
	}
	dir, err := os.MkdirTemp(parent, "orlop-cluster-")
	if err != nil {
		return 0, err
	}
	groups := cgroups{name: filepath.Base(dir)}
	defer func() { err = errors.Join(err, groups.remove(), os.RemoveAll(dir)) }()
	if err := groups.make(); err != nil {
		return 0, err
	}
	runtime.LockOSThread() // the machine ends with this thread
	defer runtime.UnlockOSThread()
	c := again(first)
	c.Env = append(c.Env, dirMark+"="+dir)
	c.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		Pdeathsig:  syscall.SIGKILL,
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	if err := c.Start(); err != nil {
		return 0, fmt.Errorf("cannot make namespaces: %w", err)
	}
	if err := errors.Join(writeDoor(dir, c.Process.Pid), openOutlet(c.Process.Pid)); err != nil {
		_ = c.Process.Kill()
		return 0, errors.Join(err, c.Wait())
	}
	go func() {
		for s := range signals {
			_ = c.Process.Signal(s)
		}
	}()
	err = c.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// writeDoor writes a script by which whoever is outside gets inside, also into the cgroups, with the environment that a file of the program's says.
func writeDoor(dir string, pid int) error {
	return os.WriteFile(filepath.Join(dir, Door), fmt.Appendf(nil, `#!/bin/sh
# enter [PROGRAM ARG...]: runs a program, or a shell, on the machine.
[ $# -gt 0 ] || set -- bash
exec nsenter -t %d -m -u -i -n -p sh -c '
	for group in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/*/cgroup.procs; do
		if [ -e $group ]; then echo $$ >$group; fi
	done
	if [ -e %[2]s/env ]; then . %[2]s/env; fi
	exec nsenter --cgroup=/proc/$(cat %[2]s/pid)/ns/cgroup "$@"' enter "$@"
`, pid, dir), 0o755)
}

func again(stage string) *exec.Cmd {
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), stageMark+"="+stage)
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	return c
}

// begin is the machine's first process: it starts the program inside, and waits for whoever has lost its parent.
func begin() (int, error) {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return 0, fmt.Errorf("cannot make mounts the machine's own: %w", err)
	}
	if err := (cgroups{name: filepath.Base(os.Getenv(dirMark))}).enter(); err != nil {
		return 0, err
	}
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return 0, fmt.Errorf("cannot mount /proc: %w", err)
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGINT)
	c := again(inside)
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWCGROUP}
	if err := c.Start(); err != nil {
		return 0, fmt.Errorf("cannot go on inside: %w", err)
	}
	go func() {
		for s := range signals {
			if s != syscall.SIGINT {
				_ = c.Process.Signal(s)
			}
		}
	}()
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("cannot wait for the program inside: %w", err)
		case pid == c.Process.Pid && status.Exited():
			return status.ExitStatus(), nil
		case pid == c.Process.Pid:
			return 128 + int(status.Signal()), nil
		}
	}
}

// arrange mounts and links what the machine has of its own.
func arrange(dir string) error {
	if err := os.WriteFile(filepath.Join(dir, "pid"), fmt.Append(nil, os.Getpid()), 0o644); err != nil {
		return err
	}
	os.Unsetenv(stageMark)
	os.Unsetenv(dirMark)
	if err := mountCgroups(); err != nil {
		return err
	}
	for _, path := range []string{"/run", "/var/log"} {
		if err := unix.Mount("tmpfs", path, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755"); err != nil {
			return fmt.Errorf("cannot mount %s: %w", path, err)
		}
	}
	if err := coverTunables(dir); err != nil {
		return err
	}
	// Names are asked of the machine itself, so that who asks for one of outside is told at once that there is none.
	names := filepath.Join(dir, "resolv.conf")
	if err := os.WriteFile(names, []byte("nameserver "+Address+"\n"), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(names, "/etc/resolv.conf", "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("cannot cover /etc/resolv.conf: %w", err)
	}
	// Where pods have their volumes: mounts in it are to be seen in them.
	if err := errors.Join(unix.Mount(dir, dir, "", unix.MS_BIND, ""), unix.Mount("", dir, "", unix.MS_SHARED, "")); err != nil {
		return fmt.Errorf("cannot share %s: %w", dir, err)
	}
	for _, line := range []string{
		"ip link set lo up", "ip link add node0 type bridge", "ip address add " + Address + "/24 dev node0", "ip link set node0 up", "ip route add default dev node0",
	} {
		words := strings.Fields(line)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0); err != nil {
		return err
	}
	return unix.Sethostname([]byte("node"))
}

// coverTunables lays files over the kernel's settings that a kubelet changes for the whole kernel.
func coverTunables(dir string) error {
	for name, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1", "kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		file := filepath.Join(dir, "sys", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(value+"\n"), 0o644)); err != nil {
			return err
		}
		if err := unix.Mount(file, "/proc/sys/"+name, "", unix.MS_BIND, ""); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("cannot cover /proc/sys/%s: %w", name, err)
		}
	}
	return nil
}
