// Package volume keeps volumes, a directory each, and turns what a service
// mounts (its volumes and tmpfs keys, the image's VOLUMEs) into mounts: volumes
// are made and filled from the image, paths inside them and paths of the host are
// looked after. What an image or a container says of a path is untrusted. It runs
// nothing, and knows of containers only their IDs.
package volume

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/mount"

	"github.com/orlop/orlop/failpoint"
	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/runner/disk"
	"github.com/orlop/orlop/spec"
)

// bucket of the documents that the volumes are kept in.
const bucket = "volumes"

// Documents keeps small documents across engines.
type Documents interface {
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
	Load(bucket string) (map[string][]byte, error)
}

// Config is what a Store works with.
type Config struct {
	Dir       string // of the volumes
	Places    string // where paths inside volumes are mounted for a moment
	Documents Documents
	// Views gives the mounts of the n-th image that a container mounts.
	Views func(ctx context.Context, container string, n int) ([]mount.Mount, error)
	Log   *slog.Logger
}

// Store is the named and anonymous volumes of an engine.
type Store struct {
	dir    string
	places string
	docs   Documents
	log    *slog.Logger
	views  func(ctx context.Context, container string, n int) ([]mount.Mount, error)
	delete func(path string) error // os.RemoveAll, but in tests

	mu  sync.Mutex
	all map[string]*Volume // guarded by mu
	// guarded by mu; the volumes that containers which are just being made
	// have: container ID -> names
	claims map[string][]string
}

// Volume is what is kept of one.
type Volume struct {
	Name      string       `json:"name"`
	Project   string       `json:"project,omitempty"`
	Key       string       `json:"key,omitempty"`
	Anonymous bool         `json:"anonymous,omitempty"`
	Owned     bool         `json:"filled,omitempty"` // its directory has its owner and mode from an image
	Applied   *spec.Volume `json:"applied,omitempty"`

	fill     sync.Mutex // held while it is filled from an image
	mounting sync.Mutex // held while what it is by its driver_opts is mounted or unmounted
}

// Open knows the volumes of an earlier engine again, and unmounts the places
// that it has left. What it began to remove is no volume any more; see
// FinishRemovals.
func Open(cfg Config) (*Store, error) {
	v := &Store{
		dir: cfg.Dir, places: cfg.Places, docs: cfg.Documents, views: cfg.Views, log: cfg.Log, delete: os.RemoveAll,
		all: map[string]*Volume{}, claims: map[string][]string{},
	}
	if err := os.MkdirAll(v.dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the volumes: %w", err)
	}
	v.dropPlaces()
	return v, v.load()
}

func (v *Store) load() error {
	docs, err := v.docs.Load(bucket)
	if err != nil {
		return err
	}
	for name, doc := range docs {
		vol := &Volume{}
		if err := json.Unmarshal(doc, vol); err != nil {
			return fmt.Errorf("cannot read the record of volume %s: %w", name, err)
		}
		if v.isLeaving(name) {
			v.docs.Delete(bucket, name)
			continue
		}
		v.all[name] = vol
	}
	return v.rediscover()
}

// rediscover takes directories that the store has forgotten for what they
// are: volumes with a user's data. Nothing of them is ever removed by itself, but
// an empty directory, which an engine was killed right after making.
func (v *Store) rediscover() error {
	entries, err := os.ReadDir(v.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, ok := v.all[e.Name()]; !ok && e.IsDir() && e.Name() != leaving && os.Remove(filepath.Join(v.dir, e.Name())) != nil {
			vol := &Volume{Name: e.Name(), Owned: true}
			if b, err := os.ReadFile(filepath.Join(v.dir, e.Name(), "volume.json")); err == nil {
				_ = json.Unmarshal(b, vol)
				vol.Owned = true
			} else if _, err := os.Stat(v.boundPath(e.Name())); err == nil {
				vol.Anonymous = true // only what nobody named is bound, before it is described
			}
			v.all[e.Name()] = vol
			v.save(vol)
		}
	}
	return nil
}

func (v *Store) save(vol *Volume) {
	b, err := json.Marshal(vol)
	if err == nil {
		v.docs.Save(bucket, vol.Name, b)
	}
}

