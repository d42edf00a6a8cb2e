package nat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const inHostEnv = "ORLOP_TEST_HOST"

// onFreshHost runs the calling test in a process with network and mount namespaces of its
// own. It reports whether the caller is inside.
func onFreshHost(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inHostEnv) != "" {
		if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("run", "/run", "tmpfs", 0, ""); err != nil { // names of ip netns
			t.Fatal(err)
		}
		run(t, "ip", "link", "set", "lo", "up")
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: makes network namespaces")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "60s")
	cmd.Env = append(os.Environ(), inHostEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
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

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// place makes a client at 10.1.0.2 and fd01::2, and a container at 10.2.0.2 and fd02::2,
// this host between them.
func place(t *testing.T) {
	t.Helper()
	for i, name := range []string{"client", "container"} {
		near, far := fmt.Sprintf("%s0", name), fmt.Sprintf("10.%d.0.2/24", i+1)
		run(t, "ip", "netns", "add", name)
		run(t, "ip", "link", "add", near, "type", "veth", "peer", "name", "eth0", "netns", name)
		run(t, "ip", "addr", "add", fmt.Sprintf("10.%d.0.1/24", i+1), "dev", near)
		run(t, "ip", "addr", "add", fmt.Sprintf("fd0%d::1/64", i+1), "dev", near, "nodad")
		run(t, "ip", "link", "set", near, "addrgenmode", "none", "up")
		run(t, "ip", "addr", "add", "fe80::1/64", "dev", near, "nodad")
		run(t, "ip", "-n", name, "addr", "add", far, "dev", "eth0")
		run(t, "ip", "-n", name, "addr", "add", fmt.Sprintf("fd0%d::2/64", i+1), "dev", "eth0", "nodad")
		run(t, "ip", "-n", name, "link", "set", "eth0", "addrgenmode", "none", "up")
		run(t, "ip", "-n", name, "addr", "add", "fe80::2/64", "dev", "eth0", "nodad")
		run(t, "ip", "-n", name, "link", "set", "lo", "up")
		run(t, "ip", "-n", name, "route", "add", "default", "via", fmt.Sprintf("10.%d.0.1", i+1))
		run(t, "ip", "-n", name, "route", "add", "default", "via", fmt.Sprintf("fd0%d::1", i+1))
	}
	for _, path := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(path, []byte("1"), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// in runs f in a namespace that place has made.
func in(t *testing.T, name string, f func()) {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		// The thread is not given back: it ends with the goroutine.
		runtime.LockOSThread()
		ns, err := os.Open("/run/netns/" + name)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// answer tells each client of a listener who it is, after a word.
func answer(t *testing.T, l net.Listener, word string) {
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "%s %s", word, netip.MustParseAddrPort(c.RemoteAddr().String()).Addr().Unmap().WithZone(""))
			c.Close()
		}
	}()
}

func listen(t *testing.T, address string) (l net.Listener) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask says what the client hears at an address.
func ask(t *testing.T, from, address string) (heard string) {
	t.Helper()
	in(t, from, func() { heard = askHere(t, address) })
	return heard
}

// askHere says what the machine's own programs hear.
func askHere(t *testing.T, address string) string {
	t.Helper()
	c, err := (&net.Dialer{Timeout: time.Second}).Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	text, err := io.ReadAll(c)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func tcp(addr string, port uint16, to string, apart ...string) Rule {
	r := Rule{Port: port, Proto: unix.IPPROTO_TCP, To: netip.MustParseAddrPort(to), Apart: apart}
	if addr != "" {
		r.Addr = netip.MustParseAddr(addr)
	}
	return r
}

// TestARuleSendsAPortToItsContainer, with the client's address, and no longer than it is there.
func TestARuleSendsAPortToItsContainer(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	place(t)
	answer(t, listen(t, ":8080"), "keeper")
	answer(t, listen(t, ":8081"), "keeper")
	var inside net.Listener
	in(t, "container", func() { inside = listen(t, ":80") })
	answer(t, inside, "container")
	table := New("t1")
	defer table.Close()
	expect := func(when, address, want string) {
		t.Helper()
		if got := ask(t, "client", address); got != want {
			t.Errorf("%s, at %s: %q, want %q", when, address, got, want)
		}
	}
	add := func(r Rule) {
		t.Helper()
		if err := table.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	expect("before", "10.1.0.1:8080", "keeper 10.1.0.2")
	any4, any6 := tcp("", 8080, "10.2.0.2:80"), tcp("", 8080, "[fd02::2]:80")
	add(any4)
	expect("with a rule", "10.1.0.1:8080", "container 10.1.0.2")
	expect("at another address of the machine", "10.2.0.1:8080", "container 10.1.0.2")
	expect("of the other family", "[fd01::1]:8080", "keeper fd01::2")
	expect("at another port", "10.1.0.1:8081", "keeper 10.1.0.2")
	add(any6)
	expect("with a rule of its own", "[fd01::1]:8080", "container fd01::2")
	expect("at an address of the link", "[fe80::1%eth0]:8080", "keeper fe80::2")
	bound := tcp("10.1.0.1", 8081, "10.2.0.2:80")
	add(bound)
	expect("bound to an address", "10.1.0.1:8081", "container 10.1.0.2")
	expect("and asked at another", "10.2.0.1:8081", "keeper 10.1.0.2")
	if out := run(t, "nft", "list", "ruleset"); !strings.Contains(out, "orlop_t1_ports") {
		t.Errorf("there is no table:\n%s", out)
	}
	run(t, "nft", "flush", "ruleset")
	expect("after somebody has flushed all tables", "10.1.0.1:8081", "container 10.1.0.2")
	for _, r := range []Rule{any4, bound} {
		if err := table.Remove(r); err != nil {
			t.Fatal(err)
		}
	}
	expect("without the rule", "10.1.0.1:8080", "keeper 10.1.0.2")
	expect("without the rule", "10.1.0.1:8081", "keeper 10.1.0.2")
	expect("with that of the other family left", "[fd01::1]:8080", "container fd01::2")
	if err := table.Remove(any6); err != nil {
		t.Fatal(err)
	}
	expect("without any", "[fd01::1]:8080", "keeper fd01::2")
	if err := table.Close(); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "nft", "list", "tables"); out != "" {
		t.Errorf("there is still %s", out)
	}
	expect = func(when, address, want string) {
		t.Helper()
		if got := askHere(t, address); got != want {
			t.Errorf("%s, from the machine, at %s: %q, want %q", when, address, got, want)
		}
	}
	here4, here6 := tcp("", 8080, "10.2.0.2:80"), tcp("", 8080, "[fd02::2]:80")
	add(here4)
	add(here6)
	expect("with a rule", "10.1.0.1:8080", "container 10.1.0.1")
	expect("with a rule", "[fd01::1]:8080", "container fd01::1")
	expect("on the loopback", "127.0.0.1:8080", "keeper 127.0.0.1")
	expect("on the loopback", "[::1]:8080", "keeper ::1")
	expect("at another machine's address", "10.1.0.2:8080", "dial tcp 10.1.0.2:8080: connect: connection refused")
	for _, r := range []Rule{here4, here6} {
		if err := table.Remove(r); err != nil {
			t.Fatal(err)
		}
	}
	expect("without", "10.1.0.1:8080", "keeper 10.1.0.1")
	apart := tcp("", 8080, "10.2.0.2:80", "client0")
	add(apart)
	if got := ask(t, "client", "10.1.0.1:8080"); got != "keeper 10.1.0.2" {
		t.Errorf("by a link that is kept apart: %s", got)
	}
}

func leadingTo(addr string) Flows {
	to := netip.MustParseAddr(addr)
	return Flows{Is6: to.Is6(), To: netip.AddrPortFrom(to, 0)}
}

// TestDatagramsComeToTheMachineAgain, of a client that goes on, once its flow is forgotten; those
// of other ports go on as they do.
func TestDatagramsComeToTheMachineAgain(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	place(t)
	run(t, "nft", "add table inet orlop_t1; add chain inet orlop_t1 post { type nat hook postrouting priority srcnat; }; add chain inet orlop_t1 through { type filter hook forward priority 0; }; add rule inet orlop_t1 through ct state established accept")
	echo := func(address, word string) {
		c, err := net.ListenPacket("udp", address)
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { c.Close() })
		go func() {
			buffer := make([]byte, 100)
			for {
				_, from, err := c.ReadFrom(buffer)
				if err != nil {
					return
				}
				_, _ = c.WriteTo([]byte(word), from)
			}
		}()
	}
	echo("10.1.0.1:8053", "keeper")
	in(t, "container", func() { echo("10.2.0.2:53", "container") })
	var client net.Conn
	in(t, "client", func() {
		var err error
		if client, err = net.Dial("udp", "10.1.0.1:8053"); err != nil {
			t.Error(err)
		}
	})
	defer client.Close()
	expect := func(when, want string) {
		t.Helper()
		answer := make([]byte, 100)
		_, err := client.Write([]byte("x"))
		n := 0
		if err == nil {
			_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err = client.Read(answer)
		}
		if err != nil || string(answer[:n]) != want {
			t.Errorf("%s: %q, %v", when, answer[:n], err)
		}
	}
	table := New("t1")
	r := Rule{Port: 8053, Proto: unix.IPPROTO_UDP, To: netip.MustParseAddrPort("10.2.0.2:53")}
	if err := table.Add(r); err != nil {
		t.Fatal(err)
	}
	expect("with a rule", "container")
	if err := table.Remove(r); err != nil {
		t.Fatal(err)
	}
	expect("without it, while its flow is known", "container")
	for _, f := range []Flows{
		{Proto: unix.IPPROTO_UDP, To: netip.MustParseAddrPort("10.2.0.2:54")}, {Proto: unix.IPPROTO_TCP, To: r.To}, {Proto: unix.IPPROTO_UDP, Through: 8054}, {Is6: true},
	} {
		if err := Forget(f); err != nil {
			t.Fatal(err)
		}
		expect("when others are forgotten", "container")
	}
	if err := Forget(Flows{Proto: unix.IPPROTO_UDP, To: r.To}); err != nil {
		t.Fatal(err)
	}
	expect("when it is forgotten", "keeper")
	if err := Forget(Flows{Proto: unix.IPPROTO_UDP, Through: 8053}); err != nil {
		t.Fatal(err)
	}
	expect("what was never sent elsewhere stays", "keeper")
}

// TestAnAddressThatIsGivenUpIsForgotten: who has a connection to it is told, and those to others
// go on.
func TestAnAddressThatIsGivenUpIsForgotten(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	place(t)
	// The kernel translates as long as there is a chain that may: the engine's own.
	run(t, "nft", "add table inet orlop_t1; add chain inet orlop_t1 post { type nat hook postrouting priority srcnat; }; add chain inet orlop_t1 through { type filter hook forward priority 0; }; add rule inet orlop_t1 through ct state established accept")
	for _, c := range []struct{ at, to, other string }{{"10.1.0.1:8080", "10.2.0.2:80", "10.2.0.3"}, {"[fd01::1]:8080", "[fd02::2]:80", "fd02::3"}} {
		var inside net.Listener
		in(t, "container", func() { inside = listen(t, ":80") })
		table := New("t1")
		if err := table.Add(tcp("", 8080, c.to)); err != nil {
			t.Fatal(err)
		}
		var client net.Conn
		in(t, "client", func() {
			var err error
			if client, err = (&net.Dialer{Timeout: time.Second}).Dial("tcp", c.at); err != nil {
				t.Error(err)
			}
		})
		server, err := inside.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if err := table.Close(); err != nil {
			t.Fatal(err)
		}
		passes := func() error {
			if _, err := client.Write([]byte("x")); err != nil {
				return err
			}
			_ = server.SetReadDeadline(time.Now().Add(5 * time.Second))
			_, err := server.Read(make([]byte, 1))
			return err
		}
		if err := passes(); err != nil {
			t.Errorf("without the rule the connection does not go on: %v", err)
		}
		if err := Forget(leadingTo(c.other)); err != nil {
			t.Fatal(err)
		}
		if err := passes(); err != nil {
			t.Errorf("a connection to another address does not go on: %v", err)
		}
		if err := Forget(leadingTo(netip.MustParseAddrPort(c.to).Addr().String())); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("of a connection to an address that was given up: %v", err)
		}
		client.Close()
		server.Close()
		inside.Close()
	}
}
