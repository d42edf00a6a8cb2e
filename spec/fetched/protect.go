package fetched

import (
	"maps"
	"slices"

	"github.com/orlop/orlop/spec"
)

// Protect has what was fetched stay as it is, whoever names it and how: it is the same
// for all projects that use it, and is what its digest says. It is mounted for reading
// alone; that it is a volume, which is written to, is a mistake.
func Protect(p *spec.Project, report func(spec.Diagnostic)) {
	if len(p.Remotes) == 0 {
		return
	}
	for _, services := range []map[string]*spec.Service{p.Services, p.Jobs, p.Provided} {
		for _, s := range services {
			protectMounts(p, s)
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
