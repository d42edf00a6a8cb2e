package ports

import (
	"context"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/orlop/orlop/keeper"
	"github.com/orlop/orlop/spec"
)

// silent is a keeper that takes what it is told and never answers.
type silent struct{ somePorts }

func (*silent) Route(ctx context.Context, _ string, _ keeper.Route) error {
	<-ctx.Done()
	return context.Cause(ctx)
}

func TestAKeeperThatDoesNotAnswerIsNotWaitedForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		o := Owner{Project: "shop", Service: "web", Number: 1, Ports: []spec.Port{{Target: 80, Published: "80"}, {Target: 81, Published: "81"}}}
		err := New(&silent{}, nobody{}).Lead(ctx, o, netip.Addr{}, true)
		if took := time.Since(began); took > 10*time.Second || err == nil || !strings.Contains(err.Error(), "does not answer") {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
