package stackfile

import (
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
)

// seccompProfiles reads the profiles that services name: the engine gets contents.
func (l *loader) seccompProfiles(p *spec.Project) {
	if l.opts.SkipPayloads || l.opts.ImagesOnly {
		return
	}
	for name, s := range p.Jobs {
		l.seccompProfile(p, s, "jobs."+name)
	}
	for name, s := range p.Services {
		l.seccompProfile(p, s, "services."+name)
		for i, first := range s.PreStart {
			l.seccompProfile(p, first, tree.Indexed("services."+name+".pre_start", i))
		}
	}
}

// seccompProfile reads the profile of one service.
func (l *loader) seccompProfile(p *spec.Project, s *spec.Service, path string) {
	for i, opt := range s.SecurityOpt {
		key, value := spec.CutSecurityOpt(opt)
		if key != spec.OptSeccomp || value == spec.Unconfined || value == spec.SeccompBuiltin {
			continue
		}
		at := tree.Indexed(path+".security_opt", i)
		profile, err := userfile.Seccomp(l.projectDir, value)
		if err != nil {
			l.Report(spec.Diagnostic{Severity: spec.Error, Path: at, Place: p.Places.Nearest(at), Message: err.Error(), Width: 1})
			continue
		}
		s.SeccompProfile = profile
	}
}
