// Package changes tells those who watch that something about a container is new.
// It holds no state of any: who is told looks for itself.
package changes

import (
	"maps"
	"slices"
	"sync"
)

// Feed is told of changes and passes them on. Its zero value has no watcher.
type Feed struct {
	mu       sync.Mutex
	watchers map[*Watcher]struct{} // guarded by mu
}

// Watcher is told of every change of a container of its project.
type Watcher struct {
	feed    *Feed
	project string
	news    chan struct{}
	mu      sync.Mutex
	dirty   map[string]bool // guarded by mu: IDs whose state changed
}

// Watch is a watcher of a project's containers, or of all where it is "", until
// it is closed.
func (f *Feed) Watch(project string) *Watcher {
	w := &Watcher{feed: f, project: project, news: make(chan struct{}, 1), dirty: map[string]bool{}}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.watchers == nil {
		f.watchers = map[*Watcher]struct{}{}
	}
	f.watchers[w] = struct{}{}
	return w
}

// Close ends a watcher.
func (w *Watcher) Close() {
	w.feed.mu.Lock()
	defer w.feed.mu.Unlock()
	delete(w.feed.watchers, w)
}

// News comes when Changed has something to tell.
func (w *Watcher) News() <-chan struct{} { return w.news }

// Changed gives the IDs of the containers that have changed since it was asked
// last.
func (w *Watcher) Changed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := slices.Collect(maps.Keys(w.dirty))
	clear(w.dirty)
	return ids
}

// Tell tells the watchers that something about a container is new.
func (f *Feed) Tell(project, id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		if w.project != "" && w.project != project {
			continue
		}
		w.mu.Lock()
		w.dirty[id] = true
		w.mu.Unlock()
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}
