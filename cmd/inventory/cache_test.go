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
		"but 60":             {&controlapi.PruneRequest{ReservedSpace: 60}, 100},
		"but 10, of what":    {&controlapi.PruneRequest{ReservedSpace: 10}, 110},
		"less than it keeps": {&controlapi.PruneRequest{ReservedSpace: 500}, 0},
	} {
		if _, got := victims(list, c.req, now); got != c.want {
			t.Errorf("%s: %d would go, want %d", name, got, c.want)
		}
	}
}

// TestPruneTakesWholeRecords: as BuildKit does, one after the other, until the rest is smaller than what is kept.
func TestPruneTakesWholeRecords(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	record := func(id string, size int64, ago time.Duration, count int64, kind string, parents ...string) *controlapi.UsageRecord {
		return &controlapi.UsageRecord{ID: id, Size: size, LastUsedAt: timestamppb.New(now.Add(-ago)), UsageCount: count, RecordType: kind, Parents: parents}
	}
	for name, c := range map[string]struct {
		list    []*controlapi.UsageRecord
		keep    int64
		records int
		bytes   int64
	}{
		"a large one for little":       {[]*controlapi.UsageRecord{record("a", 102, time.Hour, 1, ""), record("b", 6, time.Minute, 1, "")}, 95, 1, 102},
		"the oldest first":             {[]*controlapi.UsageRecord{record("a", 10, time.Minute, 1, ""), record("b", 30, time.Hour, 1, "")}, 35, 1, 30},
		"what is used often stays":     {[]*controlapi.UsageRecord{record("a", 10, time.Hour, 1, ""), record("b", 30, time.Hour, 7, "")}, 35, 1, 10},
		"children before their parent": {[]*controlapi.UsageRecord{record("a", 50, time.Hour, 1, ""), record("b", 7, time.Minute, 9, "", "a")}, 57, 1, 7},
		"then the parent":              {[]*controlapi.UsageRecord{record("a", 50, time.Hour, 1, ""), record("b", 7, time.Minute, 9, "", "a")}, 50, 2, 57},
		"BuildKit's own stay":          {[]*controlapi.UsageRecord{record("a", 50, time.Hour, 1, "internal"), record("b", 7, time.Minute, 1, "frontend", "a")}, 1, 0, 0},
		"and what they are made of":    {[]*controlapi.UsageRecord{record("a", 50, time.Hour, 1, ""), record("b", 7, time.Minute, 1, "frontend", "a")}, 0, 0, 0},
	} {
		records, bytes := victims(c.list, &controlapi.PruneRequest{ReservedSpace: c.keep}, now)
		if records != c.records || bytes != c.bytes {
			t.Errorf("%s: %d records with %d would go, want %d with %d", name, records, bytes, c.records, c.bytes)
		}
	}
}
