package rootfs

import (
	"maps"
	"strings"
	"sync"

	"github.com/orlop/orlop/spec/secret"
)

// Payloads are the contents of projects' secrets and configs, in memory alone, and
// what hides the secrets among them. Where one comes from, and which one it was, is
// kept across engines: the next one takes what containers have of it, or, after a
// reboot, what is in the file that it came from.
type Payloads struct {
	// Stored gives those that the engine keeps itself ("secrets" or "configs", name); nil: none.
	Stored func(section, name string) ([]byte, error)

	docs Documents
	mu   sync.Mutex
	all  map[string]payloads // guarded by mu: by project
}

// Copies are what containers of a project have of its payloads, by "secrets.NAME" and
// "configs.NAME"; and what came of those that are templates, by keys that none has.
type Copies func() map[string][][]byte

// Documents keeps small documents across engines.
type Documents interface {
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
	Load(bucket string) (map[string][]byte, error)
}

type payloads struct {
	contents map[string][]byte // "secrets.NAME" or "configs.NAME" -> content
	mask     *secret.Mask
}

// NewPayloads knows of none but where those of an engine before this one came from.
func NewPayloads(docs Documents) *Payloads { return &Payloads{docs: docs, all: map[string]payloads{}} }

// Set gives contents of a project's secrets ("secrets.NAME") and configs
// ("configs.NAME"), and where they come from; copies is as for Mask.
func (p *Payloads) Set(project string, contents map[string][]byte, origins map[string]Origin, copies Copies) {
	p.keepSources(project, contents, origins)
	mask := p.Mask(project, copies)
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

// Of gives the contents of a project, by key; see Content.
func (p *Payloads) Of(project string, copies Copies) func(key string) ([]byte, error) {
	return func(key string) ([]byte, error) { return p.Content(project, key, copies) }
}

// Content is one of a project's contents. One that an engine before this one was given
// is what a container has of it, or else what its file has, if that is still the same;
// copies is as for Mask.
func (p *Payloads) Content(project, key string, copies Copies) ([]byte, error) {
	p.mu.Lock()
	content, ok := p.all[project].contents[key]
	p.mu.Unlock()
	if ok {
		return content, nil
	}
	from, known := p.sources(project)[key]
	if !known {
		return nil, from.unknown(key)
	}
	for _, content := range copies()[key] {
		if from.is(content) {
			return content, nil
		}
	}
	var err error
	if from.Stored != "" {
		content, err = from.take(key, p.Stored)
	} else {
		content, err = from.read(key)
	}
	if err == nil && IsSecret(key) {
		p.Mask(project, copies).Add(content)
	}
	return content, err
}

// Mask hides the secrets of a project in what is told of it. It knows those that
// Set gave, and those that its containers were given by an engine before this one,
// which copies is asked for once.
func (p *Payloads) Mask(project string, copies Copies) *secret.Mask {
	p.mu.Lock()
	known, ok := p.all[project]
	p.mu.Unlock()
	if ok {
		return known.mask
	}
	fresh := payloads{contents: map[string][]byte{}, mask: &secret.Mask{}}
	for key, contents := range copies() {
		if !IsSecret(key) {
			continue
		}
		for _, content := range contents {
			fresh.mask.Add(content)
		}
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
	p.docs.Delete(bucketSources, project)
}
