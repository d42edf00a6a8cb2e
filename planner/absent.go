package planner

import (
	"fmt"
	"path/filepath"
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

// appeared are the reasons to replace a container for mounts that it had to go
// without when it was made.
func (c *converger) appeared(service string, s *spec.Service, k *Container) []Reason {
	var rs []Reason
	for i, m := range s.Mounts() {
		if m.IsForeign() && slices.Contains(k.LeftOut, m.Target) && !slices.Contains(c.observed.Absent, m.Source) {
			path := spec.MountPath(service, s, i)
			rs = append(rs, Reason{Path: path, Text: m.Source + " is there now", Place: c.project.Places.Nearest(path)})
		}
	}
	return rs
}

// turned are the reasons to replace a container whose bind sources are not what they
// were when it was made, so that it could not be started again. One that runs keeps
// what is gone.
func (c *converger) turned(service string, s *spec.Service, k *Container) []Reason {
	var rs []Reason
	for i, m := range s.Mounts() {
		path := spec.MountPath(service, s, i)
		place := c.project.Places.Nearest(path)
		switch now := k.Turned[m.Target]; {
		case now == "":
		case now == SourceGone && k.State == Running:
			c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("%s keeps %s, which is gone from the host: put it back and restart %s%s",
				resource(service, k.Number), m.Source, service, at(place)))
		case now == SourceGone:
			rs = append(rs, Reason{Path: path, Text: m.Source + " is gone", Place: place})
		default:
			was := map[string]string{SourceFile: SourceDirectory, SourceDirectory: SourceFile}[now]
			rs = append(rs, Reason{Path: path, Text: fmt.Sprintf("%s is a %s now, and was a %s when the container was made", m.Source, now, was), Place: place})
		}
	}
	return rs
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
			c.absent = append(c.absent, &absent{source: m.Source, isForeign: m.IsForeign(), place: place})
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
		switch {
		case a.isForeign:
			what = "what makes it does not run here, and the mount is left out"
		case isCalledLikeFile(a.source):
			what = "a directory is made of it; if it is to be a file write it first, or bind.create_host_path: false"
		}
		c.plan.Warnings = append(c.plan.Warnings, fmt.Sprintf("%s %s, which does not exist: %s%s", mounting(a.services), a.source, what, at(a.place)))
	}
}

// isCalledLikeFile says that the name of a path has an extension as files have.
func isCalledLikeFile(path string) bool {
	ext := filepath.Ext(path)
	return len(ext) > 1 && ext != ".d" && ext != filepath.Base(path)
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
