package engine

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/orlop/orlop/api"
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
	box := newMailbox(send)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				box.tell(planner.Event{Step: fmt.Sprint(i)})
			}
		})
	}
	wg.Wait()
	if err := box.close(); err != nil {
		t.Error(err)
	}
	if sent != 160 {
		t.Errorf("%d events were sent, want 160", sent)
	}
}

func TestPrintsTellAChangeAndNothingElse(t *testing.T) {
	s, _ := open(t, filepath.Join(t.TempDir(), "engine.db"))
	defer s.Close()
	e := &Engine{store: s}
	payload := func(text string) map[string]*api.Payload {
		return map[string]*api.Payload{"secrets.key": {Content: []byte(text), Secret: true}}
	}
	a, b, c := e.payloadDigests("p", payload("hunter2")), e.payloadDigests("p", payload("hunter2")), e.payloadDigests("p", payload("hunter3"))
	if a["secrets.key"] != b["secrets.key"] || a["secrets.key"] == c["secrets.key"] {
		t.Errorf("%v, %v, %v", a, b, c)
	}
	if other := e.payloadDigests("q", payload("hunter2")); other["secrets.key"] == a["secrets.key"] {
		t.Error("two projects with one secret have one print")
	}
	if strings.Contains(a["secrets.key"], "hunter2") || len(a["secrets.key"]) != 24 {
		t.Errorf("the print is %q", a["secrets.key"])
	}
}
