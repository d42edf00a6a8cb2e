package runner

import (
	"maps"
	"sync"
)

// memory is a Store that ends with the test.
type memory struct {
	mu   sync.Mutex
	docs map[string]map[string][]byte // guarded by mu
}

func newMemory() *memory { return &memory{docs: map[string]map[string][]byte{}} }

func (m *memory) Save(bucket, key string, value []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.docs[bucket] == nil {
		m.docs[bucket] = map[string][]byte{}
	}
	m.docs[bucket][key] = value
}

func (m *memory) Delete(bucket, key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.docs[bucket], key)
}

func (m *memory) Load(bucket string) (map[string][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.docs[bucket]), nil
}

func (m *memory) Flush() error { return nil }
