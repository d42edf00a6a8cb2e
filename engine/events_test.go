package engine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/mailbox"
	"github.com/orlop/orlop/planner"
)

func TestEventsAreSentOneAtATime(t *testing.T) {
	var inside, sent int // guarded by the sender itself: the race detector tells
	send := func(p *api.Progress) error {
		inside++
		if inside != 1 {
			t.Error("two sends at once")
		}
		if p.GetEvent().GetStep() == "" {
			t.Errorf("sent %v", p)
		}
		sent++
		inside--
		return nil
	}
	box := mailbox.New(send)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				box.Tell(planner.Event{Step: fmt.Sprint(i)})
			}
		})
	}
	wg.Wait()
	if err := box.Close(); err != nil {
		t.Error(err)
	}
	if sent != 160 {
		t.Errorf("%d events were sent, want 160", sent)
	}
}

func digestsOf(t *testing.T, e *Engine, project string, payloads map[string]*api.Payload) map[string]string {
	t.Helper()
	digests, err := e.payloadDigests(project, payloads)
	if err != nil {
		t.Fatal(err)
	}
	return digests
}

// TestTheKeyOfDigestsIsKept: a file that can't be read is no reason for another key,
// with which all secrets would count as changed.
func TestTheKeyOfDigestsIsKept(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "engine.db"))
	defer s.Close()
	old := []byte(strings.Repeat("k", 32))
	s.Save(bucketEngine, oldDigestKey, old)
	e := &Engine{store: s, cfg: Config{Root: t.TempDir()}}
	path := filepath.Join(e.cfg.Root, "digest-key")
	if key, err := e.digestKey(); err != nil || !bytes.Equal(key, old) {
		t.Fatalf("the key of the store becomes %q: %v", key, err)
	}
	if text, err := os.ReadFile(path); err != nil || !bytes.Equal(text, old) || s.Get(bucketEngine, oldDigestKey) != nil {
		t.Errorf("the file has %q (%v), the store %q", text, err, s.Get(bucketEngine, oldDigestKey))
	}
	if err := errors.Join(os.Remove(path), os.Mkdir(path, 0o700)); err != nil {
		t.Fatal(err)
	}
	if key, err := e.digestKey(); err == nil {
		t.Errorf("a key that can't be read becomes %q", key)
	}
}

func TestPrintsTellAChangeAndNothingElse(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "engine.db"))
	defer s.Close()
	e := &Engine{store: s, cfg: Config{Root: t.TempDir()}}
	payload := func(text string) map[string]*api.Payload {
		return map[string]*api.Payload{"secrets.key": {Content: []byte(text), Secret: true}}
	}
	a, b, c := digestsOf(t, e, "p", payload("hunter2")), digestsOf(t, e, "p", payload("hunter2")), digestsOf(t, e, "p", payload("hunter3"))
	if a["secrets.key"] != b["secrets.key"] || a["secrets.key"] == c["secrets.key"] {
		t.Errorf("%v, %v, %v", a, b, c)
	}
	if other := digestsOf(t, e, "q", payload("hunter2")); other["secrets.key"] == a["secrets.key"] {
		t.Error("two projects with one secret have one print")
	}
	if strings.Contains(a["secrets.key"], "hunter2") || len(a["secrets.key"]) != 24 {
		t.Errorf("the print is %q", a["secrets.key"])
	}
}
