package rootfs

import (
	"maps"
	"strings"
	"sync"

	"github.com/orlop/orlop/spec/secret"
)

// Payloads are the contents of projects' secrets and configs, in memory alone, and
// what hides the secrets among them.
type Payloads struct {
	mu  sync.Mutex
	all map[string]payloads // guarded by mu: by project
}

type payloads struct {
	contents map[string][]byte // "secrets.NAME" or "configs.NAME" -> content
	mask     *secret.Mask
}

// NewPayloads knows of none.
func NewPayloads() *Payloads { return &Payloads{all: map[string]payloads{}} }

// Set gives contents of a project's secrets ("secrets.NAME") and configs
// ("configs.NAME"); given is as for Mask.
func (p *Payloads) Set(project string, contents map[string][]byte, given func() [][]byte) {
	mask := p.Mask(project, given)
	for key, content := range contents {
		if IsSecret(key) {
			mask.Add(content)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	maps.Copy(p.all[project].contents, contents)
}

// IsSecret says that a payload is a secret and no config.
func IsSecret(key string) bool { return strings.HasPrefix(key, "secrets.") }

// Content is one of a project's contents.
func (p *Payloads) Content(project, key string) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := p.all[project].contents[key]
	return b, ok
}

// Mask hides the secrets of a project in what is told of it. It knows those that
// Set gave, and those that its containers were given by an engine before this one,
// which given is asked for once.
func (p *Payloads) Mask(project string, given func() [][]byte) *secret.Mask {
	p.mu.Lock()
	known, ok := p.all[project]
	p.mu.Unlock()
	if ok {
		return known.mask
	}
	fresh := payloads{contents: map[string][]byte{}, mask: &secret.Mask{}}
	for _, content := range given() {
		fresh.mask.Add(content)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if other, ok := p.all[project]; ok {
		return other.mask
	}
	p.all[project] = fresh
	return fresh.mask
}

// Forget forgets the secrets and configs of a project, and overwrites them.
func (p *Payloads) Forget(project string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, content := range p.all[project].contents {
		clear(content)
	}
	delete(p.all, project)
}
