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
	source   string
	isSocket bool
	services []string
	place    spec.Place // of the first
}

// IsSocket says that a mount is of a socket, by its name: nothing is made there
// where it does not exist, for a directory of that name would keep whoever
// makes the socket from it. The container goes without.
func IsSocket(m spec.Mount) bool {
	return m.Type == spec.MountBind && m.Bind != nil && m.Bind.CreateHostPath && path.Ext(m.Source) == ".sock"
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
			c.absent = append(c.absent, &absent{source: m.Source, isSocket: IsSocket(m), place: place})
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
		if a.isSocket {
			what = "it is a socket of something that does not run here, and is left out"
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
