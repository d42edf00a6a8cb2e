package inventory

import (
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// TestWhatAPruneOfTheCacheWouldRemove: what stays is what was used last, and what a build uses.
func TestWhatAPruneOfTheCacheWouldRemove(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	used := func(size int64, ago time.Duration) *controlapi.UsageRecord {
		return &controlapi.UsageRecord{Size: size, LastUsedAt: timestamppb.New(now.Add(-ago))}
	}
	shared, busy := used(1000, time.Hour), used(30, time.Hour)
	shared.Shared, busy.InUse = true, true
	list := []*controlapi.UsageRecord{used(100, time.Hour), used(10, time.Minute), shared, busy}
	for name, c := range map[string]struct {
		req  *controlapi.PruneRequest
		want int64
	}{
		"all":                {&controlapi.PruneRequest{}, 110},
		"old":                {&controlapi.PruneRequest{KeepDuration: int64(30 * time.Minute)}, 100},
		"but 60":             {&controlapi.PruneRequest{ReservedSpace: 60}, 80},
		"but 10, of what":    {&controlapi.PruneRequest{ReservedSpace: 10}, 110},
		"less than it keeps": {&controlapi.PruneRequest{ReservedSpace: 500}, 0},
	} {
		if got := removable(list, c.req, now); got != c.want {
			t.Errorf("%s: %d would go, want %d", name, got, c.want)
		}
	}
}
