package collector

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	controlapi "github.com/moby/buildkit/api/services/control"

	"google.golang.org/grpc"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/engine/settings"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/instance"
)

// fakeControl notes what BuildKit is asked to prune.
type fakeControl struct {
	controlapi.ControlClient
	asked []*controlapi.PruneRequest
}

func (c *fakeControl) Prune(_ context.Context, r *controlapi.PruneRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[controlapi.UsageRecord], error) {
	c.asked = append(c.asked, r)
	return &records{}, nil
}

// records has one record.
type records struct {
	grpc.ClientStream
	told bool
}

func (s *records) Recv() (*controlapi.UsageRecord, error) {
	if s.told {
		return nil, io.EOF
	}
	s.told = true
	return &controlapi.UsageRecord{Size: 7}, nil
}

// world has images of 100 bytes each.
type world struct {
	list   []image.Info
	used   []string // by containers
	wanted []string
	gone   []string
	notes  map[string][]byte
	cache  fakeControl
}

func (w *world) List(context.Context) ([]image.Info, error) { return w.list, nil }

func (w *world) Without(_ context.Context, gone func(string) bool) (total int64, _ error) {
	sums := map[string]bool{}
	for _, i := range w.list {
		sums[i.Digest] = true
	}
	for sum := range sums {
		if !gone(sum) {
			total += 100
		}
	}
	return total, nil
}

func (w *world) Prune(_ context.Context, r *api.PruneRequest) (*api.PruneReply, error) {
	reply := &api.PruneReply{}
	for _, i := range w.list {
		if digest, isMeant := r.Only[i.Name]; slices.Contains(w.used, i.Name) || len(r.Only) > 0 && (!isMeant || digest != i.Digest) {
			continue
		}
		reply.Names = append(reply.Names, i.Name)
	}
	if !r.DryRun {
		w.gone = append(w.gone, reply.Names...)
		w.list = slices.DeleteFunc(w.list, func(i image.Info) bool { return slices.Contains(reply.Names, i.Name) })
	}
	return reply, nil
}

func (w *world) Load(string) (map[string][]byte, error) { return maps.Clone(w.notes), nil }
func (w *world) Save(_, key string, value []byte)       { w.notes[key] = value }
func (w *world) Delete(_, key string)                   { delete(w.notes, key) }

func (w *world) collector() *Collector {
	return &Collector{
		Images: w, Store: w, Notes: w, Log: slog.New(slog.DiscardHandler),
		Instances: func() []instance.Instance { return []instance.Instance{{Images: w.wanted}} },
		Control:   func(context.Context) (controlapi.ControlClient, error) { return &w.cache, nil },
	}
}

func TestOldAndTooManyImagesGo(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	name := func(short string) string { return "docker.io/library/" + short + ":latest" }
	made := func() *world {
		w := &world{notes: map[string][]byte{}, used: []string{name("running")}, wanted: []string{"wanted"}}
		for short, days := range map[string]int{"running": 90, "wanted": 90, "old": 40, "older": 50, "new": 1, "touched": 60} {
			w.list = append(w.list, image.Info{Name: name(short), Digest: short, NamedAt: now.AddDate(0, 0, -days)})
		}
		w.list = append(w.list, image.Info{Name: name("alias"), Digest: "new", NamedAt: now.AddDate(0, 0, -35)})
		w.notes[name("touched")], _ = json.Marshal(now.AddDate(0, 0, -2))
		w.notes[name("removed")], _ = json.Marshal(now)
		return w
	}
	const month = 30 * 24 * time.Hour
	for what, c := range map[string]struct {
		rule settings.Rule
		gone string
	}{
		"nothing is set":    {settings.Rule{}, ""},
		"age":               {settings.Rule{UnusedFor: month}, "alias old older"},
		"size":              {settings.Rule{Keep: 400}, "old older"},
		"a size that fits":  {settings.Rule{Keep: 600}, ""},
		"of one size all":   {settings.Rule{Keep: 1}, "alias new old older touched"},
		"age and size":      {settings.Rule{UnusedFor: month, Keep: 300}, "alias old older touched"},
		"an age for nobody": {settings.Rule{UnusedFor: 3 * month}, ""},
	} {
		w := made()
		if err := w.collector().Collect(t.Context(), settings.Collection{Images: c.rule}, now); err != nil {
			t.Fatal(err)
		}
		var gone []string
		for _, n := range w.gone {
			gone = append(gone, strings.TrimSuffix(strings.TrimPrefix(n, "docker.io/library/"), ":latest"))
		}
		slices.Sort(gone)
		if got := strings.Join(gone, " "); got != c.gone {
			t.Errorf("%s: %q is removed, want %q", what, got, c.gone)
		}
		if w.notes[name("running")] == nil || w.notes[name("wanted")] == nil || w.notes[name("removed")] != nil || len(w.cache.asked) > 0 {
			t.Errorf("%s: notes of %v, the cache was pruned %d times", what, slices.Sorted(maps.Keys(w.notes)), len(w.cache.asked))
		}
	}
}

