package schedule

import (
	"context"
	"sync"
)

// watcher is who is told of a project's events. What it has not taken waits for it, up to
// a bound.
type watcher struct {
	project string
	news    chan struct{}
	mu      sync.Mutex
	events  []Event // guarded by mu
}

// mostUntold is how many events wait for one who does not take them; older ones are lost.
const mostUntold = 1000

// Watch calls told with each event of a project, or of all where it is "", until ctx ends.
func (b *Book) Watch(ctx context.Context, project string, told func(Event)) {
	w := &watcher{project: project, news: make(chan struct{}, 1)}
	b.mu.Lock()
	b.watchers[w] = struct{}{}
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.watchers, w)
		b.mu.Unlock()
	}()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.news:
		}
		for _, e := range w.take() {
			told(e)
		}
	}
}

func (w *watcher) take() []Event {
	w.mu.Lock()
	defer w.mu.Unlock()
	events := w.events
	w.events = nil
	return events
}

// tell tells all who watch the event's project; the caller holds mu.
func (b *Book) tell(e Event) {
	for w := range b.watchers {
		if w.project != "" && w.project != e.Project {
			continue
		}
		w.mu.Lock()
		w.events = append(w.events[max(0, len(w.events)-mostUntold+1):], e)
		w.mu.Unlock()
		select {
		case w.news <- struct{}{}:
		default:
		}
	}
}
