package e2e

import (
	"context"
	"fmt"
	"io"
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
	if missing != nil {
		t.Skip("SKIPPED: " + missing.Error())
	}
	if err := stage.open(); err != nil {
		t.Fatal(err)
	}
	times := 9
	if text := os.Getenv("ORLOP_REPLACEMENTS"); text != "" {
		var err error
		if times, err = strconv.Atoi(text); err != nil || times < 1 {
			t.Fatalf("ORLOP_REPLACEMENTS=%s is no number of replacements", text)
		}
	}
	server := filepath.Join(t.TempDir(), "server")
	build := exec.Command("go", "build", "-o", server, "./testdata/server")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, c := range map[string]struct{ command, order string }{
		"stops in good order": {"/server", "stop-first"},
		"knows no signal":     {"/server deaf", "stop-first"},
		"overlaps":            {"/server deaf", "start-first"},
	} {
		t.Run(name, func(t *testing.T) { replaceFromOutside(t, server, c.command, c.order, max(times/3, 1)) })
	}
}

func replaceFromOutside(t *testing.T, server, command, order string, times int) {
	h, err := lab.NewHost(fmt.Sprintf("oe-%d-%d", os.Getpid()%10000, stage.number()), stage.reaper)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := stage.newEngine(programs(), 0)
	if err != nil {
		t.Fatal(err)
	}
	engine.Netns = h.Path()
	defer engine.Close(background())
	dir := t.TempDir()
	stack := strings.Replace(fmt.Sprintf(replacedStack, "outside", command, 8080, order), "127.0.0.1:", "", 1)
	if err := os.Link(server, filepath.Join(dir, "server")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(stack), 0o600); err != nil {
		t.Fatal(err)
	}
	orlop := func(args ...string) string {
		t.Helper()
		out, err := engine.Run(background(), dir, args...)
		if err != nil {
			t.Fatalf("orlop %v: %v", args, err)
		}
		return out
	}
	orlop("image", "load", archive("busybox"))
	orlop("up", "-d")
	defer orlop("down", "-t", "0")
	goesByKernel := func() {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; {
			said := orlop("port", "--verbose", "web", "8080")
			if strings.Contains(said, "  kernel") {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("it does not go by the kernel: %s", said)
			}
		}
	}
	goesByKernel()
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
			orlop("restart", "web")
		} else {
			orlop("up", "-d", "--force-recreate")
		}
		if i%2 == 0 {
			goesByKernel() // else the next comes while it may not yet
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
