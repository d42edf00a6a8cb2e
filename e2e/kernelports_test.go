package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/orlop/orlop/e2e/lab"
)

// TestReplacementsRefuseNobodyOutside replaces and restarts a container while clients from
// outside come, whom the kernel sends to it: none is refused and none cut. New connections
// carry POSTs, which no client sends again by itself; on kept ones, which end with their
// server, it is GETs. ORLOP_REPLACEMENTS says how often; the whole measurement is 1000.
func TestReplacementsRefuseNobodyOutside(t *testing.T) {
	times := 9
	if text := os.Getenv("ORLOP_REPLACEMENTS"); text != "" {
		var err error
		if times, err = strconv.Atoi(text); err != nil || times < 1 {
			t.Fatalf("ORLOP_REPLACEMENTS=%s is no number of replacements", text)
		}
	}
	for name, c := range map[string]struct{ command, order string }{
		"stops in good order": {"/server", "stop-first"},
		"knows no signal":     {"/server deaf", "stop-first"},
		"overlaps":            {"/server deaf", "start-first"},
	} {
		t.Run(name, func(t *testing.T) { replaceFromOutside(t, c.command, c.order, max(times/3, 1)) })
	}
}

// hostOutside is a host with an outside.
func hostOutside(t *testing.T) *lab.Host {
	t.Helper()
	if missing != nil {
		t.Skip("SKIPPED: " + missing.Error())
	}
	if err := stage.open(); err != nil {
		t.Fatal(err)
	}
	h, err := lab.NewHost(fmt.Sprintf("oe-%d-%d", os.Getpid()%10000, stage.number()), stage.reaper)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// site is a stack with a service web on an engine of its own.
type site struct {
	t      *testing.T
	engine *lab.Engine
	dir    string
	port   string // of the container
}

// newSite brings a stack up on a host: its service web answers at a port, as the command
// says, and goes by the kernel.
func newSite(t *testing.T, h *lab.Host, port int, command, order string) *site {
	t.Helper()
	return bringUp(t, h, strings.Replace(fmt.Sprintf(replacedStack, "outside", command, port, order), "127.0.0.1:", "", 1), "8080")
}

func bringUp(t *testing.T, h *lab.Host, stack, port string) *site {
	t.Helper()
	engine, err := stage.newEngine(programs(), 0)
	if err != nil {
		t.Fatal(err)
	}
	engine.Netns = h.Path()
	t.Cleanup(func() { engine.Close(background()) })
	s := &site{t, engine, t.TempDir(), port}
	build := exec.Command("go", "build", "-o", filepath.Join(s.dir, "server"), "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(s.dir, "stack.yaml"), []byte(stack), 0o600); err != nil {
		t.Fatal(err)
	}
	s.orlop("image", "load", archive("busybox"))
	s.orlop("up", "-d")
	t.Cleanup(func() { s.orlop("down", "-t", "0") })
	s.awaitKernel()
	return s
}

func (s *site) orlop(args ...string) string {
	s.t.Helper()
	out, err := s.engine.Run(background(), s.dir, args...)
	if err != nil {
		s.t.Fatalf("orlop %v: %v", args, err)
	}
	return out
}

// awaitKernel waits until the port goes by the kernel.
func (s *site) awaitKernel() {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		said := s.orlop("port", "--verbose", "web", s.port)
		if strings.Contains(said, "  kernel\n") {
			return
		}
		if time.Now().After(end) {
			s.t.Fatalf("it does not go by the kernel: %s", said)
		}
	}
}

func replaceFromOutside(t *testing.T, command, order string, times int) {
	h := hostOutside(t)
	s := newSite(t, h, 8080, command, order)
	ctx, cancel := context.WithCancel(background())
	var all sync.WaitGroup
	for range runtime.NumCPU() {
		all.Go(func() {
			for ctx.Err() == nil { // keeps a core busy
			}
		})
	}
	var asked atomic.Int64
	for i := range 6 {
		all.Go(func() { askOutside(ctx, t, h, i%2 == 0, &asked) })
	}
	for i := range times {
		if i%3 == 2 {
			s.orlop("restart", "web")
		} else {
			s.orlop("up", "-d", "--force-recreate")
		}
		if i%2 == 0 {
			s.awaitKernel() // else the next comes while it may not yet
		}
		if t.Failed() {
			break
		}
	}
	cancel()
	all.Wait()
	t.Logf("%d requests, %d replacements", asked.Load(), times)
}

// askOutside sends one request after the other from outside until ctx ends.
func askOutside(ctx context.Context, t *testing.T, h *lab.Host, isKept bool, asked *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: !isKept, DialContext: h.DialOutside}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	method := http.MethodPost
	if isKept {
		method = http.MethodGet
	}
	for ctx.Err() == nil {
		req, err := http.NewRequest(method, "http://"+lab.HostAddress+":8080/", nil)
		if err != nil {
			t.Error(err)
			return
		}
		resp, err := client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		if err != nil {
			t.Errorf("kept connections %t: %v", isKept, err)
			return
		}
		asked.Add(1)
	}
}

