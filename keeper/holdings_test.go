package keeper

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const soon = 10 * time.Second

// service is what Conn and Holdings both are.
type service interface {
	Listen(context.Context, Port) (netip.AddrPort, error)
	Route(context.Context, string, Route) error
	Drain(context.Context, string, Patience) (int, error)
	Close(context.Context, string) error
	Ports(context.Context) ([]PortState, error)
	Keep(context.Context, string, ...*os.File) error
	Take(context.Context, string) ([]*os.File, error)
	Drop(context.Context, string) error
	Kept(context.Context) ([]string, error)
	Done() <-chan struct{}
}

// onBoth runs a test against holdings in the process, and against the same
// through a control connection.
func onBoth(t *testing.T, test func(t *testing.T, s service)) {
	t.Run("in process", func(t *testing.T) {
		h := InProcess()
		t.Cleanup(h.Release)
		test(t, h)
	})
	t.Run("through a connection", func(t *testing.T) {
		h := InProcess()
		t.Cleanup(h.Release)
		test(t, connect(t, h))
	})
}

func connect(t *testing.T, h *Holdings) *Conn {
	t.Helper()
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- Serve(ours, h, Wishes{}) }()
	fd, err := unix.Dup(int(theirs.Fd()))
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(uintptr(fd))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Hangup()
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
		<-c.Done()
	})
	return c
}

var loopback = netip.MustParseAddr("127.0.0.1")

func publish(t *testing.T, s service, p Port) netip.AddrPort {
	t.Helper()
	bound, err := s.Listen(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return bound
}

func route(t *testing.T, s service, key string, backends ...netip.AddrPort) {
	t.Helper()
	if err := s.Route(t.Context(), key, Route{Backends: backends}); err != nil {
		t.Fatal(err)
	}
}

// backend serves each TCP connection with a function.
func backend(t *testing.T, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c.(*net.TCPConn))
		}
	}()
	return localAddr(l.Addr())
}

func saying(t *testing.T, text string) netip.AddrPort {
	return backend(t, func(c *net.TCPConn) {
		io.WriteString(c, text)
		c.Close()
	})
}

func dial(t *testing.T, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", to.String(), soon)
	if err != nil {
		t.Fatal(err)
	}
	c.SetDeadline(time.Now().Add(soon))
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

func hear(t *testing.T, to netip.AddrPort) string {
	t.Helper()
	text, err := io.ReadAll(dial(t, to))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// refusing is an address where nobody listens.
func refusing(t *testing.T) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return localAddr(l.Addr())
}

func TestBackendsTakeTurnsAndTheDeadArePassedOver(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		route(t, s, "web", saying(t, "a"), refusing(t), saying(t, "b"))
		heard := map[string]int{}
		for range 12 {
			heard[hear(t, to)]++
		}
		if heard["a"] < 3 || heard["b"] < 3 || len(heard) != 2 {
			t.Errorf("answers: %v", heard)
		}
		route(t, s, "web", refusing(t))
		// The reset may be there before the client has seen the connection.
		c, err := net.Dial("tcp", to.String())
		if err == nil {
			_, err = io.ReadAll(c)
			c.Close()
		}
		if !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("with every backend dead: %v; want a reset", err)
		}
	})
}

func TestParkedConnectionsGoOnWhenRouted(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		var clients []*net.TCPConn
		for range 5 {
			c := dial(t, to)
			fmt.Fprint(c, "question")
			clients = append(clients, c)
		}
		route(t, s, "web", backend(t, func(c *net.TCPConn) {
			io.ReadFull(c, make([]byte, len("question"))) // sent before there was a backend
			io.WriteString(c, "late")
			c.Close()
		}))
		for _, c := range clients {
			if text, err := io.ReadAll(c); err != nil || string(text) != "late" {
				t.Errorf("%q, %v", text, err)
			}
		}
		// Parking again stops nothing that is established.
		echo := backend(t, func(c *net.TCPConn) { io.Copy(c, c); c.Close() })
		route(t, s, "web", echo)
		c := dial(t, to)
		say(t, c, "before")
		if err := s.Route(t.Context(), "web", Route{Parked: true, Backends: []netip.AddrPort{echo}}); err != nil {
			t.Fatal(err)
		}
		say(t, c, "after")
		// A port that is closed resets who waits.
		waiting := dial(t, to)
		if err := s.Close(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		if _, err := waiting.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a parked connection of a closed port: %v", err)
		}
		say(t, c, "and after that")
	})
}

