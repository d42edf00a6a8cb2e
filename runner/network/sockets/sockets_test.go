package sockets

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const inHostEnv = "ORLOP_TEST_HOST"

// here is the namespace of this process.
const here = "/proc/self/ns/net"

// onFreshHost runs the calling test in a process with a network namespace of its own, which
// has the addresses 10.9.0.1 and 10.9.0.2. It reports whether the caller is inside.
func onFreshHost(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inHostEnv) != "" {
		for _, args := range [][]string{
			{"link", "set", "lo", "up"}, {"addr", "add", "10.9.0.1/32", "dev", "lo"}, {"addr", "add", "10.9.0.2/32", "dev", "lo"},
			{"link", "add", "out", "type", "veth", "peer", "name", "far"}, {"link", "set", "far", "up"}, {"addr", "add", "10.8.0.2/24", "dev", "out"}, {"link", "set", "out", "up"}, {"route", "add", "default", "via", "10.8.0.1"},
		} {
			if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
				t.Fatalf("ip %v: %v\n%s", args, err, out)
			}
		}
		return true
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: makes network namespaces")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run", "^"+t.Name()+"$", "-test.v", "-test.timeout", "60s")
	cmd.Env = append(os.Environ(), inHostEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
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

func listen(t *testing.T, network, address string) *net.TCPListener {
	t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

func TestWhoListensIsSeen(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	listen(t, "tcp4", "0.0.0.0:80")
	listen(t, "tcp", ":81")
	listen(t, "tcp", "127.0.0.1:82")
	listen(t, "tcp", "10.8.0.2:83")
	for local, remote := range map[string]*net.UDPAddr{"0.0.0.0:53": nil, "10.8.0.2:54": {IP: net.IPv4(10, 8, 0, 1), Port: 1}} {
		at := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(local))
		c, err := net.ListenUDP("udp4", at)
		if remote != nil {
			c.Close()
			c, err = net.DialUDP("udp4", at, remote)
		}
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for _, c := range []struct {
		proto           byte
		at              string
		listens, leaves bool
	}{
		{unix.IPPROTO_TCP, "10.8.0.2:80", true, true},
		{unix.IPPROTO_TCP, "10.8.0.2:81", true, true},
		{unix.IPPROTO_TCP, "10.8.0.2:82", false, false},
		{unix.IPPROTO_TCP, "10.8.0.2:83", true, true},
		{unix.IPPROTO_TCP, "10.8.0.2:84", false, false},
		{unix.IPPROTO_TCP, "10.9.0.1:80", true, false}, // the default route is not that address's
		{unix.IPPROTO_TCP, "10.9.0.1:83", false, false},
		{unix.IPPROTO_UDP, "10.8.0.2:80", false, false},
		{unix.IPPROTO_UDP, "10.8.0.2:53", true, true},
		{unix.IPPROTO_UDP, "10.8.0.2:54", false, false}, // it hears one other alone
		{unix.IPPROTO_TCP, "10.8.0.2:53", false, false},
		{unix.IPPROTO_TCP, "[fd00::1]:80", false, false},
		{unix.IPPROTO_TCP, "[fd00::1]:81", true, false},
	} {
		listens, leaves, err := Listens(here, c.proto, netip.MustParseAddrPort(c.at))
		if err != nil || listens != c.listens || leaves != c.leaves {
			t.Errorf("%s: listens %t, leaves %t, %v", c.at, listens, leaves, err)
		}
	}
}

// TestWhoWaitsIsWaitedFor: a client that has just come, and one whose request was not answered;
// nobody else.
func TestWhoWaitsIsWaitedFor(t *testing.T) {
	if !onFreshHost(t) {
		return
	}
	l := listen(t, "tcp", "10.9.0.2:80")
	dial := func(from string) (client, server net.Conn) {
		t.Helper()
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		client, err := d.Dial("tcp", "10.9.0.2:80")
		if err != nil {
			t.Fatal(err)
		}
		if server, err = l.Accept(); err != nil {
			t.Fatal(err)
		}
		return client, server
	}
	settle := func(within, unseen time.Duration) (busy int, took time.Duration) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		began := time.Now()
		busy, err := Settle(ctx, here, []uint16{80}, Patience{Unseen: unseen, Near: []netip.Prefix{netip.MustParsePrefix("10.9.0.0/31")}})
		if err != nil {
			t.Fatal(err)
		}
		return busy, time.Since(began)
	}
	say := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if busy, took := settle(5*time.Second, time.Second); busy != 0 || took > 500*time.Millisecond {
		t.Errorf("without anybody: %d, after %s", busy, took)
	}
	near, _ := dial("10.9.0.1")
	say(near)
	if busy, took := settle(5*time.Second, time.Second); busy != 0 || took > 500*time.Millisecond {
		t.Errorf("with a neighbour's request: %d, after %s", busy, took)
	}
	client, server := dial("10.9.0.2")
	if busy, _ := settle(100*time.Millisecond, 5*time.Second); busy != 1 {
		t.Errorf("with one who has just come: %d", busy)
	}
	say(client)
	if busy, _ := settle(100*time.Millisecond, 5*time.Second); busy != 1 {
		t.Errorf("with a request that was not read: %d", busy)
	}
	if _, err := server.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if busy, _ := settle(100*time.Millisecond, 5*time.Second); busy != 1 {
		t.Errorf("with a request that was not answered: %d", busy)
	}
	if busy, took := settle(5*time.Second, 200*time.Millisecond); busy != 0 || took < 150*time.Millisecond {
		t.Errorf("with a request that was not answered, and little patience: %d, after %s", busy, took)
	}
	go func() {
		time.Sleep(100 * time.Millisecond) // the answer comes while it is waited for
		_, _ = server.Write([]byte("x"))
	}()
	if busy, took := settle(10*time.Second, 10*time.Second); busy != 0 || took > 5*time.Second {
		t.Errorf("with a request that was answered: %d, after %s", busy, took)
	}
}