// TestWhatWasUsedCountsFromThen: an image that had a container is old from its end on.
func TestWhatWasUsedCountsFromThen(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	w := &world{notes: map[string][]byte{}, used: []string{"a"}, list: []image.Info{{Name: "a", Digest: "a", NamedAt: now.AddDate(-1, 0, 0)}}}
	set := settings.Collection{Images: settings.Rule{UnusedFor: 24 * time.Hour}, Cache: settings.Rule{Keep: 5}}
	for _, at := range []time.Time{now, now.Add(time.Hour), now.Add(23 * time.Hour)} {
		if err := w.collector().Collect(t.Context(), set, at); err != nil || len(w.gone) > 0 {
			t.Fatalf("at %s: %v, %v", at, w.gone, err)
		}
		w.used = nil
	}
	if err := w.collector().Collect(t.Context(), set, now.Add(24*time.Hour)); err != nil || len(w.gone) != 1 {
		t.Errorf("a day after it was used: %v, %v", w.gone, err)
	}
	if len(w.cache.asked) != 4 || w.cache.asked[0].ReservedSpace != 5 {
		t.Errorf("the cache was pruned by %v", w.cache.asked)
	}
}

// TestWhatIsUsedBetweenTwoLooksIsUsed: by a container that is gone at the next one, or a build.
func TestWhatIsUsedBetweenTwoLooksIsUsed(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	w := &world{notes: map[string][]byte{}, list: []image.Info{{Name: "a", Digest: "a", NamedAt: now.AddDate(-1, 0, 0)}}}
	use := Noting(w, func() time.Time { return now.Add(-time.Minute) })
	use("a")
	set := settings.Collection{Images: settings.Rule{UnusedFor: 24 * time.Hour}}
	if err := w.collector().Collect(t.Context(), set, now); err != nil || len(w.gone) > 0 {
		t.Errorf("%v, %v", w.gone, err)
	}
	if err := w.collector().Collect(t.Context(), set, now.AddDate(0, 0, 1)); err != nil || len(w.gone) != 1 {
		t.Errorf("a day after it was used: %v, %v", w.gone, err)
	}
}

// TestWhatWasJustUsedMakesNoRoom, however little room there is to be.
func TestWhatWasJustUsedMakesNoRoom(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	w := &world{notes: map[string][]byte{}}
	for name, minutes := range map[string]int{"a": 59, "b": 1, "c": 60} {
		w.list = append(w.list, image.Info{Name: name, Digest: name, NamedAt: now.Add(-time.Duration(minutes) * time.Minute)})
	}
	if err := w.collector().Collect(t.Context(), settings.Collection{Images: settings.Rule{Keep: 1}}, now); err != nil || !slices.Equal(w.gone, []string{"c"}) {
		t.Errorf("%v, %v", w.gone, err)
	}
}

// TestAnotherNameOfAnImageFreesNothing, where an instance has it by one: older images have to go for it.
func TestAnotherNameOfAnImageFreesNothing(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	named := now.AddDate(0, 0, -9)
	w := &world{notes: map[string][]byte{}, wanted: []string{"wanted"}, list: []image.Info{
		{Name: "docker.io/library/wanted:latest", Digest: "x", NamedAt: named}, {Name: "alias", Digest: "x", NamedAt: named}, {Name: "other", Digest: "y", NamedAt: named.Add(time.Hour)},
	}}
	if err := w.collector().Collect(t.Context(), settings.Collection{Images: settings.Rule{Keep: 100}}, now); err != nil || !slices.Equal(w.gone, []string{"alias", "other"}) {
		t.Errorf("%v, %v", w.gone, err)
	}
}

// TestLooksFollowEachOther, the first one when it is set to come.
func TestLooksFollowEachOther(t *testing.T) {
	for set, want := range map[string]time.Duration{"": first, "nonsense": first, "3s": 3 * time.Second} {
		ctx, cancel := context.WithCancel(t.Context())
		w := &world{notes: map[string][]byte{}, used: []string{"a"}, list: []image.Info{{Name: "a", Digest: "a"}}}
		c := w.collector()
		var waits []time.Duration
		c.Root, c.First, c.Now = t.TempDir(), set, func() time.Time { return time.Unix(7, 0).UTC() }
		c.After = func(d time.Duration) <-chan time.Time {
			if waits = append(waits, d); len(waits) == 3 {
				cancel()
				return nil
			}
			due := make(chan time.Time, 1)
			due <- time.Time{}
			return due
		}
		c.Run(ctx)
		cancel()
		if !slices.Equal(waits, []time.Duration{want, pause, pause}) || string(w.notes["a"]) != `"1970-01-01T00:00:07Z"` {
			t.Errorf("%q: %v, %q", set, waits, w.notes)
		}
	}
}
