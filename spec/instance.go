package spec

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxInstance bounds the name of an instance: it is part of host names, which
// end at 63 characters.
const maxInstance = 40

// InstanceProject is the name of the project that a copy of a stack has.
func InstanceProject(stack, instance string) (string, error) {
	if instance == "" {
		return stack, nil
	}
	instance, err := InstanceName(instance)
	return stack + "-" + instance, err
}

// NormalInstance is a text, such as a branch's name, as an instance may be
// called; "" if nothing of it may stand in a name.
func NormalInstance(s string) string {
	name := NormalName(strings.Map(func(r rune) rune {
		if r == '/' || r == '.' || r == ' ' {
			return '-'
		}
		return r
	}, s))
	return strings.TrimRight(name[:min(len(name), maxInstance)], "-_")
}

// LonePrefix begins the names of the projects of containers that are of an image alone. No stack file can have such a name.
const LonePrefix = "container."

// Lone is the container of an image alone that a project is of, "" where it is another one.
func Lone(project string) string {
	if container, ok := strings.CutPrefix(project, LonePrefix); ok {
		return container
	}
	return ""
}

// InstanceName checks the name of an instance: it is a part of a project's.
func InstanceName(s string) (string, error) {
	normal := NormalInstance(s)
	if s == normal {
		return s, nil
	}
	hint := ""
	if normal != "" {
		hint = fmt.Sprintf(": write %q", normal)
	}
	return "", fmt.Errorf("%q cannot name an instance: a name is up to %d lower-case letters, digits, dashes and underscores, "+
		"and neither begins nor ends with one of the latter%s", Shorten(s), maxInstance, hint)
}

// Isolate makes the project a copy of its stack that shares no name with other
// copies: what the stack file names itself is named after the instance too.
// What is external stays, for it belongs to nobody here.
func (p *Project) Isolate(instance string, warn func(path, message string)) {
	p.Instance = instance
	for _, key := range slices.Sorted(maps.Keys(p.Networks)) {
		n := p.Networks[key]
		n.Name = p.ownName(n.Name, key, n.External)
		if n.DriverOpts[OptBridgeName] != "" {
			warn("networks."+key+".driver_opts."+OptBridgeName, "an instance has bridges of its own: this name is left aside")
			n.DriverOpts = maps.Clone(n.DriverOpts)
			delete(n.DriverOpts, OptBridgeName)
		}
		if n.External || n.IPAM == nil || len(n.IPAM.Config) == 0 {
			continue
		}
		warn("networks."+key+".ipam.config", "an instance has addresses of its own: this fixed one is left aside")
		n.IPAM = nil
		for _, s := range p.Services {
			if at := s.Networks[key]; at != nil {
				at.IPv4Address, at.IPv6Address = "", ""
			}
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Volumes)) {
		v := p.Volumes[key]
		v.Name = p.ownName(v.Name, key, v.External)
		if b := v.Backing(); b.IsKept() {
			warn("volumes."+key+".driver_opts", "all instances have what is at "+b.Device)
		}
	}
	p.isolateContainers()
	p.isolateImages()
}

// ownName puts the instance before a name that the stack file chose.
func (p *Project) ownName(name, key string, external bool) string {
	if external || name == p.Name+"_"+key {
		return name
	}
	return p.Instance + "-" + name
}

// isolateContainers puts the instance before the names of containers. On the
// networks they still answer to the names that the stack file gives them.
func (p *Project) isolateContainers() {
	renamed := map[string]string{}
	for _, s := range p.Services {
		if s.ContainerName == "" {
			continue
		}
		renamed[s.ContainerName] = p.Instance + "-" + s.ContainerName
		for key, n := range s.Networks {
			joined := ServiceNetwork{}
			if n != nil {
				joined = *n
			}
			if !slices.Contains(joined.Aliases, s.ContainerName) {
				joined.Aliases = append(slices.Clone(joined.Aliases), s.ContainerName)
			}
			s.Networks[key] = &joined
		}
		s.ContainerName = renamed[s.ContainerName]
	}
	for _, s := range p.Services {
		for _, mode := range []*string{&s.NetworkMode, &s.PID, &s.IPC} {
			if other, ok := strings.CutPrefix(*mode, "container:"); ok && renamed[other] != "" {
				*mode = "container:" + renamed[other]
			}
		}
		for i, link := range s.ExternalLinks {
			if target, alias := CutLink(link); renamed[target] != "" {
				s.ExternalLinks[i] = renamed[target] + ":" + alias
			}
		}
		for i, from := range s.Sources() {
			if to := renamed[from.Container]; to != "" {
				s.VolumesFrom[i] = strings.Replace(s.VolumesFrom[i], from.Container, to, 1)
			}
		}
	}
}

// isolateImages gives the images that the stack builds under names of its own
// choice a tag of the instance: a build of one copy must not change another.
func (p *Project) isolateImages() {
	renamed := map[string]string{}
	all := slices.Concat(slices.Collect(maps.Values(p.Services)), slices.Collect(maps.Values(p.Bases)))
	for _, s := range all {
		if s.Build != nil && s.Image != "" && (s.PullPolicy == "" || s.PullPolicy == "build") {
			renamed[s.Image] = TagWith(s.Image, p.Instance)
		}
	}
	for _, s := range all {
		if to := renamed[s.Image]; to != "" {
			s.Image = to
		}
		for _, list := range [][]Mount{s.Volumes, s.Inherited} {
			for i, m := range list {
				if to := renamed[m.Source]; m.Type == MountImage && to != "" {
					list[i].Source = to
				}
			}
		}
		if s.Build == nil {
			continue
		}
		for name, from := range s.Build.AdditionalContexts {
			if ref, ok := strings.CutPrefix(from, "docker-image://"); ok && renamed[ref] != "" {
				s.Build.AdditionalContexts[name] = "docker-image://" + renamed[ref]
			}
		}
	}
}

// TagWith is a reference with a word at the end of its tag, or as its tag if it
// has none; one that is fixed by a digest stays as it is.
func TagWith(ref, word string) string {
	if strings.Contains(ref, "@") {
		return ref
	}
	if strings.LastIndexByte(ref, ':') > strings.LastIndexByte(ref, '/') {
		return ref + "-" + word
	}
	return ref + ":" + word
}

// OwnsImage says that the image of a service is built under a name that no
// other project has.
func (p *Project) OwnsImage(service string) bool {
	s := cmp.Or(p.Services[service], p.Jobs[service])
	if s == nil || s.Build == nil {
		return false
	}
	return s.Image == "" || p.Instance != "" && (s.PullPolicy == "" || s.PullPolicy == "build") && !strings.Contains(s.Image, "@")
}

// NormalName is a directory's name as a project may be called.
func NormalName(s string) string {
	s = strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return -1
	}, strings.ToLower(s))
	return strings.TrimLeft(s, "-_")
}