// say sends text to an echo and waits for it to come back.
func say(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	back := make([]byte, len(text))
	if _, err := io.ReadFull(c, back); err != nil || string(back) != text {
		t.Fatalf("%q came back as %q, %v", text, back, err)
	}
}

func TestHalfCloseIsPassedOn(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		// The answer depends on the end of the question, and comes after it.
		route(t, s, "web", backend(t, func(c *net.TCPConn) {
			question, _ := io.ReadAll(c)
			fmt.Fprintf(c, "%d bytes", len(question))
			c.Close()
		}))
		c := dial(t, to)
		c.Write(make([]byte, 1<<20))
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if text, err := io.ReadAll(c); err != nil || string(text) != "1048576 bytes" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

func TestResetIsPassedOn(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		ended := make(chan error, 1)
		route(t, s, "web", backend(t, func(c *net.TCPConn) {
			io.WriteString(c, "x")
			_, err := io.Copy(io.Discard, c)
			ended <- err
		}))
		c := dial(t, to)
		io.ReadFull(c, make([]byte, 1))
		c.SetLinger(0)
		c.Close()
		if err := <-ended; !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("the backend sees %v; want a reset", err)
		}
	})
}

func udpEcho(t *testing.T, prefix string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			c.WriteTo(append([]byte(prefix), buf[:n]...), from)
		}
	}()
	return localAddr(c.LocalAddr())
}

func TestDatagramsReturnFromWhereTheyWereSent(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		for name, p := range map[string]Port{
			"both families": {Key: "dual", Proto: UDP},
			"IPv4":          {Key: "four", Proto: UDP, Addr: netip.IPv4Unspecified()},
			"one address":   {Key: "one", Proto: UDP, Addr: netip.MustParseAddr("127.0.0.3")},
		} {
			bound := publish(t, s, p)
			// A connected socket takes answers from the address it knows only.
			c, err := net.Dial("udp", fmt.Sprintf("127.0.0.3:%d", bound.Port()))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			c.SetDeadline(time.Now().Add(soon))
			fmt.Fprint(c, "parked")
			waitWaiting(t, s, p.Key)
			route(t, s, p.Key, udpEcho(t, "1:"))
			buf := make([]byte, 64<<10)
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != "1:parked" {
				t.Errorf("%s: %q, %v", name, buf[:n], err)
			}
			route(t, s, p.Key, udpEcho(t, "2:"))
			big := strings.Repeat("x", 40<<10)
			fmt.Fprint(c, big)
			if n, err := c.Read(buf); err != nil || string(buf[:n]) != "2:"+big {
				t.Errorf("%s: %d bytes, %v after the route changed", name, n, err)
			}
		}
	})
}

// waitWaiting returns when a port has parked something. The keeper has no
// event for it, for nobody but a test wants to know.
func waitWaiting(t *testing.T, s service, key string) {
	t.Helper()
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); {
		ports, err := s.Ports(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(ports, func(p PortState) bool { return p.Key == key && p.Waiting > 0 }) {
			return
		}
	}
	t.Fatalf("nothing waits at %s", key)
}

func TestAPortInUseNamesItsHolder(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		u, err := net.ListenPacket("udp6", "[::1]:0")
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		self := filepath.Base(os.Args[0])
		for _, p := range []Port{
			{Key: "a", Proto: TCP, Addr: loopback, Port: localAddr(l.Addr()).Port()},
			{Key: "b", Proto: UDP, Addr: netip.IPv6Unspecified(), Port: localAddr(u.LocalAddr()).Port()},
		} {
			_, err = s.Listen(t.Context(), p)
			pe, ok := errors.AsType[*PortError](err)
			if !ok || pe.PID != os.Getpid() || pe.Process != self {
				t.Errorf("%s: %#v", p, err)
			}
			if want := fmt.Sprintf("cannot publish %s: held by %s (process %d)", p, self, os.Getpid()); err.Error() != want {
				t.Errorf("got %q, want %q", err, want)
			}
		}
		bound := publish(t, s, Port{Key: "ours", Proto: TCP, Addr: loopback})
		_, err = s.Listen(t.Context(), Port{Key: "theirs", Proto: TCP, Addr: loopback, Port: bound.Port()})
		if pe, ok := errors.AsType[*PortError](err); !ok || pe.Holder != "ours" {
			t.Errorf("a port of our own: %v", err)
		}
		_, err = s.Listen(t.Context(), Port{Key: "x", Proto: TCP, Addr: netip.MustParseAddr("192.0.2.1"), Port: 1})
		if err == nil || !strings.Contains(err.Error(), "cannot publish 192.0.2.1:1/tcp: no interface of this machine has that address") {
			t.Errorf("a foreign address: %v", err)
		}
	})
}

func TestPortsAreListedAndListenedOnOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		p := Port{Key: "web", Proto: TCP}
		bound := publish(t, s, p)
		if again := publish(t, s, p); again != bound {
			t.Errorf("bound to %s, then %s", bound, again)
		}
		to := saying(t, "both")
		route(t, s, "web", to)
		for _, from := range []string{"127.0.0.1", "::1"} {
			if got := hear(t, netip.AddrPortFrom(netip.MustParseAddr(from), bound.Port())); got != "both" {
				t.Errorf("from %s: %q", from, got)
			}
		}
		ports, err := s.Ports(t.Context())
		if err != nil || len(ports) != 1 || ports[0].Port != p || ports[0].Bound != bound ||
			!slices.Equal(ports[0].Route.Backends, []netip.AddrPort{to}) {
			t.Errorf("%+v, %v", ports, err)
		}
		if err := errors.Join(s.Close(t.Context(), "web"), s.Close(t.Context(), "web")); err != nil {
			t.Error(err)
		}
		if err := s.Route(t.Context(), "web", Route{}); err == nil {
			t.Error("a closed port can be routed")
		}
	})
}

func TestKeptFilesComeBack(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Keep(t.Context(), "pipe", r, w); err != nil {
			t.Fatal(err)
		}
		r.Close()
		w.Close()
		for range 2 { // lent, not given away
			files, err := s.Take(t.Context(), "pipe")
			if err != nil || len(files) != 2 {
				t.Fatalf("%v, %v", files, err)
			}
			files[1].WriteString("hi")
			buf := make([]byte, 2)
			if _, err := io.ReadFull(files[0], buf); err != nil || !bytes.Equal(buf, []byte("hi")) {
				t.Errorf("%q, %v", buf, err)
			}
			closeFiles(files)
		}
		if keys, err := s.Kept(t.Context()); err != nil || !slices.Equal(keys, []string{"pipe"}) {
			t.Errorf("%v, %v", keys, err)
		}
		if err := s.Drop(t.Context(), "pipe"); err != nil {
			t.Fatal(err)
		}
		if files, err := s.Take(t.Context(), "pipe"); err != nil || len(files) != 0 {
			t.Errorf("after the drop: %v, %v", files, err)
		}
	})
}

func TestTheEndOfTheKeeperIsSeen(t *testing.T) {
	ours, theirs, err := socketPair()
	if err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Dup(int(theirs.Fd()))
	theirs.Close()
	if err != nil {
		t.Fatal(err)
	}
	c, err := Dial(uintptr(fd))
	if err != nil {
		t.Fatal(err)
	}
	called := make(chan error, 1)
	go func() { called <- c.Quit(t.Context()) }() // nobody answers
	ours.Close()
	<-c.Done()
	if err := <-called; err == nil {
		t.Error("a call to a keeper that is gone succeeds")
	}
	if _, err := c.Ports(t.Context()); err == nil || !strings.Contains(err.Error(), "the keeper is gone") {
		t.Errorf("a later call: %v", err)
	}
}

// What isn't in the list is free: whoever takes a port over relies on it.
func TestAPortThatIsNotListedIsFree(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		bound := publish(t, s, Port{Key: "old", Proto: TCP, Addr: netip.MustParseAddr("127.0.0.1")})
		for i := range 500 {
			old, next := "old", "new"
			if i%2 == 1 {
				old, next = next, old
			}
			closed := make(chan error, 1)
			go func() { closed <- s.Close(t.Context(), old) }()
			for {
				ports, err := s.Ports(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if len(ports) == 0 {
					break
				}
			}
			publish(t, s, Port{Key: next, Proto: TCP, Addr: bound.Addr(), Port: bound.Port()})
			if err := <-closed; err != nil {
				t.Fatal(err)
			}
		}
	})
}
