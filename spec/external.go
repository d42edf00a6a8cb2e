package spec

import (
	"maps"
	"slices"
	"strings"
)

// ExternalUse is an external secret or config that services of a project use.
type ExternalUse struct {
	Section string // secrets or configs
	Key     string // in the stack file
	Name    string // in the engine's store
}

// UsesFile says that a service uses a secret or config: "secrets.NAME", "configs.NAME".
func (s *Service) UsesFile(key string) bool {
	section, name, _ := strings.Cut(key, ".")
	uses := map[string][]FileMount{"secrets": s.Secrets, "configs": s.Configs}[section]
	return slices.ContainsFunc(uses, func(f FileMount) bool { return f.Source == name })
}

// External are the external secrets and configs that are used.
func (p *Project) External() []ExternalUse {
	used := map[string]bool{}
	users := withInitContainers(p.Services)
	for _, name := range p.ScheduledWork() {
		users = append(users, p.Jobs[name])
	}
	for _, s := range users {
		for _, f := range s.Secrets {
			used["secrets."+f.Source] = true
		}
		for _, f := range s.Configs {
			used["configs."+f.Source] = true
		}
	}
	var all []ExternalUse
	for _, key := range slices.Sorted(maps.Keys(p.Secrets)) {
		if s := p.Secrets[key]; s.External && used["secrets."+key] {
			all = append(all, ExternalUse{"secrets", key, s.Name})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.Configs)) {
		if c := p.Configs[key]; c.External && used["configs."+key] {
			all = append(all, ExternalUse{"configs", key, c.Name})
		}
	}
	return all
}
