package keeper

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func park(t *testing.T, s service, key string, backends ...netip.AddrPort) {
	t.Helper()
	if err := s.Route(t.Context(), key, Route{Parked: true, Backends: backends}); err != nil {
		t.Fatal(err)
	}
}

func drained(t *testing.T, s service, key string, within time.Duration, want int) {
	t.Helper()
	if busy, err := s.Drain(t.Context(), key, Patience{Within: within, Unseen: soon}); err != nil || busy != want {
		t.Fatalf("%d requests are under way, %v; want %d", busy, err, want)
	}
}

// get asks on a connection that is kept and gives the answer's body.
func get(t *testing.T, c *net.TCPConn) string {
	t.Helper()
	io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	return answered(t, c)
}

func answered(t *testing.T, c *net.TCPConn) string {
	t.Helper()
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// webServer answers each request with a text. Where may is given, it says
// there that it has a request, and answers when it may.
func webServer(t *testing.T, text string, may chan struct{}) (netip.AddrPort, *http.Server) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if may != nil {
			may <- struct{}{}
			<-may
		}
		io.WriteString(w, text)
	})}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	return localAddr(l.Addr()), srv
}

func TestAKeptConnectionFollowsThePort(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		one, first := webServer(t, "one", nil)
		two, _ := webServer(t, "two", nil)
		route(t, s, "web", one)
		c, unused := dial(t, to), dial(t, to)
		if got := get(t, c); got != "one" {
			t.Errorf("first %q", got)
		}
		park(t, s, "web")
		drained(t, s, "web", soon, 0)
		if err := first.Shutdown(t.Context()); err != nil { // waits for connections that are in use
			t.Fatal(err)
		}
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n") // while nobody is there
		route(t, s, "web", two)
		if got := answered(t, c); got != "two" {
			t.Errorf("then %q", got)
		}
		if got := get(t, unused); got != "two" {
			t.Errorf("on a connection that was not used before: %q", got)
		}
	})
}

func TestARequestUnderWayIsAnsweredFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		may := make(chan struct{})
		one, _ := webServer(t, "one", may)
		two, _ := webServer(t, "two", nil)
		route(t, s, "web", one)
		c := dial(t, to)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-may
		route(t, s, "web", two)
		drained(t, s, "web", time.Millisecond, 1)
		over := make(chan error, 1)
		go func() {
			busy, err := s.Drain(t.Context(), "web", Patience{Within: soon})
			if busy != 0 {
				err = errors.New("still under way")
			}
			over <- err
		}()
		// The engine may ask for other things meanwhile.
		if _, err := s.Ports(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(may)
		if got := answered(t, c); got != "one" {
			t.Errorf("what was asked of one is answered by %q", got)
		}
		if err := <-over; err != nil {
			t.Error(err)
		}
		if got := get(t, c); got != "two" {
			t.Errorf("the next request is answered by %q", got)
		}
	})
}

// What the server may remember of a connection must not be forgotten behind
// the client's back: it sees the end.
func TestAConnectionOfAnotherProtocolStaysWithItsServer(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		for name, first := range map[string]string{
			"the client speaks first": "*1\r\n$4\r\nPING\r\n",
			"the server speaks first": "",
		} {
			to := publish(t, s, Port{Key: name, Proto: TCP, Addr: loopback})
			end := make(chan struct{})
			old := backend(t, func(c *net.TCPConn) {
				io.ReadFull(c, make([]byte, len(first)))
				io.WriteString(c, "hello")
				<-end
				c.Close()
			})
			route(t, s, name, old)
			c := dial(t, to)
			io.WriteString(c, first)
			io.ReadFull(c, make([]byte, len("hello")))
			route(t, s, name, saying(t, "another"))
			drained(t, s, name, soon, 0)
			close(end)
			if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
				t.Errorf("%s: then %q, %v", name, rest, err)
			}
		}
	})
}

