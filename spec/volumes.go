package spec

import (
	"path"
	"slices"
	"strings"
)

// VolumesFrom is an entry of volumes_from: whose volumes a service mounts too.
type VolumesFrom struct {
	Service   string // of the stack; "" where it is a container
	Container string // name or ID of any container
	ReadOnly  bool
}

// ParseVolumesFrom reads SERVICE[:ro|rw] or container:NAME[:ro|rw].
func ParseVolumesFrom(text string) (VolumesFrom, bool) {
	parts := strings.Split(text, ":")
	var from VolumesFrom
	if parts[0] == "container" && len(parts) > 1 {
		from.Container, parts = parts[1], parts[1:]
	} else {
		from.Service = parts[0]
	}
	if parts[0] == "" || len(parts) > 2 {
		return from, false
	}
	if len(parts) == 2 {
		from.ReadOnly = parts[1] == "ro"
		return from, parts[1] == "ro" || parts[1] == "rw"
	}
	return from, true
}

// Sources are the entries of volumes_from.
func (s *Service) Sources() []VolumesFrom {
	var all []VolumesFrom
	for _, text := range s.VolumesFrom {
		from, _ := ParseVolumesFrom(text)
		all = append(all, from)
	}
	return all
}

// SourceServices are the services of the stack that volumes_from names.
func (s *Service) SourceServices() []string {
	var names []string
	for _, from := range s.Sources() {
		if from.Service != "" {
			names = append(names, from.Service)
		}
	}
	return names
}

// Mounts are what a service's containers mount as far as the stack says: its own
// volumes, and those of the services that volumes_from names.
func (s *Service) Mounts() []Mount { return append(slices.Clone(s.Volumes), s.Inherited...) }

// InheritVolumes notes with each service what it has by volumes_from of other ones.
// What nobody named is known with a container alone.
func (p *Project) InheritVolumes() {
	done := map[string]bool{}
	var visit func(name string)
	visit = func(name string) {
		s := p.Services[name]
		if s == nil || done[name] {
			return
		}
		if s.Inherited = nil; len(s.VolumesFrom) == 0 {
			return
		}
		done[name] = true // services never wait for each other in a circle
		for _, from := range s.Sources() {
			visit(from.Service)
			if other := p.Services[from.Service]; other != nil {
				s.inherit(other, from.ReadOnly)
			}
		}
	}
	for name := range p.Services {
		visit(name)
	}
}

// inherit adds the mounts of another service. A later entry of volumes_from has the
// say of a target, and the service's own mounts before all.
func (s *Service) inherit(other *Service, readOnly bool) {
	for _, m := range other.Mounts() {
		if m.Source == "" || m.Type == MountTmpfs || s.hasTarget(m.Target) {
			continue
		}
		m.ReadOnly = m.ReadOnly || readOnly
		s.Inherited = slices.DeleteFunc(s.Inherited, func(old Mount) bool { return path.Clean(old.Target) == path.Clean(m.Target) })
		s.Inherited = append(s.Inherited, m)
	}
}

// hasTarget says that a service mounts something of its own at a path.
func (s *Service) hasTarget(target string) bool {
	target = path.Clean(target)
	return slices.ContainsFunc(s.Volumes, func(m Mount) bool { return path.Clean(m.Target) == target }) ||
		slices.ContainsFunc(s.Tmpfs, func(t string) bool {
			at, _, _ := strings.Cut(t, ":")
			return path.Clean(at) == target
		})
}

// Options of the local driver.
const (
	OptType   = "type"
	OptDevice = "device"
	OptMount  = "o"
	OptSize   = "size"
)

// Backing is what is mounted as a volume: what driver_opts of the local driver say.
type Backing struct {
	Type    string // of the file system; none where it is a directory
	Device  string // a path of the host, or what the file system takes it for
	Options []string
}

// String names a backing: two of the same name are the same.
func (b Backing) String() string {
	return b.Type + " " + b.Device + " " + strings.Join(b.Options, ",")
}

// Backing is that of the volume; the zero one of a volume whose data is the engine's
// own to keep. What is empty says nothing.
func (v *Volume) Backing() Backing {
	b := Backing{Type: v.DriverOpts[OptType], Device: v.DriverOpts[OptDevice]}
	for option := range strings.SplitSeq(v.DriverOpts[OptMount], ",") {
		if option = strings.TrimSpace(option); option != "" {
			b.Options = append(b.Options, option)
		}
	}
	return b
}

// IsNone says that nothing is mounted as the volume.
func (b Backing) IsNone() bool { return b.Type == "" && b.Device == "" && len(b.Options) == 0 }

// IsBind says that a directory of the host is.
func (b Backing) IsBind() bool {
	return slices.Contains(b.Options, "bind") || slices.Contains(b.Options, "rbind")
}

// IsKept says that what is written there is kept by somebody else than the engine: it
// is there whatever becomes of the volume.
func (b Backing) IsKept() bool { return !b.IsNone() && b.Type != MountTmpfs }

// Subpath is the path inside of a volume or of an image that is mounted; "" is all.
func (m *Mount) Subpath() string {
	switch {
	case m.Type == MountVolume && m.Volume != nil:
		return m.Volume.Subpath
	case m.Type == MountImage && m.Image != nil:
		return m.Image.Subpath
	}
	return ""
}

// MountedImages are the references of images that a service mounts.
func (s *Service) MountedImages() []string {
	var refs []string
	for _, m := range s.Mounts() {
		if m.Type == MountImage {
			refs = append(refs, m.Source)
		}
	}
	return refs
}

// ImageNames are the references of all images that the project uses.
func (p *Project) ImageNames() []string {
	var refs []string
	for _, services := range []map[string]*Service{p.Services, p.Jobs, p.Bases} {
		for name, s := range services {
			refs = append(append(refs, p.NamesOf(name)...), s.MountedImages()...)
			for _, first := range s.PreStart {
				if first.Image != "" {
					refs = append(refs, first.Image)
				}
			}
		}
	}
	slices.Sort(refs)
	return slices.Compact(refs)
}
