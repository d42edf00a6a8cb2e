package engine

import (
	"context"
	"testing"

	"google.golang.org/grpc/metadata"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/mailbox"
	"github.com/orlop/orlop/planner"
)

// called is the context of a call of a command with a verb.
func called(t *testing.T, verb string) context.Context {
	return metadata.NewIncomingContext(t.Context(), metadata.Pairs("orlop-verb", verb, "orlop-process", "4711"))
}

// TestOnlyWhatAUserAsksForEndsOthers: a watch, and an up that restarts, leave
// alone what somebody else has begun.
func TestOnlyWhatAUserAsksForEndsOthers(t *testing.T) {
	for name, c := range map[string]struct {
		verb   string
		action planner.Action
		want   bool
	}{
		"a stop":             {"stop", planner.Stop, true},
		"a restart":          {"restart", planner.Restart, true},
		"a watch's restart":  {"watch", planner.Restart, false},
		"an up's restart":    {"up", planner.Restart, false},
		"an up's stop":       {"up", planner.Stop, true}, // its first interrupt
		"who does not say":   {"", planner.Stop, true},
		"a watch's stopping": {"watch", planner.Stop, false},
	} {
		if got := isAsked(called(t, c.verb), c.action); got != c.want {
			t.Errorf("%s ends others: %t", name, got)
		}
	}
}

// TestAClaimSaysWhoseItIs: of what the caller was called with; verbs have their
// own words.
func TestAClaimSaysWhoseItIs(t *testing.T) {
	if c := newClaim(called(t, "ci"), "up", "shop"); c.String() != "ci of shop (process 4711)" {
		t.Error(c)
	}
	if c := newClaim(t.Context(), "up", "shop"); c.String() != "up of shop" {
		t.Error(c)
	}
	if verbOf(planner.Remove) != "rm" || verbOf(planner.Stop) != "stop" {
		t.Error(verbOf(planner.Remove), verbOf(planner.Stop))
	}
}

// TestAKillWaitsForNobody: it is the way out of what waits. A fatal signal ends
// what brings things up, any other one does not.
func TestAKillWaitsForNobody(t *testing.T) {
	for signal, ends := range map[string]bool{"SIGKILL": true, "SIGHUP": false} {
		t.Run(signal, func(t *testing.T) {
			d := newDesk(t)
			held, release, err := d.locks.take(d.ctx, "shop", up(1), func(string) {})
			if err != nil {
				t.Fatal(err)
			}
			if ends { // it waits for what was begun, to kill that too
				context.AfterFunc(held, release)
			} else {
				defer release()
			}
			_, _, verdict := told(t, func(box *mailbox.Box) error {
				return d.lifecycle(d.ctx, &api.LifecycleRequest{Project: "shop", Action: "kill", Signal: signal}, box)
			})
			if !verdict.Ok {
				t.Error(verdict)
			}
			ended := context.Cause(held)
			if (ended != nil) != ends || ends && ended.Error() != "ended by kill of shop" {
				t.Errorf("the up ends with %v", ended)
			}
		})
	}
}
