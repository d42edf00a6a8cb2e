package network

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network/netns"
)

// forwardSwitch is the kernel's of IPv4.
const forwardSwitch = "/proc/sys/net/ipv4/ip_forward"

const inHostEnv = "ORLOP_TEST_HOST"

// onFreshHost runs the calling test in a process with network and mount
// namespaces of its own: a host that nothing else uses and that vanishes with
// the process. It reports whether the caller is inside.
func onFreshHost(t testing.TB) bool {
	t.Helper()
	if os.Getenv(inHostEnv) != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		// ip netns keeps its names under /run: ours are nobody else's business.
		if err := syscall.Mount("run", "/run", "tmpfs", 0, ""); err != nil {
			t.Fatal(err)
		}
		run(t, "ip", "link", "set", "lo", "up")
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: makes network namespaces")
	}
	args := []string{"-test.run", "^" + t.Name() + "$", "-test.v", "-test.timeout", "60s"}
	if _, ok := t.(*testing.B); ok {
		args = []string{"-test.run", "^$", "-test.bench", "^" + t.Name() + "$", "-test.v", "-test.benchtime", "200x"}
	}
	cmd := exec.Command("/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), inHostEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Fatalf("on a fresh host: %v", err)
	}
	if bytes.Contains(out, []byte("--- SKIP")) {
		t.Skip("skipped on the fresh host")
	}
	return false
}

func run(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// runs says why a program has failed.
func runs(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

func testConfig(t testing.TB, held *keeper.Holdings) Config {
	t.Helper()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	dir := t.TempDir()
	t.Cleanup(func() {
		pinned, _ := filepath.Glob(filepath.Join(dir, netnsDir, "*"))
		for _, path := range pinned {
			netns.Unpin(path)
		}
	})
	return Config{ID: "t1", StateDir: dir, Sockets: held, Log: log}
}

func openManager(t testing.TB, cfg Config) *Manager {
	t.Helper()
	m, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func ensure(t testing.TB, m *Manager, spec Spec) Network {
	t.Helper()
	n, err := m.EnsureNetwork(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func create(t testing.TB, m *Manager, id string, spec Sandbox) SandboxState {
	t.Helper()
	s, err := m.CreateSandbox(t.Context(), id, spec)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.SetNames(id, true); err != nil {
		t.Fatal(err)
	}
	return s
}

func on(networks ...string) Sandbox {
	s := Sandbox{DNS: true}
	for _, n := range networks {
		s.Endpoints = append(s.Endpoints, Endpoint{Network: n})
	}
	return s
}

// serveHello answers every TCP connection in a sandbox with hello.
func serveHello(t testing.TB, path string, addr string) {
	t.Helper()
	err := netns.In(path, func() error {
		l, err := net.Listen("tcp4", addr)
		if err != nil {
			return err
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "hello %s", host)
				c.Close()
			}
		}()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// dialFrom connects from the namespace at path and returns what the server said.
func dialFrom(path, addr string, timeout time.Duration) (text string, err error) {
	err = netns.In(path, func() error {
		c, err := net.DialTimeout("tcp4", addr, timeout)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(timeout))
		b, err := io.ReadAll(c)
		text = string(b)
		return err
	})
	return text, err
}

func hostPort(a netip.Addr, port int) string { return fmt.Sprintf("%s:%d", a, port) }

// lookup resolves a name as a process in the sandbox does, without any
// resolv.conf: by asking the name server at its well-known address.
func lookup(s SandboxState, name string) ([]string, error) { return lookupOver("udp", s, name) }

func lookupOver(transport string, s SandboxState, name string) ([]string, error) {
	var addrs []string
	err := netns.In(s.NetnsPath, func() error {
		// The resolver dials on other goroutines: hand it a connection that is
		// made on this thread.
		r := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
			var c net.Conn
			err := netns.In(s.NetnsPath, func() (err error) {
				c, err = net.Dial(transport+"4", NameServer+":53")
				return err
			})
			return c, err
		}}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		ips, err := r.LookupNetIP(ctx, "ip", name+".")
		for _, ip := range ips {
			addrs = append(addrs, ip.Unmap().String())
		}
		return err
	})
	return addrs, err
}

var counters = regexp.MustCompile(`packets \d+ bytes \d+|handle \d+`)

// snapshot is all that could be left behind on a host.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(regexp.MustCompile(`(?m)^\d+: `).ReplaceAllString(run(t, "ip", "-o", "link"), ""))
	b.WriteString(run(t, "ip", "-4", "addr"))
	b.WriteString(run(t, "ip", "route"))
	b.WriteString(counters.ReplaceAllString(run(t, "nft", "list", "ruleset"), ""))
	forward, err := os.ReadFile(forwardSwitch)
	if err != nil {
		t.Fatal(err)
	}
	b.Write(forward)
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(mounts), "\n") {
		if strings.Contains(line, dir) {
			b.WriteString(line + "\n")
		}
	}
	b.WriteString(run(t, "find", dir, "-type", "f"))
	return b.String()
}
