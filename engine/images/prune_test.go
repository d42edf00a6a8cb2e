package images

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/orlop/orlop/api"
	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/inventory"
)

type fakeStore struct {
	Store
	list []image.Info
}

func (f *fakeStore) List(context.Context) ([]image.Info, error) { return slices.Clone(f.list), nil }

func (f *fakeStore) Sizes(context.Context) (map[string]image.Size, int64, error) {
	return nil, int64(len(f.list)) * 100, nil
}

func (f *fakeStore) Without(_ context.Context, gone func(string) bool) (int64, error) {
	left := slices.DeleteFunc(slices.Clone(f.list), func(i image.Info) bool { return gone(i.Digest) })
	return int64(len(left)) * 100, nil
}

// TestPrune removes what neither a container nor a job uses, and what was asked for alone.
func TestPrune(t *testing.T) {
	old, young := time.UnixMilli(1000), time.UnixMilli(9000)
	for name, c := range map[string]struct {
		asked *api.PruneRequest
		want  string
	}{
		"all":                   {&api.PruneRequest{}, "docker.io/library/labelled:1 docker.io/library/old:1 docker.io/library/young:1"},
		"until":                 {&api.PruneRequest{UntilUnixMs: 5000}, "docker.io/library/labelled:1 docker.io/library/old:1"},
		"a label":               {&api.PruneRequest{Labels: []string{"tier"}}, "docker.io/library/labelled:1"},
		"another value":         {&api.PruneRequest{Labels: []string{"tier=b"}}, ""},
		"without one":           {&api.PruneRequest{Without: []string{"tier=a"}}, "docker.io/library/old:1 docker.io/library/young:1"},
		"only a look":           {&api.PruneRequest{DryRun: true, UntilUnixMs: 5000}, "docker.io/library/labelled:1 docker.io/library/old:1"},
		"those that were shown": {&api.PruneRequest{Only: map[string]string{"docker.io/library/old:1": "o", "docker.io/library/used:1": "used", "docker.io/library/young:1": "before"}}, "docker.io/library/old:1"},
		"none is so old":        {&api.PruneRequest{UntilUnixMs: 1}, ""},
	} {
		store := &fakeStore{list: []image.Info{
			{Name: "docker.io/library/used:1", Digest: "used", Created: old}, {Name: "docker.io/library/job:latest", Digest: "job", Created: old},
			{Name: "docker.io/library/labelled:1", Created: old, Labels: map[string]string{"tier": "a"}},
			{Name: "docker.io/library/held:1", Created: old, Labels: map[string]string{"tier": "a"}},
			{Name: "docker.io/library/old:1", Digest: "o", Created: old}, {Name: "docker.io/library/pulled:latest", Created: old}, {Name: "docker.io/library/young:1", Created: young},
		}}
		held := &Held{}
		defer held.Hold([]string{"pulled"})()
		held.Hold([]string{"pulled", "old:1", "no name"})() // it is released
		s := &Server{Held: held,
			Store: store, Jobs: func() []string { return []string{"job"} },
			Users: func(digest string) []inventory.ImageUser {
				return map[string][]inventory.ImageUser{"used": {{Container: "c"}}}[digest]
			},
			Remove: func(_ context.Context, ref string, _ bool) (bool, error) {
				if strings.Contains(ref, "held") {
					return false, &inventory.UsedError{Image: ref}
				}
				store.list = slices.DeleteFunc(store.list, func(i image.Info) bool { return i.Name == ref })
				return false, nil
			},
		}
		reply, err := s.Prune(t.Context(), c.asked)
		got := strings.Join(reply.GetNames(), " ")
		if c.asked.DryRun {
			got = strings.Replace(got, "docker.io/library/held:1 ", "", 1)
		}
		if err != nil || got != c.want {
			t.Errorf("%s: %s, %v", name, got, err)
		}
		if freed := int64(100 * len(strings.Fields(c.want))); !c.asked.DryRun && reply.DiskBytes != freed { // a look has a test of its own
			t.Errorf("%s: %d bytes", name, reply.DiskBytes)
		}
	}
}

// TestALookTellsWhatWouldBeFree, with containers that would be gone by then.
func TestALookTellsWhatWouldBeFree(t *testing.T) {
	store := &fakeStore{list: []image.Info{{Name: "docker.io/library/a:1", Digest: "a"}, {Name: "docker.io/library/b:1", Digest: "b"}, {Name: "docker.io/library/c:1", Digest: "c"}}}
	s := &Server{
		Held: &Held{}, Store: store, Jobs: func() []string { return nil },
		Users: func(digest string) []inventory.ImageUser {
			return map[string][]inventory.ImageUser{"a": {{Container: "ended"}}, "b": {{Container: "ended"}, {Container: "runs"}}}[digest]
		},
	}
	for gone, want := range map[string]string{"": "docker.io/library/c:1", "ended": "docker.io/library/a:1 docker.io/library/c:1"} {
		reply, err := s.Prune(t.Context(), &api.PruneRequest{DryRun: true, Gone: []string{gone}})
		if got := strings.Join(reply.GetNames(), " "); err != nil || got != want || reply.DiskBytes != int64(len(reply.Names))*100 || reply.TotalBytes != 300 {
			t.Errorf("without %q: %q, %d of %d bytes, %v", gone, got, reply.GetDiskBytes(), reply.GetTotalBytes(), err)
		}
	}
}
