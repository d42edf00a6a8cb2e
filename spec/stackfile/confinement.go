package stackfile

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/schema"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
)

// securityOpts checks what a service says of its confinement.
func (v *validator) securityOpts(s *tree.Node, path string) {
	list := s.Value("security_opt")
	if list == nil {
		return
	}
	for i, item := range list.Items {
		if item.Kind != tree.ScalarNode {
			continue
		}
		at := tree.Indexed(path+".security_opt", i)
		name, value := spec.CutSecurityOpt(item.Text)
		if !slices.Contains(spec.SecurityOpts(), name) {
			v.l.Fail(item, at, fmt.Sprintf("no security option is called %q", spec.Shorten(name)), spec.DidYouMean(name, spec.SecurityOpts()))
			continue
		}
		words := map[string][]string{
			spec.OptNoNewPrivileges: {"", "true", "false"}, spec.OptWritableCgroups: {"", "true", "false"}, spec.OptSystemPaths: {spec.Unconfined},
		}[name]
		switch {
		case words != nil && !slices.Contains(words, value):
			v.l.Fail(item, at, fmt.Sprintf("%q is no value of %s", spec.Shorten(value), name), "write "+name+"="+words[len(words)-1])
		case words == nil && value == "":
			v.l.Fail(item, at, name+" has no value", "write "+name+"="+spec.Unconfined)
		case name == spec.OptLabel:
			v.l.NoEffect(item, at, spec.Topic{Subject: path + ".security_opt", Text: "no effect: " + schema.NoSELinux}, fmt.Sprintf("%q has no effect: %s", item.Text, schema.NoSELinux))
		}
	}
}

// seccompProfiles reads the profiles that services name: the engine gets contents.
func (l *loader) seccompProfiles(p *spec.Project) {
	for name, s := range p.Services {
		for i, opt := range s.SecurityOpt {
			key, value := spec.CutSecurityOpt(opt)
			if key != spec.OptSeccomp || value == spec.Unconfined || value == spec.SeccompBuiltin {
				continue
			}
			at := tree.Indexed("services."+name+".security_opt", i)
			profile, err := readSeccomp(l.projectDir, value)
			if err != nil {
				l.Report(spec.Diagnostic{Severity: spec.Error, Path: at, Place: p.Places.Nearest(at), Message: err.Error(), Width: 1})
				continue
			}
			s.SeccompProfile = profile
		}
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
	compact, err := json.Marshal(profile)
	return string(compact), err
}