func TestAnAnswerThatCannotBeReadIsAwaited(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "db", Proto: TCP, Addr: loopback})
		may := make(chan struct{})
		route(t, s, "db", backend(t, func(c *net.TCPConn) {
			io.ReadFull(c, make([]byte, 1))
			may <- struct{}{}
			<-may
			io.WriteString(c, "\x00result")
			io.Copy(io.Discard, c)
		}))
		c := dial(t, to)
		c.Write([]byte{0})
		<-may
		park(t, s, "db")
		drained(t, s, "db", 100*time.Millisecond, 1)
		close(may)
		drained(t, s, "db", soon, 0)
		if got := make([]byte, 7); true {
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "\x00result" {
				t.Errorf("%q, %v", got, err)
			}
		}
	})
}

// Much is said that wants no answer: an acknowledgement, a line of a log.
func TestWhatIsNotAnsweredHoldsNobodyUpForLong(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		for name, said := range map[string]string{
			"bytes": "\x00", "a line of capitals": "ERROR disk full\n", "lines without an empty one": "GET x\nSET y\n", "bytes after capitals": "AMQP\x00",
		} {
			to := publish(t, s, Port{Key: name, Proto: TCP, Addr: loopback})
			heard := make(chan struct{})
			route(t, s, name, backend(t, func(c *net.TCPConn) {
				io.ReadFull(c, make([]byte, len(said)))
				heard <- struct{}{}
				io.Copy(io.Discard, c)
			}))
			c := dial(t, to)
			io.WriteString(c, said)
			<-heard
			park(t, s, name)
			if busy, err := s.Drain(t.Context(), name, Patience{Within: soon, Unseen: 100 * time.Millisecond}); err != nil || busy != 0 {
				t.Errorf("%s: %d, %v", name, busy, err)
			}
		}
	})
}

// Who has shown a server on a connection who it is would be a stranger to the next.
func TestAConnectionThatIsAuthenticatedStaysWithItsServer(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		one, first := webServer(t, "one", nil)
		two, _ := webServer(t, "two", nil)
		route(t, s, "web", one)
		c := dial(t, to)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Negotiate YII=\r\n\r\n")
		answered(t, c)
		route(t, s, "web", two)
		drained(t, s, "web", soon, 0)
		if got := get(t, c); got != "one" {
			t.Errorf("the next request is answered by %q", got)
		}
		first.Close()
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("then %q, %v", rest, err)
		}
	})
}

// A port that is given up keeps the requests that came by it.
func TestAClosedPortIsDrained(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		may := make(chan struct{})
		one, _ := webServer(t, "one", may)
		route(t, s, "web", one)
		c := dial(t, to)
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		<-may
		if err := s.Close(t.Context(), "web"); err != nil {
			t.Fatal(err)
		}
		drained(t, s, "web", time.Millisecond, 1)
		may <- struct{}{}
		if got := answered(t, c); got != "one" {
			t.Errorf("%q", got)
		}
		drained(t, s, "web", soon, 0)
	})
}

// A greeting that did not come before the old server was left is the new one's.
func TestWhoWaitsForAGreetingGetsTheNextServers(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "mail", Proto: TCP, Addr: loopback})
		route(t, s, "mail", backend(t, func(c *net.TCPConn) { io.Copy(io.Discard, c) }))
		c := dial(t, to)
		waitConns(t, s, "mail", 1)
		park(t, s, "mail")
		drained(t, s, "mail", soon, 0)
		route(t, s, "mail", saying(t, "220 mail"))
		if text, err := io.ReadAll(c); err != nil || string(text) != "220 mail" {
			t.Errorf("%q, %v", text, err)
		}
	})
}

func TestAnEndThatTheAnswerSpeaksOfIsPassedOn(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
		may := make(chan struct{})
		route(t, s, "web", backend(t, func(c *net.TCPConn) {
			io.ReadFull(c, make([]byte, 18))
			io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\npart, ")
			may <- struct{}{}
			<-may
			io.WriteString(c, "whole")
			c.Close()
		}))
		c := dial(t, to)
		io.WriteString(c, "GET / HTTP/1.1\r\n\r\n")
		<-may
		park(t, s, "web")
		drained(t, s, "web", time.Millisecond, 1)
		close(may)
		if got := answered(t, c); got != "part, whole" {
			t.Errorf("%q", got)
		}
	})
}

