package planner

import (
	"path"

	"github.com/orlop/orlop/spec"
)

// Mounted is a mount of a container with the full name of its volume.
type Mounted struct {
	spec.Mount
	Volume    string `json:"volume_name,omitempty"` // "" where it is of none, or nobody named it
	Anonymous bool   `json:"anonymous,omitempty"`   // nobody named the volume: it goes with the last container that has it
	Inherited bool   `json:"-"`                     // of another container: nothing is filled in from the image
}

// Mounts are what a container mounts but for its own volumes that its image asks for:
// what its service says, then what it has of other containers. Their order stays.
func (a *Applied) Mounts() []Mounted {
	var all []Mounted
	taken := map[string]bool{}
	for i, m := range a.Service.Mounts() {
		one := Mounted{Mount: m, Inherited: i >= len(a.Service.Volumes)}
		if m.Type == spec.MountVolume && m.Source != "" {
			one.Volume = a.Volumes[m.Source]
		}
		taken[path.Clean(m.Target)] = true
		all = append(all, one)
	}
	for _, m := range a.Borrowed {
		if !taken[path.Clean(m.Target)] {
			m.Inherited = true
			all = append(all, m)
		}
	}
	return all
}
