package buildkit

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/moby/buildkit/solver"
)

// noted is a cache that notes when it is given a result.
type noted struct {
	solver.CacheManager
	calls *[]string
}

func (n noted) Save(*solver.CacheKey, solver.Result, time.Time) (*solver.ExportableCacheKey, error) {
	*n.calls = append(*n.calls, "save")
	return nil, nil
}

// TestTwoCachesCanBeToldApart: BuildKit compares them where a build has caches to import.
func TestTwoCachesCanBeToldApart(t *testing.T) {
	a, b := durable(noted{}, nil), durable(noted{}, nil)
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("a comparison panics: %v", p)
		}
	}()
	if same := a; a != same || a == b {
		t.Error("a cache is not itself")
	}
}

func TestAResultIsOnTheDiskBeforeItsRecord(t *testing.T) {
	var calls []string
	var broken error
	c := durable(noted{calls: &calls}, func() error {
		calls = append(calls, "sync")
		return broken
	})
	if _, err := c.Save(nil, nil, time.Time{}); err != nil || !slices.Equal(calls, []string{"sync", "save"}) {
		t.Errorf("the calls are %q, %v", calls, err)
	}
	calls, broken = nil, errors.New("the disk is broken")
	if _, err := c.Save(nil, nil, time.Time{}); !errors.Is(err, broken) || !slices.Equal(calls, []string{"sync"}) {
		t.Errorf("with a broken disk the calls are %q, %v", calls, err)
	}
}