// talk asks on an open connection.
func talk(c net.Conn) error {
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// TestConnectionsByTheKernelOutliveTheEngineAndItsKeeper: the rule goes with the engine, what
// it has led to the container goes on.
func TestConnectionsByTheKernelOutliveTheEngineAndItsKeeper(t *testing.T) {
	h := hostOutside(t)
	s := newSite(t, h, 8080, "/server", "stop-first")
	c, err := h.DialOutside(background(), "tcp", lab.HostAddress+":8080")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	rules := func() string {
		t.Helper()
		out, err := exec.Command("nsenter", "--net="+h.Path(), "nft", "list", "tables").CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	for _, with := range []struct {
		what   string
		keeper bool
	}{{"the engine", false}, {"the engine and its keeper", true}} {
		if err := talk(c); err != nil {
			t.Fatalf("before %s is killed: %v", with.what, err)
		}
		if !strings.Contains(rules(), "_ports") {
			t.Error("there is no table")
		}
		if err := s.engine.Kill(background(), with.keeper); err != nil {
			t.Fatal(err)
		}
		if with.keeper && strings.Contains(rules(), "_ports") {
			t.Errorf("without %s there is a table: %s", with.what, rules())
		}
		if err := talk(c); err != nil {
			t.Fatalf("after %s was killed: %v", with.what, err)
		}
		s.orlop("up", "-d")
		s.awaitKernel()
	}
	if err := talk(c); err != nil {
		t.Errorf("with the next ones: %v", err)
	}
	// Of a container that is gone the client hears.
	s.orlop("rm", "-sf", "web")
	if err := talk(c); err == nil {
		t.Error("a container that was removed answers")
	}
}

// TestEnginesPublishBesideEachOther: each is the other's client, by the kernel and by the keeper.
func TestEnginesPublishBesideEachOther(t *testing.T) {
	h := hostOutside(t)
	one, two := newSite(t, h, 8080, "/server", "stop-first"), newSite(t, h, 8081, "/server", "stop-first")
	for _, port := range []string{"8080", "8081"} {
		c, err := h.DialOutside(background(), "tcp", net.JoinHostPort(lab.HostAddress, port))
		if err != nil {
			t.Fatal(err)
		}
		if err := talk(c); err != nil {
			t.Errorf("from outside, at %s: %v", port, err)
		}
		c.Close()
	}
	one.orlop("exec", "-T", "web", "wget", "-q", "-O", "-", "http://"+lab.HostAddress+":8081/")
	two.orlop("exec", "-T", "web", "wget", "-q", "-O", "-", "http://"+lab.HostAddress+":8080/")
	one.orlop("engine", "stop")
	two.awaitKernel()
	two.orlop("exec", "-T", "web", "wget", "-q", "-O", "-", "http://"+lab.HostAddress+":8081/")
}

// TestDatagramsFollowTheContainer: a client that goes on from one socket is heard by the next
// container, and by an engine that has none of the last one's notes.
func TestDatagramsFollowTheContainer(t *testing.T) {
	h := hostOutside(t)
	s := bringUp(t, h, `
name: outside
services:
  web: {image: busybox, command: /server datagrams, volumes: ["./server:/server:ro"], ports: ["8053:53/udp"], stop_grace_period: 0s}
`, "53/udp")
	c, err := h.DialOutside(background(), "udp", lab.HostAddress+":8053")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// ask says who answers: a datagram may be lost.
	ask := func() string {
		t.Helper()
		answer := make([]byte, 100)
		for range 20 {
			if _, err := c.Write([]byte("who")); err == nil {
				_ = c.SetReadDeadline(time.Now().Add(time.Second))
				if n, err := c.Read(answer); err == nil {
					return strings.TrimSpace(string(answer[:n]))
				}
			}
		}
		t.Fatal("nobody answers")
		return ""
	}
	drain := func() { // answers that came twice
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		for buffer := make([]byte, 100); ; {
			if _, err := c.Read(buffer); err != nil {
				return
			}
		}
	}
	first := ask()
	s.orlop("up", "-d", "--force-recreate")
	drain()
	second := ask()
	if first == second {
		t.Errorf("%s answers after its replacement", first)
	}
	s.awaitKernel()
	if got := ask(); got != second {
		t.Errorf("%s answers, and not %s", got, second)
	}
	if err := s.engine.Kill(background(), true); err != nil {
		t.Fatal(err)
	}
	s.orlop("up", "-d", "--force-recreate")
	drain()
	if got := ask(); got == second {
		t.Errorf("%s answers after its replacement by another engine", got)
	}
}
