package buildkit

import (
	"time"

	"github.com/moby/buildkit/solver"
)

// durableCache has the files of a step's result on the disk before the result
// counts as made. BuildKit writes its records so that they outlive a loss of
// power, and the files of a step so that they do not: an image would be there, and
// a later build would go on from it, with files that are empty.
type durableCache struct {
	solver.CacheManager
	sync func() error
}

func durable(cache solver.CacheManager, sync func() error) solver.CacheManager {
	return &durableCache{cache, sync} // BuildKit compares caches, see TestTwoCachesCanBeToldApart
}

// Save syncs first, holding no lock of the cache: other steps go on meanwhile.
func (c *durableCache) Save(key *solver.CacheKey, result solver.Result, createdAt time.Time) (*solver.ExportableCacheKey, error) {
	if err := c.sync(); err != nil {
		return nil, err
	}
	return c.CacheManager.Save(key, result, createdAt)
}
