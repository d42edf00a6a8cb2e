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
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const replacedStack = `
name: %s
services:
  web:
    image: busybox
    command: %s
    volumes: ["./server:/server:ro"]
    ports: ["127.0.0.1:%d:8080"]
    deploy: {update_config: {order: %s}}
`

// TestReplacementsLoseNoRequest replaces and restarts a container while it is
// asked on new and on kept connections, with every core busy. Nothing is asked
// twice: each request is a POST, which no client sends again by itself.
// ORLOP_REPLACEMENTS says how often; the whole measurement is 1000.
func TestReplacementsLoseNoRequest(t *testing.T) {
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
		t.Run(name, func(t *testing.T) { replaceUnderRequests(t, server, c.command, c.order, max(times/3, 1)) })
	}
}

func replaceUnderRequests(t *testing.T, server, command, order string, times int) {
	dir := t.TempDir()
	port := stage.ports(1)[0]
	project := fmt.Sprintf("e%dx", stage.number())
	stack := fmt.Sprintf(replacedStack, project, command, port, order)
	if err := os.Link(server, filepath.Join(dir, "server")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "stack.yaml"), []byte(stack), 0o600); err != nil {
		t.Fatal(err)
	}
	orlop := func(args ...string) {
		t.Helper()
		if out, err := stage.engine.Run(background(), dir, args...); err != nil {
			t.Fatalf("orlop %v: %v\n%s", args, err, out)
		}
	}
	orlop("up", "-d")
	defer orlop("down", "-t", "0")
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
		all.Go(func() { askUntil(ctx, t, fmt.Sprintf("http://127.0.0.1:%d/", port), i%2 == 0, &asked) })
	}
	for i := range times {
		if i%3 == 2 {
			orlop("restart", "web")
		} else {
			orlop("up", "-d", "--force-recreate")
		}
		if t.Failed() {
			break
		}
	}
	cancel()
	all.Wait()
	t.Logf("%d requests, %d replacements", asked.Load(), times)
}

// askUntil sends one request after the other until ctx ends.
func askUntil(ctx context.Context, t *testing.T, url string, isKept bool, asked *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: !isKept}, Timeout: 30 * time.Second}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		resp, err := client.Post(url, "text/plain", nil)
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
