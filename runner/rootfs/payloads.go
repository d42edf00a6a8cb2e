package rootfs

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec/secret"
)

// Payloads are the contents of projects' secrets and configs, in memory alone, and
// what hides the secrets among them. Where one comes from is kept across engines:
// what is a file's is read again after a reboot.
type Payloads struct {
	docs Documents
	mu   sync.Mutex
	all  map[string]payloads // guarded by mu: by project
}

// Documents keeps small documents across engines.
type Documents interface {
	Save(bucket, key string, value []byte)
	Delete(bucket, key string)
	Load(bucket string) (map[string][]byte, error)
}

// bucketSources is the bucket of where the payloads of projects come from.
const bucketSources = "payload-sources"

// Source is where a payload comes from, as far as it can be had again.
type Source struct {
	File    string `json:"file,omitempty"`    // absolute
	Content string `json:"content,omitempty"` // of a config that the stack file holds
}

type payloads struct {
	contents map[string][]byte // "secrets.NAME" or "configs.NAME" -> content
	mask     *secret.Mask
}

// NewPayloads knows of none but where those of an engine before this one came from.
func NewPayloads(docs Documents) *Payloads { return &Payloads{docs: docs, all: map[string]payloads{}} }

// Set gives contents of a project's secrets ("secrets.NAME") and configs
// ("configs.NAME"), and where they come from; given is as for Mask.
func (p *Payloads) Set(project string, contents map[string][]byte, sources map[string]Source, given func() [][]byte) {
	p.keepSources(project, contents, sources)
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

// keepSources notes where contents come from, in place of what was noted of them.
func (p *Payloads) keepSources(project string, contents map[string][]byte, sources map[string]Source) {
	known := p.sources(project)
	for key := range contents {
		delete(known, key)
		if from, ok := sources[key]; ok {
			known[key] = from
		}
	}
	if doc, err := json.Marshal(known); err == nil && len(known) > 0 {
		p.docs.Save(bucketSources, project, doc)
	} else {
		p.docs.Delete(bucketSources, project)
	}
}

func (p *Payloads) sources(project string) map[string]Source {
	known := map[string]Source{}
	if docs, err := p.docs.Load(bucketSources); err == nil {
		_ = json.Unmarshal(docs[project], &known) // nothing is known of an earlier engine's
	}
	return known
}

// Content is one of a project's contents. What an engine before this one was given
// is read again, if it was a file's; given is as for Mask.
func (p *Payloads) Content(project, key string, given func() [][]byte) ([]byte, error) {
	p.mu.Lock()
	content, ok := p.all[project].contents[key]
	p.mu.Unlock()
	if ok {
		return content, nil
	}
	from, known := p.sources(project)[key]
	switch {
	case !known:
		return nil, fmt.Errorf("the content of %s is not known any more, and is no file's: run \"orlop up\" again", key)
	case from.File == "":
		return []byte(from.Content), nil
	}
	content, err := readAgain(from.File)
	if err != nil {
		return nil, fmt.Errorf("the file of %s can't be read again: %w", key, err)
	}
	if IsSecret(key) {
		p.Mask(project, given).Add(content)
	}
	return content, nil
}

// maxPayload bounds what is read of a file that may be another by now.
const maxPayload = 16 << 20

// readAgain reads a regular file: nobody is to wait for a pipe that took its place.
func readAgain(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() || info.Size() > maxPayload {
		return nil, fmt.Errorf("%s is no regular file of at most %d MB", path, maxPayload>>20)
	}
	return io.ReadAll(io.LimitReader(f, maxPayload))
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
	p.docs.Delete(bucketSources, project)
}
