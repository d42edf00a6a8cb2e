package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/orlop/orlop/e2e/guest/machine"
)

// asked is set by "make guest": these tests take minutes, and a processor.
const asked = "ORLOP_GUEST"

// testLimit is for one test, on a busy host.
const testLimit = 20 * time.Minute

// guest is a machine of a test with a disk of its own.
type guest struct {
	*trial
	t   *testing.T
	ctx context.Context
}

// newGuest makes a machine that has the base image.
func newGuest(t *testing.T, options machine.Options) *guest {
	t.Helper()
	return newGuestWith(t, options, func() map[string]string { return nil })
}

// newGuestWith is newGuest with more files.
func newGuestWith(t *testing.T, options machine.Options, more func() map[string]string) *guest {
	t.Helper()
	if os.Getenv(asked) == "" {
		t.Skip("SKIPPED: a test in a machine of its own: run \"make guest\"")
	}
	ctx, cancel := context.WithTimeout(t.Context(), testLimit)
	t.Cleanup(cancel)
	stacks, err := files()
	if err != nil {
		t.Fatal(err)
	}
	maps.Copy(stacks, more())
	g, err := machine.Prepare(ctx, filepath.Join("..", ".."), stacks)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("/var/tmp", "orlop-guest-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	tr, err := newTrial(ctx, g, dir, "")
	if err != nil {
		t.Fatal(err)
	}
	tr.options = options
	t.Cleanup(tr.close)
	m := &guest{trial: tr, t: t, ctx: ctx}
	m.start()
	m.run("orlop", "image", "load", "/images/busybox.tar")
	return m
}

// start boots the machine and its engine.
func (g *guest) start() {
	g.t.Helper()
	if _, err := g.boot(g.ctx); err != nil {
		g.t.Fatal(err)
	}
}

// run runs a command that must succeed; its output is both of its streams.
func (g *guest) run(argv ...string) string {
	g.t.Helper()
	r, err := g.machine.Try(g.ctx, argv...)
	if err == nil && r.Code != 0 {
		err = fmt.Errorf("exit code %d", r.Code)
	}
	if err != nil {
		log, _ := g.machine.Try(g.ctx, "sh", "-c", "tail -n 30 /var/lib/orlop/log/*")
		g.t.Fatalf("%s: %v\n%s%s\n%s", strings.Join(argv, " "), err, r.Output, r.Errors, log.Output)
	}
	return r.Output + r.Errors
}

// wants runs a command whose output must match.
func (g *guest) wants(pattern string, argv ...string) {
	g.t.Helper()
	if out := g.run(argv...); !regexp.MustCompile(pattern).MatchString(out) {
		g.t.Fatalf("%s says\n%s\nwhich does not match %s", strings.Join(argv, " "), out, pattern)
	}
}

// heard is what a command in the guest prints on and on.
type heard struct {
	g    *guest
	argv []string
	mu   sync.Mutex // guards text and news
	text string
	news chan struct{} // closed at the next text
}

func (g *guest) hear(argv ...string) *heard {
	g.t.Helper()
	h := &heard{g: g, argv: argv, news: make(chan struct{})}
	if _, err := g.machine.Start(h.add, argv...); err != nil {
		g.t.Fatal(err)
	}
	return h
}

func (h *heard) add(output []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.text += string(output)
	close(h.news)
	h.news = make(chan struct{})
}

func (h *heard) all() (string, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text, h.news
}

// await waits until the text matches so many times more than before.
func (h *heard) await(pattern string, times int) {
	h.g.t.Helper()
	re := regexp.MustCompile(pattern)
	for {
		text, news := h.all()
		if len(re.FindAllString(text, -1)) >= times {
			return
		}
		select {
		case <-news:
		case <-h.g.ctx.Done():
			h.g.t.Fatalf("%s does not say %s %d times, but\n%s", strings.Join(h.argv, " "), pattern, times, text)
		}
	}
}