// Path is the directory of a volume that a container sees.
func (v *Store) Path(name string) string { return filepath.Join(v.dir, name, "_data") }

// claim makes a volume that does not exist yet, and keeps it from being
// removed until Release or Abandon.
func (v *Store) claim(container string, vol *Volume) (*Volume, error) {
	v.mu.Lock()
	if v.isWritten(vol.Name) {
		v.mu.Unlock()
		return nil, fmt.Errorf("an import into volume %s is under way: wait until it has ended", vol.Name)
	}
	v.claims[container] = append(v.claims[container], vol.Name)
	v.mu.Unlock()
	return v.ensure(vol, container)
}

// Ensure makes a volume that does not exist yet.
func (v *Store) Ensure(vol *Volume) error {
	_, err := v.ensure(vol, "")
	return err
}

// ensure is Ensure. One that nobody named is bound to its container until that is
// there.
func (v *Store) ensure(vol *Volume, container string) (*Volume, error) {
	if !IsName(vol.Name) {
		return nil, fmt.Errorf("%q is not a valid name for a volume: use letters, digits, and . _ - inside", vol.Name)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if have := v.all[vol.Name]; have != nil {
		return have, nil
	}
	err := os.MkdirAll(filepath.Join(v.dir, vol.Name), 0o755)
	if err == nil && vol.Anonymous {
		err = v.Bind(container, []string{vol.Name}) // before it is one
	}
	if err == nil {
		err = os.MkdirAll(v.Path(vol.Name), 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make volume %s: %w", vol.Name, err)
	}
	failpoint.Hit("volume/made")
	if err := v.describe(vol); err != nil {
		v.undo(vol.Name)
		return nil, err
	}
	failpoint.Hit("volume/described")
	v.all[vol.Name] = vol
	v.save(vol)
	return vol, nil
}

// undo removes a volume that could not be made, but nothing that somebody has in it.
func (v *Store) undo(name string) {
	dir := filepath.Join(v.dir, name)
	if os.Remove(v.Path(name)) != nil {
		return
	}
	for _, part := range []string{boundName, "volume.json", ""} {
		_ = os.Remove(filepath.Join(dir, part)) // what is not there, or not empty, is left alone
	}
}

// Relabel notes the labels that a volume has now. All else is as it was made.
func (v *Store) Relabel(name string, want *spec.Volume) error {
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
func (v *Store) describe(vol *Volume) error {
	b, err := json.Marshal(vol)
	if err == nil {
		err = failpoint.Fail("volume/describing")
	}
	if err == nil {
		err = disk.Write(filepath.Join(v.dir, vol.Name, "volume.json"), b)
	}
	if err != nil {
		return fmt.Errorf("cannot keep the record of volume %s: %w", vol.Name, err)
	}
	return nil
}

// Observe lists the volumes of a project, and those named in want.
func (v *Store) Observe(project string, want map[string]bool) map[string]planner.Volume {
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

// Has says whether there is a volume of a name.
func (v *Store) Has(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.all[name] != nil
}

// Info is a volume as it is here.
type Info struct {
	Name, Project, Key string
	Labels             map[string]string
	Path               string
	Created            time.Time
	Anonymous          bool
}

// List gives all volumes, by name.
func (v *Store) List() []Info {
	v.mu.Lock()
	var list []Info
	for _, vol := range v.all {
		info := Info{Name: vol.Name, Project: vol.Project, Key: vol.Key, Path: v.Path(vol.Name), Anonymous: vol.Anonymous}
		if vol.Applied != nil {
			info.Labels = vol.Applied.Labels
		}
		list = append(list, info)
	}
	v.mu.Unlock()
	for i := range list {
		if st, err := os.Stat(list[i].Path); err == nil {
			list[i].Created = st.ModTime()
		}
	}
	slices.SortFunc(list, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// IsName says whether a name is sound as a name of a file and an object.
func IsName(s string) bool {
	if s == "" || len(s) > 200 || s[0] == '.' || s[0] == '-' || s[0] == '_' {
		return false
	}
	return strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}
