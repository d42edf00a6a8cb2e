package fetched

import (
	"fmt"
	"maps"
	"slices"

	"github.com/orlop/orlop/spec"
)

// Protect has what was fetched stay as it is, whoever names it and how: it is the same
// for all projects that use it, and is what its digest says. It is mounted for reading
// alone; that it is a volume, or what a build
// writes its cache to, is a mistake.
func Protect(p *spec.Project, report func(spec.Diagnostic)) {
	if len(p.Remotes) == 0 {
		return
	}
	sections := map[string]map[string]*spec.Service{"services": p.Services, "jobs": p.Jobs, "provided": p.Provided}
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		for name, s := range sections[section] {
			protectMounts(p, s)
			protectCaches(p, s.Build, section+"."+name+".build", report)
			for _, first := range s.PreStart {
				protectMounts(p, first)
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Volumes)) {
		if b := p.Volumes[name].Backing(); b.Device != "" && p.IsFetched(b.Device) {
			at := "volumes." + name + ".driver_opts." + spec.OptDevice
			report(spec.Diagnostic{Severity: spec.Error, Path: at, Place: p.Places.Nearest(at), Width: 1,
				Message: "a directory that was fetched can't be a volume: it never changes", Hint: "leave driver_opts out, or write a directory of yours"})
		}
	}
}

func protectMounts(p *spec.Project, s *spec.Service) {
	for i := range s.Volumes {
		if m := &s.Volumes[i]; m.Type == spec.MountBind && p.IsFetched(m.Source) {
			m.ReadOnly = true
		}
	}
}

// protectCaches refuses directories that a build would write its cache to.
func protectCaches(p *spec.Project, b *spec.Build, path string, report func(spec.Diagnostic)) {
	if b == nil {
		return
	}
	for i, value := range b.CacheTo {
		kind, attrs, _ := spec.CutCache(value)
		if kind != spec.CacheLocal || !p.IsFetched(Within(p.WorkingDir, attrs[spec.CachePlace(kind, true)])) {
			continue
		}
		at := fmt.Sprintf("%s.cache_to[%d]", path, i)
		report(spec.Diagnostic{Severity: spec.Error, Path: at, Place: p.Places.Nearest(at), Width: 1,
			Message: "a directory that was fetched can't be written to: it never changes", Hint: "write a directory of yours"})
	}
}
