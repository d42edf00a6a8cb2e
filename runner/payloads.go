package runner

import (
	"strings"

	"github.com/orlop/orlop/spec/secret"
)

// payloads are the contents of a project's secrets and configs, in memory and on
// a tmpfs only, and what hides the secrets among them.
type payloads struct {
	contents map[string][]byte // "secrets.NAME" or "configs.NAME" -> content
	mask     *secret.Mask
}

// SetPayloads gives contents of a project's secrets ("secrets.NAME") and configs
// ("configs.NAME").
func (r *Runner) SetPayloads(project string, contents map[string][]byte) {
	mask := r.Mask(project)
	for key, content := range contents {
		if IsSecret(key) {
			mask.Add(content)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.payloads[project]
	for key, content := range contents {
		p.contents[key] = content
	}
	r.payloads[project] = p
}

// IsSecret says that a payload is a secret and no config.
func IsSecret(key string) bool { return strings.HasPrefix(key, "secrets.") }

func (r *Runner) payload(project, key string) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.payloads[project].contents[key]
	return b, ok
}

// Mask hides the secrets of a project in what is told of it. It knows those that
// SetPayloads gave, and those that its containers were given by an engine before
// this one.
func (r *Runner) Mask(project string) *secret.Mask {
	r.mu.Lock()
	p, ok := r.payloads[project]
	var containers []*container
	for _, c := range r.containers {
		if c.project == project {
			containers = append(containers, c)
		}
	}
	r.mu.Unlock()
	if ok {
		return p.mask
	}
	p = payloads{contents: map[string][]byte{}, mask: &secret.Mask{}}
	for _, c := range containers {
		for i := range c.snapshot().Applied.Service.Secrets {
			p.mask.Add(r.secrets.Read(c.id, i))
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if other, ok := r.payloads[project]; ok {
		return other.mask
	}
	r.payloads[project] = p
	return p.mask
}

// ForgetPayloads forgets the secrets and configs of a project whose containers
// are gone, and overwrites them.
func (r *Runner) ForgetPayloads(project string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, content := range r.payloads[project].contents {
		clear(content)
	}
	delete(r.payloads, project)
}
