package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Sweep removes all that is left of an engine with these directories, whatever
// state it is in, and the directories themselves. It ends no process but those
// of that engine.
func Sweep(root, state string) error {
	return errors.Join(shutDown(root, state), os.RemoveAll(root), os.RemoveAll(state))
}

// Reboot takes of the engine what a restart of the machine takes: its processes
// and those of its containers, mounts, links, rules, cgroups, and all that is
// below its state directory.
func (e *Engine) Reboot() error {
	if err := shutDown(e.Root, e.State); err != nil {
		return err
	}
	entries, err := os.ReadDir(e.State)
	errs := []error{err}
	for _, entry := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(e.State, entry.Name())))
	}
	return errors.Join(errs...)
}

// shutDown ends the processes of an engine and takes away what the kernel has of it.
func shutDown(root, state string) error {
	var errs []error
	// The keeper would start the engine again, so it goes first; and what
	// forked in between is met in the next round.
	for range 5 {
		pids := processes(root, state)
		if len(pids) == 0 {
			break
		}
		var keepers []int
		for _, pid := range pids {
			if programOf(pid) == "orlopd" {
				keepers = append(keepers, pid)
			}
		}
		errs = append(errs, kill(keepers), kill(pids))
	}
	for _, m := range mounts(root, state) {
		if err := unix.Unmount(m, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("cannot unmount %s: %w", m, err))
		}
	}
	errs = append(errs, sweepNetwork(engineID(state)))
	for _, g := range cgroups(engineID(state)) {
		if err := os.Remove(g); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Kill sends SIGKILL to processes and returns when they are gone. One that is gone
// already is no error.
func Kill(pids []int) error { return kill(pids) }

// kill ends processes and returns when they are gone. One that is gone already
// is no error.
func kill(pids []int) error {
	var errs []error
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue
		}
		if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err == nil {
			errs = append(errs, awaitEnd(pid, fd))
		}
		unix.Close(fd)
	}
	return errors.Join(errs...)
}

func awaitEnd(pid, fd int) error {
	deadline := time.Now().Add(10 * time.Second)
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(max(0, time.Until(deadline).Milliseconds())))
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0:
			return fmt.Errorf("process %d does not end on SIGKILL", pid)
		}
		return nil
	}
}

// sweepNetwork removes the links and the rules of an engine from this
// program's network namespace.
func sweepNetwork(id string) error {
	var errs []error
	out, _ := exec.Command("ip", "-br", "link").Output()
	for line := range strings.Lines(string(out)) {
		link, _, _ := strings.Cut(strings.Fields(line)[0], "@")
		if strings.HasPrefix(link, "or"+id) {
			// The peer of one that went is gone with it.
			_ = exec.Command("ip", "link", "delete", link).Run()
		}
	}
	tables, _ := exec.Command("nft", "list", "tables").Output()
	if strings.Contains(string(tables), "orlop_"+id) {
		errs = append(errs, exec.Command("nft", "delete", "table", "inet", "orlop_"+id).Run())
	}
	rules, _ := exec.Command("nft", "--handle", "list", "chain", "ip", "filter", "FORWARD").Output()
	for line := range strings.Lines(string(rules)) {
		_, handle, found := strings.Cut(strings.TrimSpace(line), "# handle ")
		if found && strings.Contains(line, `"orlop `+id+`"`) {
			errs = append(errs, exec.Command("nft", "delete", "rule", "ip", "filter", "FORWARD", "handle", handle).Run())
		}
	}
	return errors.Join(append(errs, sweepForwarding())...)
}

// sweepForwarding takes back that the machine forwards, when no engine is left
// that asked for it.
func sweepForwarding() error {
	tables, _ := exec.Command("nft", "list", "tables").Output()
	text := string(tables)
	if strings.Count(text, "orlop_") > strings.Count(text, "orlop_forward") {
		return nil
	}
	var errs []error
	for family, path := range map[string]string{"inet": "/proc/sys/net/ipv4/ip_forward", "ip6": "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if strings.Contains(text, "table "+family+" orlop_forward") {
			errs = append(errs, exec.Command("nft", "delete", "table", family, "orlop_forward").Run(), os.WriteFile(path, []byte("0"), 0o644))
		}
	}
	return errors.Join(errs...)
}
