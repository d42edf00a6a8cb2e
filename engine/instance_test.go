package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
)

func TestOnlyInstancesThatNobodyUsesAreAbandoned(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	ago := func(d time.Duration) int64 { return now.Add(-d).UnixMilli() }
	all := []*api.ProjectInfo{
		{Name: "shop"}, // no instance: never
		{Name: "shop-old", Instance: "old", UsedUnixMs: ago(25 * time.Hour), Running: 3},
		{Name: "shop-held", Instance: "held", UsedUnixMs: ago(48 * time.Hour), InUse: true},
		{Name: "shop-new", Instance: "new", UsedUnixMs: ago(time.Hour)},
		{Name: "shop-down", Instance: "down", UsedUnixMs: ago(24 * time.Hour)},
	}
	for _, c := range []struct {
		wanted    []string
		olderThan time.Duration
		running   bool
		want      string
		left      string
	}{
		{nil, 24 * time.Hour, true, "shop-old shop-down", ""},
		{nil, 24 * time.Hour, false, "shop-down", "shop-old"},
		{nil, 0, true, "shop-old shop-new shop-down", ""},
		{nil, 100 * time.Hour, false, "", ""},
		{[]string{"shop", "shop-held", "shop-down"}, time.Hour, false, "shop-down", ""},
	} {
		names := func(list []*api.ProjectInfo) string {
			var got []string
			for _, p := range list {
				got = append(got, p.Name)
			}
			return strings.Join(got, " ")
		}
		req := &api.CollectRequest{OlderThanMs: c.olderThan.Milliseconds(), Projects: c.wanted, Running: c.running}
		if got, left := abandoned(all, req, now); names(got) != c.want || names(left) != c.left {
			t.Errorf("of %q, older than %s, %q are abandoned, %q are left, want %s and %s", c.wanted, c.olderThan, names(got), names(left), c.want, c.left)
		}
	}
}

func TestTheProjectOfAMessage(t *testing.T) {
	for want, m := range map[string]any{
		"a": &api.ObserveRequest{Project: "a"},
		"b": &api.HoldInput{Project: "b"},
		"c": &api.ProcessInput{Of: &api.ProcessInput_Start{Start: &api.ProcessStart{Project: "c"}}},
		"":  &api.CollectRequest{Projects: []string{"d"}}, // gc uses nothing
	} {
		if got := projectOf(m); got != want {
			t.Errorf("%T is about %q, want %q", m, got, want)
		}
	}
}
