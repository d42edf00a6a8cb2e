package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// What was allocated is kept as one small JSON file per network and sandbox,
// replaced by renaming. A network's file is written before its bridge is made
// and removed after it is gone, a sandbox's likewise, so that a crash at any
// point leaves a file that tells what to clean.
const (
	networksDir  = "networks"
	sandboxesDir = "sandboxes"
	netnsDir     = "netns"
)

func (m *Manager) netnsPath(id string) string {
	return filepath.Join(m.cfg.StateDir, netnsDir, id)
}

func (m *Manager) recordPath(dir, name string) string {
	return filepath.Join(m.cfg.StateDir, dir, name+".json")
}

func (m *Manager) writeRecord(dir, name string, record any) error {
	text, err := json.Marshal(record)
	if err != nil {
		return fmt.Errorf("internal error: record of %s: %w", name, err)
	}
	path := m.recordPath(dir, name)
	// Records need no fsync: they matter only as long as the kernel's state
	// that they describe, which a power loss takes too.
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		return fmt.Errorf("cannot record %s: %w", name, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("cannot record %s: %w", name, err)
	}
	return nil
}

func (m *Manager) removeRecord(dir, name string) error {
	err := os.Remove(m.recordPath(dir, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("cannot forget %s: %w", name, err)
	}
	return nil
}

// readRecords calls use with each record of a directory. A record that cannot
// be read is reported and removed: what it described is then an orphan.
func readRecords[T any](m *Manager, dir string, use func(T)) error {
	entries, err := os.ReadDir(filepath.Join(m.cfg.StateDir, dir))
	if err != nil {
		return fmt.Errorf("cannot read what networks there are: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(m.cfg.StateDir, dir, e.Name())
		if !strings.HasSuffix(e.Name(), ".json") {
			os.Remove(path) // a write that a crash interrupted
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("cannot read what networks there are: %w", err)
		}
		var record T
		if err := json.Unmarshal(text, &record); err != nil {
			m.cfg.Log.Warn("a record is damaged; what it described is removed", "file", path, "error", err)
			os.Remove(path)
			continue
		}
		use(record)
	}
	return nil
}
