// Package inventory is what an engine has besides containers, or of them all: it
// lists volumes and networks with who uses them, makes and removes those that belong
// to no project, and measures the disk. What of it should exist for a project is
// for a plan to say.
package inventory

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/runner/image"
	"github.com/orlop/orlop/runner/network"
	"github.com/orlop/orlop/runner/supervisor"
	"github.com/orlop/orlop/runner/topology"
	"github.com/orlop/orlop/runner/volume"
	"github.com/orlop/orlop/spec"
)

// Inventory is what an engine has.
type Inventory struct {
	volumes    *volume.Store
	topology   *topology.Store
	nets       *network.Manager
	images     *image.Store
	containers func() []supervisor.Record
}

// New is the inventory of an engine; containers gives the records of all of them.
func New(v *volume.Store, t *topology.Store, n *network.Manager, i *image.Store, containers func() []supervisor.Record) *Inventory {
	return &Inventory{volumes: v, topology: t, nets: n, images: i, containers: containers}
}

// Volume is a volume as it is here.
type Volume struct {
	volume.Info
	Users []string // names of containers
}

// Network is a network as it is here.
type Network struct {
	topology.Info
	Users []User
}

// User is a container that is attached to a network.
type User struct{ ID, Name, Address, Address6 string }

// Volumes lists the volumes, by name.
func (i *Inventory) Volumes() []Volume {
	users := map[string][]string{}
	for _, rec := range i.containers() {
		for _, used := range rec.UsedVolumes() {
			users[used] = append(users[used], rec.Name)
		}
	}
	var list []Volume
	for _, info := range i.volumes.List() {
		slices.Sort(users[info.Name])
		list = append(list, Volume{Info: info, Users: users[info.Name]})
	}
	return list
}

// CreateVolume makes a volume that belongs to no project, unless there is one
// of that name.
func (i *Inventory) CreateVolume(name string, labels map[string]string) error {
	return i.volumes.Ensure(&volume.Volume{Name: name, Applied: &spec.Volume{Name: name, Labels: labels}})
}

// RemoveUnused removes a volume that no container has.
func (i *Inventory) RemoveUnused(name string) error {
	for _, rec := range i.containers() {
		if slices.Contains(rec.UsedVolumes(), name) {
			of := " of " + rec.Project
			if spec.Lone(rec.Project) != "" {
				of = ""
			}
			return fmt.Errorf("cannot remove volume %s: container %s%s uses it", name, rec.Name, of)
		}
	}
	return i.volumes.Remove(name)
}

// RemoveVolume removes a volume that no container has. It says whether there
// was one.
func (i *Inventory) RemoveVolume(name string) (bool, error) {
	if !i.volumes.Has(name) {
		return false, nil
	}
	return true, i.RemoveUnused(name)
}

// VolumeSizes are how many bytes volumes take on the disk. What is not here any more has none.
func (i *Inventory) VolumeSizes(ctx context.Context, names []string) (map[string]int64, error) {
	sizes := map[string]int64{}
	for _, name := range names {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		if !i.volumes.Has(name) {
			continue
		}
		size, err := i.volumes.Size(name)
		if err != nil {
			return nil, err
		}
		sizes[name] = size
	}
	return sizes, nil
}

// HoldVolume keeps a volume where it is until release, for who reads its files or, with
// write, changes them.
func (i *Inventory) HoldVolume(name string, write bool) (path string, release func(), err error) {
	path, let, err := i.volumes.Hold(name, write)
	return path, func() {
		let()
		i.volumes.Detach(func(volume string) bool { return supervisor.HaveVolume(i.containers(), volume) })
	}, err
}

// Networks lists the networks, by name.
func (i *Inventory) Networks() ([]Network, error) {
	all, err := i.topology.List()
	if err != nil {
		return nil, err
	}
	users := i.networkUsers()
	var list []Network
	for _, info := range all {
		list = append(list, Network{Info: info, Users: users[info.Name]})
	}
	return list, nil
}

// networkUsers are the containers of each network, by name.
func (i *Inventory) networkUsers() map[string][]User {
	users := map[string][]User{}
	for _, rec := range i.containers() {
		sandbox, _ := i.nets.Sandbox(rec.ID)
		for _, name := range rec.NetworkNames() {
			u := User{ID: rec.ID, Name: rec.Name}
			if addr, ok := sandbox.Addresses[name]; ok {
				u.Address = addr.String()
			}
			if addr, ok := sandbox.Addresses6[name]; ok {
				u.Address6 = addr.String()
			}
			users[name] = append(users[name], u)
		}
	}
	for _, list := range users {
		slices.SortFunc(list, func(a, b User) int { return strings.Compare(a.Name, b.Name) })
	}
	return users
}

// DiskUse is how many bytes a project takes on the disk beside its images: the
// writable layers of its containers, and its volumes.
func (i *Inventory) DiskUse(ctx context.Context, project string) (int64, error) {
	var total int64
	names := map[string]bool{}
	for _, rec := range i.containers() {
		if rec.Project != project {
			continue
		}
		size, err := i.images.LayerSize(ctx, rec.ID)
		if err != nil {
			return 0, fmt.Errorf("cannot measure the writable layer of %s: %w", rec.Name, err)
		}
		total += size
		for _, name := range rec.Anonymous {
			names[name] = true
		}
	}
	for name := range i.volumes.Observe(project, nil) {
		names[name] = true
	}
	for name := range names {
		size, err := i.volumes.Size(name)
		if err != nil {
			return 0, err
		}
		total += size
	}
	return total, nil
}

// CreateNetwork makes a network that belongs to no project.
func (i *Inventory) CreateNetwork(ctx context.Context, want *spec.Network) error {
	if !volume.IsName(want.Name) {
		return fmt.Errorf("%q is not a valid name for a network: use letters, digits, and . _ - inside", want.Name)
	}
	if _, ok := i.nets.Network(want.Name); ok {
		return fmt.Errorf("network %s exists already", want.Name)
	}
	_, err := i.topology.Ensure(ctx, want.Name, topology.Record{Key: want.Name, Applied: want})
	return err
}

// RemoveNetwork removes a network that no container has. It says whether there
// was one.
func (i *Inventory) RemoveNetwork(ctx context.Context, name string) (bool, error) {
	if _, ok := i.nets.Network(name); !ok {
		return false, nil
	}
	if users := i.networkUsers()[name]; len(users) > 0 {
		return true, fmt.Errorf("cannot remove network %s: container %s uses it", name, users[0].Name)
	}
	return true, i.topology.Remove(ctx, name)
}
