package network

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/runner/network/hostlock"
)

const crashEnv = "ORLOP_TEST_CRASH"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashEnv); dir != "" {
		if err := toil(dir); err != nil {
			fmt.Println("failed:", err)
		}
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// toil makes and removes networks and sandboxes until it is killed, and says
// so before each step.
func toil(dir string) error {
	ctx := context.Background()
	m, err := Open(ctx, Config{ID: "t1", StateDir: dir, Sockets: keeper.InProcess()})
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
		id := fmt.Sprint("s", i)
		for _, step := range []func() error{
			func() error { _, err := m.EnsureNetwork(ctx, Spec{Name: "a"}); return err },
			func() error { _, err := m.EnsureNetwork(ctx, Spec{Name: "b", Internal: true}); return err },
			func() error { _, err := m.CreateSandbox(ctx, id, on("a", "b")); return err },
			func() error { return m.SetNames(id, true) },
			func() error { return m.RemoveSandbox(ctx, id) },
			func() error { return m.RemoveNetwork(ctx, "b") },
			func() error { return m.RemoveNetwork(ctx, "a") },
		} {
			fmt.Println("step")
			if err := step(); err != nil {
				return err
			}
		}
	}
}

func TestAKilledEngineLeavesNothingThatTheNextCannotClear(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	cfg := testConfig(t, keeper.InProcess())
	before := snapshot(t, cfg.StateDir)
	for steps := 1; steps <= 28; steps++ {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), crashEnv+"="+cfg.StateDir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; n < steps%14+1 && lines.Scan(); n++ {
			if lines.Text() != "step" {
				t.Fatal(lines.Text())
			}
		}
		cmd.Process.Kill() // somewhere within the step
		cmd.Wait()
		m := openManager(t, cfg)
		for _, id := range m.Sandboxes() {
			if _, err := m.CreateSandbox(t.Context(), id, on("a", "b")); err != nil {
				t.Errorf("after %d steps: an adopted sandbox is not what was asked for: %v", steps, err)
			}
			if err := m.RemoveSandbox(t.Context(), id); err != nil {
				t.Errorf("after %d steps: %v", steps, err)
			}
		}
		for _, n := range m.Networks() {
			if err := m.RemoveNetwork(t.Context(), n.Name); err != nil {
				t.Errorf("after %d steps: %v", steps, err)
			}
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if after := snapshot(t, cfg.StateDir); after != before {
			t.Fatalf("killed after %d steps, left behind:\n%s\nbefore:\n%s", steps, after, before)
		}
	}
}

