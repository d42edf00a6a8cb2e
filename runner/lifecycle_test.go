package runner

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/record"
	"github.com/orlop/orlop/runner/supervisor"
)

func TestAContainerThatEndsIsStartedAgain(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	c := h.add(t, r, of(planner.Created, "always"))
	must(t, c.start(r.ctx))
	h.procs.mu.Lock()
	h.procs.refusal = errors.New("not now")
	h.procs.mu.Unlock()
	h.procs.end(t, c.id)
	// The first try fails, and is followed by another.
	got := r.awaitState(t, c.id, "running again", func(k planner.Container) bool { return k.State == planner.Running && k.Restarts > 0 })
	if got.Restarts != 2 || stored(t, r, c.id).Restarts != 2 {
		t.Errorf("restarts are %d, saved %d", got.Restarts, stored(t, r, c.id).Restarts)
	}
	must(t, c.stop(r.ctx, Grace{}, true))
	if got := stored(t, r, c.id); got.State != planner.Exited || !got.Stopped || got.ExitCode != 143 {
		t.Errorf("after a stop %+v", got.Status)
	}
}

func TestWaysOfEndingAContainer(t *testing.T) {
	for name, test := range map[string]struct {
		end     func(r *Runner, c *container) error
		stopped bool
		code    int
	}{
		"stop":                {func(r *Runner, c *container) error { return c.stop(r.ctx, Grace{}, true) }, true, 143},
		"stop for a purpose":  {func(r *Runner, c *container) error { return c.stop(r.ctx, Grace{}, false) }, false, 143},
		"stop without grace":  {func(r *Runner, c *container) error { return c.stop(r.ctx, Grace{Set: true}, true) }, true, 137},
		"kill":                {func(r *Runner, c *container) error { return c.kill(r.ctx, "") }, true, 137},
		"kill all":            {func(r *Runner, c *container) error { r.KillAll(r.ctx, "shop"); return nil }, true, 137},
		"stop, with a signal": {func(r *Runner, c *container) error { c.made.StopSignal = "SIGINT"; return c.stop(r.ctx, Grace{}, true) }, true, 130},
	} {
		h := newHost(t)
		r := h.engine(t)
		c := h.add(t, r, of(planner.Created, "always"))
		must(t, c.start(r.ctx))
		if err := test.end(r, c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got := r.awaitState(t, c.id, "exited", in(planner.Exited))
		if got.Stopped != test.stopped || got.ExitCode != test.code || got.PID != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if got := stored(t, r, c.id); got.State != planner.Exited || got.Wanted {
			t.Errorf("%s: saved is %+v", name, got.Status)
		}
		must(t, c.remove(r.ctx, Grace{}, true))
		if docs, _ := h.store.Load(record.Bucket); len(docs) > 0 || r.lookup(c.id) != nil {
			t.Errorf("%s: after its removal %v", name, docs)
		}
		if _, err := h.containers.Get(r.ctx, c.id); err == nil {
			t.Errorf("%s: containerd still has it after its removal", name)
		}
		r.Close()
	}
}

func TestAKillThatEndsAContainerStopsIt(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	c := h.add(t, r, of(planner.Created, "always"))
	if err := c.kill(r.ctx, ""); !errors.Is(err, ErrNotRunning) {
		t.Errorf("a kill of what does not run: %v", err)
	}
	must(t, c.start(r.ctx))
	must(t, c.kill(r.ctx, "TERM"))
	if got := r.awaitState(t, c.id, "exited", in(planner.Exited)); !got.Stopped || got.ExitCode != 143 {
		t.Errorf("%+v", got)
	}
}

func TestAStopMayBeginWithAnotherSignal(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	c := h.add(t, r, of(planner.Created, "always"))
	must(t, c.start(r.ctx))
	if err := c.stop(r.ctx, Grace{Signal: "NOSUCH"}, true); err == nil || c.snapshot().State != planner.Running {
		t.Errorf("a signal that there is not: %v, it is %s", err, c.snapshot().State)
	}
	must(t, c.stop(r.ctx, Grace{Signal: "INT"}, true))
	if got := r.awaitState(t, c.id, "exited", in(planner.Exited)); !got.Stopped || got.ExitCode != 130 {
		t.Errorf("%+v", got)
	}
}

// What the next engine finds of the process decides what becomes of it.
func TestTheNextEngineGoesOnFromWhatItFinds(t *testing.T) {
	for name, test := range map[string]struct {
		restart string
		before  func(t *testing.T, h *host, r *Runner, c *container)
		as      func(k planner.Container) bool
	}{
		"it runs": {"no", func(*testing.T, *host, *Runner, *container) {}, in(planner.Running)},
		"it has ended": {"no", func(t *testing.T, h *host, r *Runner, c *container) {
			r.cancel()
			h.procs.end(t, c.id)
		}, func(k planner.Container) bool { return k.State == planner.Exited && k.ExitCode == 137 && !k.Stopped }},
		"it has ended, and is wanted": {"always", func(t *testing.T, h *host, r *Runner, c *container) {
			r.cancel()
			h.procs.end(t, c.id)
		}, func(k planner.Container) bool { return k.State == planner.Running && k.Restarts == 1 }},
		"it was being stopped": {"always", func(t *testing.T, h *host, r *Runner, c *container) {
			c.apply(supervisor.StopAsked{ByUser: true})
		}, func(k planner.Container) bool { return k.State == planner.Exited && k.Stopped && k.ExitCode == 137 }},
		"it waited for another try": {"always", func(t *testing.T, h *host, r *Runner, c *container) {
			h.procs.mu.Lock()
			h.procs.refusal = errors.New("not now")
			h.procs.mu.Unlock()
			h.procs.end(t, c.id)
			r.awaitState(t, c.id, "restarting", in(planner.Restarting))
		}, in(planner.Running)},
		"its start was not told of": {"always", func(t *testing.T, h *host, r *Runner, c *container) {
			h.store.Save(record.Bucket, c.id, []byte(`{"state":"exited","stopped":true}`))
		}, func(k planner.Container) bool { return k.State == planner.Running && !k.Stopped }},
	} {
		h := newHost(t)
		r := h.engine(t)
		c := h.add(t, r, of(planner.Created, test.restart))
		must(t, c.start(r.ctx))
		test.before(t, h, r, c)
		r.Close()
		r = h.engine(t)
		must(t, r.adopt(r.ctx))
		t.Log(name)
		r.awaitState(t, c.id, name, test.as)
		r.Close()
	}
}

func TestAOneOffGoesWithItsEnd(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	rec := of(planner.Created, "")
	rec.OneOff, rec.AutoRemove = true, true
	c := h.add(t, r, rec)
	must(t, c.start(r.ctx))
	h.procs.end(t, c.id)
	select {
	case <-c.over:
	case <-time.After(5 * time.Second):
		t.Fatal("nothing follows from its end")
	}
	if r.lookup(c.id) != nil {
		t.Error("it is still there")
	}
}

// A process that has lost its parent does not run on, and counts as failed.
func TestAProcessThatLosesItsParentIsKilled(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	c := h.add(t, r, of(planner.Created, "no"))
	must(t, c.start(r.ctx))
	k, err := h.procs.of(c.id)
	must(t, err)
	close(h.procs.gone)
	<-k.ended
	got := r.awaitState(t, c.id, "exited", in(planner.Exited))
	if got.ExitCode != supervisor.ShimLost || got.Error != "its shim was lost" || got.Stopped {
		t.Errorf("it is %+v", got)
	}
	if saved := stored(t, r, c.id); saved.ExitCode != supervisor.ShimLost || saved.Error == "" {
		t.Errorf("saved is %+v", saved.Status)
	}
}

// sharing is the record of a container that has the network of another.
func sharing(mode string) *supervisor.Record {
	rec := of(planner.Created, "no")
	rec.Service, rec.Name, rec.Applied.Service.NetworkMode = "side", "shop-side-1", mode
	return rec
}

func TestWhoSharesANetworkStartsInThatOfItsOwner(t *testing.T) {
	for _, mode := range []string{"service:web", "container:shop-web-1"} {
		h := newHost(t)
		r := h.engine(t)
		rec := sharing(mode)
		side := h.add(t, r, rec)
		if err := side.start(r.ctx); err == nil || !strings.Contains(err.Error(), "is there to share the network of") {
			t.Errorf("%s, without an owner: %v", mode, err)
		}
		before := of(planner.Created, "no")
		before.Netns, before.Addresses = "/run/n/1", []string{"10.0.0.2"}
		owner := h.add(t, r, before)
		must(t, side.start(r.ctx))
		check := func(netns, address string) {
			t.Helper()
			got := side.snapshot()
			k, err := h.containers.Get(r.ctx, side.id)
			must(t, err)
			kept, err := supervisor.ReadRecord(&k, nil)
			must(t, err)
			if got.Netns != netns || kept.Netns != netns || !strings.Contains(string(k.Spec.GetValue()), netns) || !slices.Equal(got.Addresses, []string{address}) {
				t.Errorf("%s: it is in %s at %v, kept is %s, its document is %s", mode, got.Netns, got.Addresses, kept.Netns, k.Spec.GetValue())
			}
			if r.isAdrift(&got) {
				t.Errorf("%s: it counts as left behind", mode)
			}
		}
		check("/run/n/1", "10.0.0.2")
		first := side.observe().PID

		made := owner.snapshot().Metadata
		made.Netns = "/run/n/2"
		must(t, owner.amend(r.ctx, made, nil))
		owner.apply(supervisor.Connected{Addresses: []string{"10.0.0.3"}})
		if rec := side.snapshot(); !r.isAdrift(&rec) || !r.isLeftBehind(side, "shop", "web") {
			t.Errorf("%s: its owner was made anew, and it does not count as left behind", mode)
		}
		r.leadSharers(r.ctx, &Order{Project: "shop"}, "web", func(planner.Event) {})
		check("/run/n/2", "10.0.0.3")
		if side.observe().PID == first {
			t.Errorf("%s: it was not restarted", mode)
		}
		r.Close()
	}
}

// A process may be lost with its shim, and its end not told of yet, as it is changed in
// place: its successor has the limits from its document.
func TestLimitsOfAProcessThatIsLostAreThoseOfItsSuccessor(t *testing.T) {
	h := newHost(t)
	r := h.engine(t)
	c := h.add(t, r, of(planner.Created, "always"))
	must(t, c.start(r.ctx))
	h.procs.mu.Lock()
	lost := h.procs.all[c.id]
	delete(h.procs.all, c.id)
	h.procs.mu.Unlock()
	err := c.limit(r.ctx, c.snapshot().Applied.Service, c.snapshot().Applied.Service)
	h.procs.mu.Lock()
	h.procs.all[c.id] = lost
	h.procs.mu.Unlock()
	if err != nil {
		t.Error(err)
	}
}
