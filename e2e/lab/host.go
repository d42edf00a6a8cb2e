package lab

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is a machine made of a network namespace: an engine takes it for the
// host. One cable leads to another namespace, the outside.
type Host struct {
	Name    string // of the namespace
	Outside string // of the outside's
}

// Addresses of the two ends of the cable.
const (
	HostAddress     = "192.0.2.1"
	OutsideAddress  = "192.0.2.2"
	HostAddress6    = "2001:db8::1"
	OutsideAddress6 = "2001:db8::2"
)

// NewHost makes a host. Its name must be unique and short.
func NewHost(name string, reaper *Reaper) (*Host, error) {
	h := &Host{Name: name, Outside: name + "-out"}
	for _, n := range []string{h.Name, h.Outside} {
		if err := reaper.WatchNetns(n); err != nil {
			return nil, err
		}
	}
	return h, run(
		"ip netns add "+h.Name,
		"ip netns add "+h.Outside,
		"ip -n "+h.Name+" link add eth0 type veth peer name eth0 netns "+h.Outside,
		"ip -n "+h.Name+" address add "+HostAddress+"/24 dev eth0",
		"ip -n "+h.Outside+" address add "+OutsideAddress+"/24 dev eth0",
		"ip -n "+h.Name+" address add "+HostAddress6+"/64 dev eth0 nodad",
		"ip -n "+h.Outside+" address add "+OutsideAddress6+"/64 dev eth0 nodad",
		"ip -n "+h.Name+" link set lo up", "ip -n "+h.Name+" link set eth0 up",
		"ip -n "+h.Outside+" link set lo up", "ip -n "+h.Outside+" link set eth0 up",
		"ip -n "+h.Name+" route add default via "+OutsideAddress,
		"ip -n "+h.Name+" -6 route add default via "+OutsideAddress6,
	)
}

// Path is the file of the host's namespace.
func (h *Host) Path() string { return netnsPath(h.Name) }

func netnsPath(name string) string { return "/run/netns/" + name }

func removeNetns(name string) error {
	if _, err := os.Stat(netnsPath(name)); err != nil {
		return nil
	}
	return run("ip netns delete " + name)
}

func run(lines ...string) error {
	for _, line := range lines {
		words := strings.Fields(line)
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line, err, out)
		}
	}
	return nil
}

// Listen listens in the outside's namespace.
func (h *Host) Listen(address string) (l net.Listener, err error) {
	err = within(netnsPath(h.Outside), func() error {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// DialOutside connects from the outside.
func (h *Host) DialOutside(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = within(netnsPath(h.Outside), func() error {
		c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// DialIn connects from a network namespace.
func DialIn(netns, network, address string) (c net.Conn, err error) {
	err = within(netns, func() error {
		c, err = net.Dial(network, address)
		return err
	})
	return c, err
}

// ListenIn listens in a network namespace.
func ListenIn(netns, address string) (l net.Listener, err error) {
	err = within(netns, func() error {
		l, err = net.Listen("tcp", address)
		return err
	})
	return l, err
}

// within calls f on a thread that is in a network namespace; the thread ends
// with it. Sockets that f makes stay in that namespace.
func within(path string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never back: the thread is not as it was
		done <- enter(path, f)
	}()
	return <-done
}

func enter(path string, f func() error) error {
	ns, err := os.Open(path)
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("cannot enter %s: %w", path, err)
	}
	return f()
}
