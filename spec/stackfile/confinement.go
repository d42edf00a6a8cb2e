package stackfile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
)

// seccompProfiles reads the profiles that services name: the engine gets contents.
func (l *loader) seccompProfiles(p *spec.Project) {
	if l.opts.SkipPayloads || l.opts.ImagesOnly {
		return
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
		profile, err := readSeccomp(l.projectDir, value)
		if err != nil {
			l.Report(spec.Diagnostic{Severity: spec.Error, Path: at, Place: p.Places.Nearest(at), Message: err.Error(), Width: 1})
			continue
		}
		s.SeccompProfile = profile
	}
}

// readSeccomp is the content of a profile, without white space.
func readSeccomp(dir, path string) (string, error) {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	text, err := userfile.Read(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the seccomp profile: %w", err)
	}
	var profile map[string]any
	if err := json.Unmarshal(text, &profile); err != nil {
		return "", fmt.Errorf("the seccomp profile %s is no JSON: %w", path, err)
	}
	if _, ok := profile["defaultAction"].(string); !ok {
		return "", fmt.Errorf("%s is no seccomp profile: it has no defaultAction", path)
	}
	var compact bytes.Buffer // of the text: its numbers have 64 bits
	err = json.Compact(&compact, text)
	return compact.String(), err
}
