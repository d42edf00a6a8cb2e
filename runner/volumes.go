package runner

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// volumes keeps the named and anonymous volumes: a directory each.
type volumes struct {
	dir   string
	store Store
	mu    sync.Mutex
	all   map[string]*volume // guarded by mu
	// guarded by mu; the volumes that containers which are just being made
	// have: container ID -> names
	claims map[string][]string
}

// volume is what is kept of one.
type volume struct {
	Name      string       `json:"name"`
	Project   string       `json:"project,omitempty"`
	Key       string       `json:"key,omitempty"`
	Anonymous bool         `json:"anonymous,omitempty"`
	Owned     bool         `json:"filled,omitempty"` // its directory has its owner and mode from an image
	Applied   *spec.Volume `json:"applied,omitempty"`

	fill sync.Mutex // held while it is filled from an image
}

func (v *volumes) load() error {
	v.all, v.claims = map[string]*volume{}, map[string][]string{}
	docs, err := v.store.Load(bucketVolumes)
	if err != nil {
		return err
	}
	for name, doc := range docs {
		vol := &volume{}
		if err := json.Unmarshal(doc, vol); err != nil {
			return fmt.Errorf("cannot read the record of volume %s: %w", name, err)
		}
		v.all[name] = vol
	}
	return v.rediscover()
}

// rediscover takes directories that the store has forgotten for what they
// are: volumes with a user's data. Nothing of them is ever removed by itself.
func (v *volumes) rediscover() error {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := v.all[e.Name()]; !ok && e.IsDir() {
			vol := &volume{Name: e.Name(), Owned: true}
			if b, err := os.ReadFile(filepath.Join(v.dir, e.Name(), "volume.json")); err == nil {
				_ = json.Unmarshal(b, vol)
				vol.Owned = true
			}
			v.all[e.Name()] = vol
			v.save(vol)
		}
	}
	return nil
}

func (v *volumes) save(vol *volume) {
	b, err := json.Marshal(vol)
	if err == nil {
		v.store.Save(bucketVolumes, vol.Name, b)
	}
}

// data is the directory that a container sees.
func (v *volumes) data(name string) string { return filepath.Join(v.dir, name, "_data") }

// claim makes a volume that does not exist yet, and keeps it from being
// removed until release.
func (v *volumes) claim(container string, vol *volume) (*volume, error) {
	v.mu.Lock()
	v.claims[container] = append(v.claims[container], vol.Name)
	v.mu.Unlock()
	return v.ensure(vol)
}

// release ends the claims of a container: it is among the others by now, or
// is not to be.
func (v *volumes) release(container string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.claims, container)
}

// ensure makes a volume that does not exist yet.
func (v *volumes) ensure(vol *volume) (*volume, error) {
	if !isName(vol.Name) {
		return nil, fmt.Errorf("%q is no name for a volume: use letters, digits, and . _ - inside", vol.Name)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if have := v.all[vol.Name]; have != nil {
		return have, nil
	}
	if err := os.MkdirAll(v.data(vol.Name), 0o755); err != nil {
		return nil, fmt.Errorf("cannot make volume %s: %w", vol.Name, err)
	}
	if err := v.describe(vol); err != nil {
		return nil, err
	}
	v.all[vol.Name] = vol
	v.save(vol)
	return vol, nil
}

// relabel notes the labels that a volume has now. All else is as it was made.
func (v *volumes) relabel(name string, want *spec.Volume) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	vol := v.all[name]
	if vol == nil {
		return fmt.Errorf("volume %s is gone: run the command again", name)
	}
	applied := spec.Volume{Name: name}
	if vol.Applied != nil {
		applied = *vol.Applied
	}
	applied.Labels = want.Labels
	vol.Applied = &applied
	v.save(vol)
	return v.describe(vol)
}

// describe keeps the record beside the data, for an engine that has lost its store.
func (v *volumes) describe(vol *volume) error {
	b, err := json.Marshal(vol)
	if err == nil {
		err = os.WriteFile(filepath.Join(v.dir, vol.Name, "volume.json"), b, 0o600)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the record of volume %s: %w", vol.Name, err)
	}
	return nil
}

// remove deletes a volume and all that is in it.
func (v *volumes) remove(name string) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.all[name] == nil {
		return nil
	}
	for _, names := range v.claims {
		if slices.Contains(names, name) {
			return fmt.Errorf("cannot remove volume %s: a container that is just being made uses it", name)
		}
	}
	if err := os.RemoveAll(filepath.Join(v.dir, name)); err != nil {
		return fmt.Errorf("cannot remove volume %s: %w", name, err)
	}
	delete(v.all, name)
	v.store.Delete(bucketVolumes, name)
	return nil
}

// observed lists the volumes of a project, and those named in want.
func (v *volumes) observed(project string, want map[string]bool) map[string]planner.Volume {
	v.mu.Lock()
	defer v.mu.Unlock()
	out := map[string]planner.Volume{}
	for name, vol := range v.all {
		if vol.Anonymous || vol.Project != project && !want[name] {
			continue
		}
		out[name] = planner.Volume{Name: name, Project: vol.Project, Key: vol.Key, Applied: vol.Applied}
	}
	return out
}

// isName says whether a name is sound as a name of a file and an object.
func isName(s string) bool {
	if s == "" || len(s) > 200 || s[0] == '.' || s[0] == '-' || s[0] == '_' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}