// Who keeps a connection when the port goes out of service sees its end.
func TestKeptConnectionsEndWithTheService(t *testing.T) {
	onBoth(t, func(t *testing.T, s service) {
		for _, end := range []func(key string) error{
			func(key string) error { return s.Route(t.Context(), key, Route{}) },
			func(key string) error { return s.Close(t.Context(), key) },
		} {
			to := publish(t, s, Port{Key: "web", Proto: TCP, Addr: loopback})
			one, _ := webServer(t, "one", nil)
			route(t, s, "web", one)
			c := dial(t, to)
			get(t, c)
			park(t, s, "web")
			drained(t, s, "web", soon, 0)
			if err := end("web"); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
				t.Errorf("%q, %v", rest, err)
			}
		}
	})
}

// waitConns returns when a port's connections are at their backends.
func waitConns(t *testing.T, s service, key string, n int) {
	t.Helper()
	for deadline := time.Now().Add(soon); time.Now().Before(deadline); {
		ports, err := s.Ports(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ports {
			if p.Key == key && p.Conns == n {
				return
			}
		}
	}
	t.Fatalf("%s has never had %d connections", key, n)
}

// TestNoRequestIsLost replaces servers under requests; ORLOP_REPLACEMENTS says
// how often.
func TestNoRequestIsLost(t *testing.T) {
	times := 50
	if text := os.Getenv("ORLOP_REPLACEMENTS"); text != "" {
		times, _ = strconv.Atoi(text)
	}
	h := InProcess()
	t.Cleanup(h.Release)
	to := publish(t, h, Port{Key: "web", Proto: TCP, Addr: loopback})
	serve := func(i int) (netip.AddrPort, *http.Server) { return webServer(t, fmt.Sprint(i), nil) }
	at, srv := serve(0)
	route(t, h, "web", at)
	ctx, cancel := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var asked atomic.Int64
	answers := make(chan struct{}, 20)
	for i := range 8 {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: i%2 == 0}, Timeout: soon}
		clients.Go(func() {
			for ctx.Err() == nil {
				// A request that must not be sent twice is not tried again by the client.
				resp, err := client.Post("http://"+to.String(), "text/plain", nil)
				if err != nil {
					t.Error(err)
					return
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				asked.Add(1)
				select {
				case answers <- struct{}{}:
				default:
				}
			}
			client.CloseIdleConnections()
		})
	}
	for i := range times {
		for range cap(answers) {
			<-answers
		}
		next, new := serve(i + 1)
		park(t, h, "web")
		drained(t, h, "web", soon, 0)
		srv.Close() // at once, as SIGKILL would
		srv = new
		route(t, h, "web", next)
	}
	cancel()
	clients.Wait()
	t.Logf("%d requests, %d replacements", asked.Load(), times)
}

// BenchmarkRequest measures a request on a kept connection, and what a large
// body adds.
func BenchmarkRequest(b *testing.B) {
	for name, size := range map[string]int{"small": 100, "large": 8 << 20} {
		b.Run(name, func(b *testing.B) {
			body := make([]byte, size)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", strconv.Itoa(size))
				w.Write(body)
			})}
			go srv.Serve(l)
			defer srv.Close()
			h := InProcess()
			defer h.Release()
			to, err := h.Listen(b.Context(), Port{Key: "web", Proto: TCP, Addr: loopback})
			if err != nil {
				b.Fatal(err)
			}
			h.Route(b.Context(), "web", Route{Backends: []netip.AddrPort{localAddr(l.Addr())}})
			b.SetBytes(int64(size))
			for b.Loop() {
				resp, err := http.Get("http://" + to.String())
				if err != nil {
					b.Fatal(err)
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		})
	}
}
