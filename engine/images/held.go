package images

import (
	"sync"

	"github.com/orlop/orlop/runner/image"
)

// Held are the images of plans that are being carried out: no container is made of some of them yet, and they are needed
// all the same. The zero value holds none.
type Held struct {
	mu    sync.Mutex
	plans map[string]int // guarded by mu: name of an image -> plans that need it
}

// Hold holds images until release is called.
func (h *Held) Hold(refs []string) (release func()) {
	var names []string
	for _, ref := range refs {
		if name, err := image.Normalize(ref); err == nil { // what is no name is no image that anybody has
			names = append(names, name)
		}
	}
	h.add(names, 1)
	return func() { h.add(names, -1) }
}

func (h *Held) add(names []string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.plans == nil {
		h.plans = map[string]int{}
	}
	for _, name := range names {
		if h.plans[name] += n; h.plans[name] == 0 {
			delete(h.plans, name)
		}
	}
}

func (h *Held) has(name string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.plans[name] > 0
}
