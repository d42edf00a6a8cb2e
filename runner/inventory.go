package runner

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/runner/volume"
	"github.com/orlop/orlop/spec"
)

// VolumeInfo is a volume as it is here.
type VolumeInfo struct {
	volume.Info
	Users []string // names of containers
}

// NetworkInfo is a network as it is here.
type NetworkInfo struct {
	topology.Info
	Users []NetworkUser
}

// NetworkUser is a container that is attached to a network.
type NetworkUser struct{ ID, Name, Address string }

// Volumes lists the volumes, by name.
func (r *Runner) Volumes() []VolumeInfo {
	users := map[string][]string{}
	for _, rec := range r.records() {
		for _, used := range rec.UsedVolumes() {
			users[used] = append(users[used], rec.Name)
		}
	}
	var list []VolumeInfo
	for _, info := range r.volumes.List() {
		slices.Sort(users[info.Name])
		list = append(list, VolumeInfo{Info: info, Users: users[info.Name]})
	}
	return list
}

// records are those of all containers.
func (r *Runner) records() []supervisor.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []supervisor.Record
	for _, c := range r.containers {
		list = append(list, c.snapshot())
	}
	return list
}

// CreateVolume makes a volume that belongs to no project, unless there is one
// of that name.
func (r *Runner) CreateVolume(name string, labels map[string]string) error {
	return r.volumes.Ensure(&volume.Volume{Name: name, Applied: &spec.Volume{Name: name, Labels: labels}})
}

// RemoveVolume removes a volume that no container has. It says whether there
// was one.
func (r *Runner) RemoveVolume(name string) (bool, error) {
	if !r.volumes.Has(name) {
		return false, nil
	}
	return true, r.removeVolume(name)
}

// Networks lists the networks, by name.
func (r *Runner) Networks() ([]NetworkInfo, error) {
	all, err := r.topology.List()
	if err != nil {
		return nil, err
	}
	users := r.networkUsers()
	var list []NetworkInfo
	for _, info := range all {
		list = append(list, NetworkInfo{Info: info, Users: users[info.Name]})
	}
	return list, nil
}

// networkUsers are the containers of each network, by name.
func (r *Runner) networkUsers() map[string][]NetworkUser {
	users := map[string][]NetworkUser{}
	for _, rec := range r.records() {
		sandbox, _ := r.nets.Sandbox(rec.ID)
		for _, name := range rec.Applied.Networks {
			u := NetworkUser{ID: rec.ID, Name: rec.Name}
			if addr, ok := sandbox.Addresses[name]; ok {
				u.Address = addr.String()
			}
			users[name] = append(users[name], u)
		}
	}
	for _, list := range users {
		slices.SortFunc(list, func(a, b NetworkUser) int { return strings.Compare(a.Name, b.Name) })
	}
	return users
}

// DiskUse is how many bytes a project takes on the disk beside its images: the
// writable layers of its containers, and its volumes.
func (r *Runner) DiskUse(ctx context.Context, project string) (int64, error) {
	var total int64
	names := map[string]bool{}
	for _, rec := range r.records() {
		if rec.Project != project {
			continue
		}
		size, err := r.Images.LayerSize(ctx, rec.ID)
		if err != nil {
			return 0, fmt.Errorf("cannot measure the writable layer of %s: %w", rec.Name, err)
		}
		total += size
		for _, name := range rec.Anonymous {
			names[name] = true
		}
	}
	for name := range r.volumes.Observe(project, nil) {
		names[name] = true
	}
	for name := range names {
		size, err := r.volumes.Size(name)
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}

// RemoveImage removes the name of an image. Without force, an image that
// containers are made of stays.
func (r *Runner) RemoveImage(ctx context.Context, ref string, force bool) error {
	name, err := image.Normalize(ref)
	if err != nil {
		return err
	}
	for _, rec := range r.records() {
		if used, err := image.Normalize(rec.Image); !force && err == nil && used == name {
			return fmt.Errorf("cannot remove image %s: container %s is made of it (remove that first, or use --force)", ref, rec.Name)
		}
	}
	return r.Images.Remove(ctx, ref)
}

// CreateNetwork makes a network that belongs to no project.
func (r *Runner) CreateNetwork(ctx context.Context, want *spec.Network) error {
	if !volume.IsName(want.Name) {
		return fmt.Errorf("%q is no name for a network: use letters, digits, and . _ - inside", want.Name)
	}
	if _, ok := r.nets.Network(want.Name); ok {
		return fmt.Errorf("there is a network %s already", want.Name)
	}
	_, err := r.topology.Ensure(ctx, want.Name, topology.Record{Key: want.Name, Applied: want})
	return err
}

// RemoveNetwork removes a network that no container has. It says whether there
// was one.
func (r *Runner) RemoveNetwork(ctx context.Context, name string) (bool, error) {
	if _, ok := r.nets.Network(name); !ok {
		return false, nil
	}
	if users := r.networkUsers()[name]; len(users) > 0 {
		return true, fmt.Errorf("cannot remove network %s: container %s uses it", name, users[0].Name)
	}
	return true, r.topology.Remove(ctx, name)
}
