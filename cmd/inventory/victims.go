package inventory

import (
	"cmp"
	"slices"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"
)

// candidate is a record of the build cache that a prune may come to.
type candidate struct {
	*controlapi.UsageRecord
	children int // that are still there: a record stays as long as one is made of it
	isGone   bool
}

// victims foresees which records a prune removes, by BuildKit's own rule: with a size to keep, whole records go, one after the
// other, until the rest is smaller than that. Which of two of the same rank goes first is BuildKit's choice.
func victims(list []*controlapi.UsageRecord, req *controlapi.PruneRequest, now time.Time) (records int, bytes int64) {
	byID := map[string]*candidate{}
	var all []*candidate
	for _, r := range list {
		c := &candidate{UsageRecord: r}
		byID[r.ID], all = c, append(all, c)
	}
	visitParents := func(c *candidate, by int) {
		for _, id := range c.Parents {
			if parent := byID[id]; parent != nil {
				parent.children += by
			}
		}
	}
	for _, c := range all {
		visitParents(c, 1)
	}
	rank := newRanking(all)
	for left := cacheUse(list).bytes; req.ReservedSpace == 0 || left >= req.ReservedSpace; {
		next := rank.first(func(c *candidate) bool { return c.mayGo(req, now) })
		if next == nil {
			break
		}
		next.isGone = true
		visitParents(next, -1)
		records++
		bytes, left = bytes+next.Size, left-next.Size
	}
	return records, bytes
}

// mayGo says that a prune may remove a record now.
func (c *candidate) mayGo(req *controlapi.PruneRequest, now time.Time) bool {
	isSpecial := c.Shared || c.RecordType == "internal" || c.RecordType == "frontend"
	return !c.isGone && !c.InUse && c.children == 0 && (req.All || !isSpecial) && isOld(c.UsageRecord, req.KeepDuration, now)
}

// isOld says that a record was not used for a while, in nanoseconds; 0: they all are.
func isOld(r *controlapi.UsageRecord, age int64, now time.Time) bool {
	return age == 0 || r.LastUsedAt == nil || now.Sub(r.LastUsedAt.AsTime()) > time.Duration(age)
}

// ranking orders records as BuildKit does: by how late and how often they were used, each as a place among those that may go.
type ranking struct{ byTime, byCount []*candidate }

func newRanking(all []*candidate) *ranking {
	r := &ranking{byTime: slices.Clone(all), byCount: slices.Clone(all)}
	slices.SortStableFunc(r.byTime, func(a, b *candidate) int { return a.used().Compare(b.used()) })
	slices.SortStableFunc(r.byCount, func(a, b *candidate) int { return cmp.Compare(a.UsageCount, b.UsageCount) })
	return r
}

// used is when a record was last used; the zero time where it never was.
func (c *candidate) used() time.Time {
	if c.LastUsedAt == nil {
		return time.Time{}
	}
	return c.LastUsedAt.AsTime()
}

// first is the record that goes first of those that may; nil where none may.
func (r *ranking) first(may func(*candidate) bool) *candidate {
	late, often := map[*candidate]float64{}, map[*candidate]float64{}
	lateMax, oftenMax := 1.0, 1.0
	var at time.Time
	for _, c := range r.byTime {
		if !may(c) {
			continue
		}
		if c.used().After(at) {
			at = c.used()
			lateMax++
		}
		late[c] = lateMax
	}
	var count int64
	for _, c := range r.byCount {
		if _, ok := late[c]; !ok {
			continue
		}
		if c.UsageCount != count {
			count = c.UsageCount
			oftenMax++
		}
		often[c] = oftenMax
	}
	var first *candidate
	var least float64
	for _, c := range r.byTime {
		if _, ok := late[c]; !ok {
			continue
		}
		if score := late[c]/lateMax + often[c]/oftenMax; first == nil || score < least {
			first, least = c, score
		}
	}
	return first
}
