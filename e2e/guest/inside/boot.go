package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// boot makes a system of the disks, starts what serves the test, and takes in
// orphans for ever. Where it fails the machine ends.
func boot() error {
	err := prepare()
	if err == nil {
		err = adopt()
	}
	fmt.Fprintln(os.Stderr, "guest:", err)
	return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
}

// prepare mounts the system's disk, read-only, and the data disk in it.
func prepare() error {
	mount := func(source, target, kind string, flags uintptr, data string) error {
		if err := unix.Mount(source, target, kind, flags, data); err != nil {
			return fmt.Errorf("cannot mount %s: %w", target, err)
		}
		return nil
	}
	steps := []func() error{
		func() error { return mount("dev", "/dev", "devtmpfs", 0, "") },
		loadDrivers,
		func() error { return mount("/dev/vda", "/system", "ext4", unix.MS_RDONLY, "") },
		func() error { return mount("/dev", "/system/dev", "", unix.MS_MOVE, "") },
		func() error { return os.Chdir("/system") },
		func() error { return mount(".", "/", "", unix.MS_MOVE, "") },
		func() error { return unix.Chroot(".") },
		func() error { return os.Chdir("/") },
		func() error { return mount("", "/", "", unix.MS_REC|unix.MS_SHARED, "") },
		func() error { return mount("proc", "/proc", "proc", 0, "") },
		func() error { return mount("sys", "/sys", "sysfs", 0, "") },
		func() error { return mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, "") },
		func() error { return mount("run", "/run", "tmpfs", 0, "mode=0755") },
		func() error { return mount("tmp", "/tmp", "tmpfs", 0, "mode=1777") },
		func() error { return mount("/dev/vdb", "/var/lib", "ext4", 0, "") },
		func() error { return unix.Sethostname([]byte("guest")) },
		keepUnwritten,
		loopback,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	os.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
	os.Setenv("HOME", "/tmp")
	return nil
}

// loadDrivers loads the modules of the initial archive, in their order.
func loadDrivers() error {
	list, err := os.ReadFile("/drivers/order")
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(list)) {
		f, err := os.Open("/drivers/" + name)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("cannot load %s: %w", name, err)
		}
	}
	return nil
}

// keepUnwritten has the kernel write nothing of itself: what nobody has synced
// is lost with the power, however slowly the machine runs.
func keepUnwritten() error {
	return os.WriteFile("/proc/sys/vm/dirty_writeback_centisecs", []byte("0"), 0)
}

func loopback() error {
	link, err := netlink.LinkByName("lo")
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(link)
}

// adopt starts what serves the test and waits for it; all else that ends is
// forgotten.
func adopt() error {
	c := exec.Command("/bin/guest", "serve")
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	if err := c.Start(); err != nil {
		return err
	}
	for {
		pid, err := unix.Wait4(-1, nil, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case pid == c.Process.Pid:
			return fmt.Errorf("what serves the test has ended")
		}
	}
}