func TestALostStateDirectoryLeavesNothing(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	if err := os.WriteFile(forwardSwitch, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	held := keeper.InProcess()
	cfg := testConfig(t, held)
	m := openManager(t, cfg)
	ensure(t, m, Spec{Name: "default"})
	create(t, m, "a", on("default"))
	if got := strings.TrimSpace(run(t, "cat", forwardSwitch)); got != "1" {
		t.Errorf("forwarding is %s with a network", got)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.StateDir = t.TempDir()
	openManager(t, cfg)
	if left := run(t, "nft", "list", "ruleset") + strings.TrimSpace(run(t, "cat", forwardSwitch)); left != "0" {
		t.Errorf("tables and forwarding: %s", left)
	}
	if links := run(t, "ip", "-o", "link"); strings.Contains(links, "ort1") {
		t.Errorf("links: %s", links)
	}
	if kept, _ := held.Kept(t.Context()); len(kept) > 0 {
		t.Errorf("kept: %v", kept)
	}
}

func TestAMachineThatWasNoRouterDoesNotBecomeOne(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	if err := os.WriteFile(forwardSwitch, []byte("0"), 0); err != nil {
		t.Fatal(err)
	}
	lan := neighbour(t)
	run(t, "ip", "netns", "add", "wan")
	t.Cleanup(func() { run(t, "ip", "netns", "del", "wan") })
	run(t, "ip", "link", "add", "up1", "type", "veth", "peer", "name", "wan0", "netns", "wan")
	run(t, "ip", "addr", "add", "203.0.113.1/24", "dev", "up1")
	run(t, "ip", "link", "set", "up1", "up")
	run(t, "ip", "-n", "wan", "addr", "add", "203.0.113.2/24", "dev", "wan0")
	run(t, "ip", "-n", "wan", "link", "set", "wan0", "up")
	run(t, "ip", "-n", "wan", "route", "add", "default", "via", "203.0.113.1")
	run(t, "ip", "-n", "lan", "route", "add", "default", "via", "198.51.100.1")
	serveHello(t, "/run/netns/wan", ":80")
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	a := create(t, m, "a", on("default"))
	if _, err := dialFrom(a.NetnsPath, "203.0.113.2:80", soon); err != nil {
		t.Errorf("a container has no way out: %v", err)
	}
	if _, err := dialFrom(lan, "203.0.113.2:80", never); err == nil {
		t.Error("the machine forwards for its neighbours")
	}
	if err := m.RemoveSandbox(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := m.RemoveNetwork(t.Context(), "default"); err != nil {
		t.Fatal(err)
	}
	if got := strings.TrimSpace(run(t, "cat", forwardSwitch)); got != "0" {
		t.Errorf("forwarding stays %s", got)
	}
}

func TestTheHostsLockExcludes(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	unlock, err := hostlock.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := hostlock.Take(ctx); err == nil {
		t.Error("two hold the lock")
	}
	unlock()
	again, err := hostlock.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	again()
}

func TestWhatOthersTakeAwayIsPutBack(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	lan := neighbour(t)
	serveHello(t, lan, ":80")
	m := openManager(t, testConfig(t, keeper.InProcess()))
	ensure(t, m, Spec{Name: "default"})
	n := ensure(t, m, Spec{Name: "inner", Internal: true})
	a := create(t, m, "a", on("default", "inner"))
	for name, damage := range map[string]func(){
		"ruleset": func() { run(t, "nft", "flush", "ruleset") },
		"bridge":  func() { run(t, "ip", "link", "del", n.Bridge) },
		"link":    func() { run(t, "ip", "link", "del", m.sandboxes["a"].Endpoints[0].Link) },
	} {
		damage()
		ensure(t, m, Spec{Name: "default"})
		ensure(t, m, Spec{Name: "inner", Internal: true})
		if got := create(t, m, "a", on("default", "inner")); got.Addresses["inner"] != a.Addresses["inner"] {
			t.Errorf("%s: %v", name, got)
		}
		if _, err := dialFrom(a.NetnsPath, "198.51.100.2:80", soon); err != nil {
			t.Errorf("%s: no way out: %v", name, err)
		}
		inner := netip.AddrPortFrom(a.Addresses["inner"].Addr(), 81)
		l := "ip route get " + inner.Addr().String()
		if out := run(t, "sh", "-c", l); !strings.Contains(out, n.Bridge) {
			t.Errorf("%s: %s: %s", name, l, out)
		}
	}
}

// What anybody can open, anybody can lock, and so keep every engine from its networks.
func TestNobodyElseCanHoldTheHostsLock(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	for _, path := range []string{forwardSwitch, "/proc/self/ns/net"} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	unlock, err := hostlock.Take(ctx)
	if err != nil {
		t.Fatalf("what others may open is locked, and so is the host: %v", err)
	}
	unlock()
}

// The lock's place is nobody else's: a link or a file that others may open is refused.
func TestTheHostsLockIsAFileOfRootsOwn(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	path, err := hostlock.Path()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", path); err != nil {
		t.Fatal(err)
	}
	if _, err := hostlock.Take(t.Context()); err == nil {
		t.Error("a symbolic link is followed")
	}
	os.Remove(path)
	unlock, err := hostlock.Take(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("the lock is %v, %v", info, err)
	}
}
