package op

import (
	"slices"
	"sync"
	"time"
)

// Hurry is the patience of somebody who waits for others to be done with a project.
type Hurry struct {
	Project  string
	Services []string // all if there are none
	Rest     time.Duration
}

// IsOf says whether it is about a service of a project.
func (h *Hurry) IsOf(project, service string) bool {
	return h.Project == project && (len(h.Services) == 0 || slices.Contains(h.Services, service))
}

// Hurries are those who wait now. The zero value is ready.
type Hurries struct {
	mu  sync.Mutex
	all map[*Hurry]bool // guarded by mu
}

// Add enters one, until over is called.
func (s *Hurries) Add(h *Hurry) (over func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = map[*Hurry]bool{}
	}
	s.all[h] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, h)
	}
}

// Bound is the least of a grace period and of the patience of those who wait for it.
func (s *Hurries) Bound(project, service string, wait time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	for h := range s.all {
		if h.IsOf(project, service) {
			wait = min(wait, h.Rest)
		}
	}
	return wait
}
