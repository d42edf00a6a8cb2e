package planner

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
)

// absent is a path of the host that services mount and where nothing is.
type absent struct {
	source    string
	isForeign bool // see IsForeign
	services  []string
	place     spec.Place // of the first
}

// isForeignPath says that a path is one at which a program or the kernel makes a
// socket or a device. A directory below /run that services share is not.
func isForeignPath(source string) bool {
	for _, dir := range []string{"/tmp/.X11-unix", "/dev", "/proc", "/sys"} {
		if strings.HasPrefix(source, dir+"/") {
			return true
		}
	}
	isRuntime := strings.HasPrefix(source, "/run/") || strings.HasPrefix(source, "/var/run/")
	return path.Ext(source) == ".sock" || isRuntime && strings.Contains(path.Base(source), "sock")
}

// IsForeign says that what a mount is of is somebody else's to make: nothing is
// made there where it does not exist, for a directory of that name would keep
// whoever makes it from it. The container goes without, until it is there.
func IsForeign(m spec.Mount) bool {
	if m.Type != spec.MountBind || m.Bind == nil || !m.Bind.CreateHostPath {
		return false
	}
	return isForeignPath(path.Clean(m.Source))
}

// appeared are the reasons to replace a container for mounts that it had to go
// without when it was made.
func (c *converger) appeared(service string, s *spec.Service, k *Container) []Reason {
	var rs []Reason
	for i, m := range s.Mounts() {
		if IsForeign(m) && slices.Contains(k.LeftOut, m.Target) && !slices.Contains(c.observed.Absent, m.Source) {
			path := MountPath(service, s, i)
			rs = append(rs, Reason{Path: path, Text: m.Source + " is there now", Place: c.project.Places.Nearest(path)})
		}
	}
	return rs
}

// MountPath is where the stack file says the i-th of a service's mounts.
func MountPath(service string, s *spec.Service, i int) string {
	if i >= len(s.Volumes) {
		return "services." + service + ".volumes_from"
	}
	return fmt.Sprintf("services.%s.volumes[%d]", service, i)
}

// noteAbsent notes the host paths of a service's mounts that are made because
// nothing is there: Compose does so in silence, and a slip of the finger mounts
// an empty directory.
func (c *converger) noteAbsent(name string) {
	for i, m := range c.project.Services[name].Volumes {
		if m.Type != spec.MountBind || m.Bind == nil || !m.Bind.CreateHostPath || !slices.Contains(c.observed.Absent, m.Source) {
			continue
		}
		at := slices.IndexFunc(c.absent, func(a *absent) bool { return a.source == m.Source })
		if at < 0 {
			place := c.project.Places.Nearest(fmt.Sprintf("services.%s.volumes[%d]", name, i))
			c.absent = append(c.absent, &absent{source: m.Source, isForeign: IsForeign(m), place: place})
			at = len(c.absent) - 1
		}
		if a := c.absent[at]; !slices.Contains(a.services, name) {
			a.services = append(a.services, name)
		}
	}
}

// warnAbsent tells of each such path in one line.
func (c *converger) warnAbsent() {
	for _, a := range c.absent {
		what := "an empty directory is made there"
		if a.isForeign {
			what = "what makes it does not run here, and the mount is left out"
		}
		c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("%s %s, which does not exist: %s%s", mounting(a.services), a.source, what, at(a.place)))
	}
}

// mounting is who mounts: up to three by name.
func mounting(services []string) string {
	switch n := len(services); n {
	case 1:
		return services[0] + " mounts"
	case 2, 3:
		return strings.Join(services[:n-1], ", ") + " and " + services[n-1] + " mount"
	default:
		return fmt.Sprintf("%s, %s and %d more mount", services[0], services[1], n-2)
	}
}
