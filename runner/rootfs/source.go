package rootfs

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec/userfile"
)

// Origin is where a payload comes from, as far as it can be had again without a
// command.
type Origin struct {
	File    string // absolute
	Content string // of a config that the stack file holds
	Stored  string // its name among those that the engine keeps
}

// bucketSources is the bucket of where the payloads of projects come from.
const bucketSources = "payload-sources"

// source is what is kept of a payload across engines: by what it is known again, and
// where it can be had.
type source struct {
	Salt    []byte             `json:"salt,omitempty"`
	Digest  []byte             `json:"digest,omitempty"` // keyed by the salt; none where an older engine kept it
	File    *userfile.Location `json:"at,omitempty"`
	Content string             `json:"content,omitempty"`
	Stored  string             `json:"stored,omitempty"` // by the engine, under this name
	Old     string             `json:"file,omitempty"`   // where an older engine found it, which is read once the digest is known
}

// keepSources notes what contents are and where they come from, in place of what was
// noted of them.
func (p *Payloads) keepSources(project string, contents map[string][]byte, origins map[string]Origin) {
	known := p.sources(project)
	was, _ := json.Marshal(known)
	for key, content := range contents {
		known[key] = newSource(content, origins[key], known[key].Salt)
	}
	doc, err := json.Marshal(known)
	switch {
	case err != nil || len(known) == 0:
		p.docs.Delete(bucketSources, project)
	case !bytes.Equal(doc, was):
		p.docs.Save(bucketSources, project, doc)
	}
}

// Learn notes what a project's payloads are of which an older engine kept no digest: those
// of the stack file, and what containers have, where they all have the same; copies is as
// for Mask.
func (p *Payloads) Learn(project string, copies Copies) {
	known := p.sources(project)
	contents, origins := map[string][]byte{}, map[string]Origin{}
	for key, all := range copies() {
		first := all[0]
		differs := func(content []byte) bool { return !bytes.Equal(content, first) }
		if len(known[key].Digest) == 0 && !strings.HasSuffix(key, filledIn) && !slices.ContainsFunc(all, differs) {
			contents[key], origins[key] = first, Origin{File: known[key].Old}
		}
	}
	for key, from := range known {
		if from.isInline() {
			contents[key], origins[key] = []byte(from.Content), Origin{Content: from.Content}
		}
	}
	if len(contents) > 0 {
		p.keepSources(project, contents, origins)
	}
}

// isInline says that an older engine kept the payload itself, as it was in the stack file.
func (s *source) isInline() bool {
	return len(s.Digest) == 0 && s.File == nil && s.Old == "" && s.Stored == ""
}

func (p *Payloads) sources(project string) map[string]source {
	known := map[string]source{}
	if docs, err := p.docs.Load(bucketSources); err == nil {
		_ = json.Unmarshal(docs[project], &known) // nothing is known of an earlier engine's
	}
	return known
}

// newSource is that of a content. A file that can't be located can't be read again.
func newSource(content []byte, from Origin, salt []byte) source {
	if salt == nil {
		salt = make([]byte, 16)
		rand.Read(salt)
	}
	s := source{Salt: salt, Content: from.Content, Stored: from.Stored}
	s.Digest = s.digest(content)
	if from.File != "" {
		if at, err := userfile.Locate(from.File); err == nil {
			s.File = &at
		}
	}
	return s
}

func (s *source) digest(content []byte) []byte {
	mac := hmac.New(sha256.New, s.Salt)
	mac.Write(content)
	return mac.Sum(nil)
}

// is says that a content is the one that was given.
func (s *source) is(content []byte) bool {
	return len(s.Digest) > 0 && hmac.Equal(s.Digest, s.digest(content))
}

// read reads a payload again, as it was given. What is in its file now and is not that
// is told to nobody.
func (s *source) read(key string) ([]byte, error) {
	if s.is([]byte(s.Content)) || s.isInline() { // the stack file's, or an empty one
		return []byte(s.Content), nil
	}
	if s.File == nil || len(s.Digest) == 0 {
		return nil, s.unknown(key)
	}
	content, err := s.File.Read(userfile.MaxText)
	switch {
	case errors.Is(err, userfile.ErrMoved), err == nil && !s.is(content):
		return nil, fmt.Errorf("its %s changed since \"orlop up\": run it again", spaced(key))
	case err != nil:
		return nil, fmt.Errorf("the file of its %s can't be read again: %w", spaced(key), err)
	}
	return content, nil
}

// take is a payload that the engine keeps, as it was given.
func (s *source) take(key string, stored func(section, name string) ([]byte, error)) ([]byte, error) {
	section, _, _ := strings.Cut(key, ".")
	if stored == nil {
		return nil, s.unknown(key)
	}
	content, err := stored(section, s.Stored)
	switch {
	case err != nil:
		return nil, fmt.Errorf("its external %s (%s) can't be had again: %w", spaced(key), s.Stored, err)
	case !s.is(content):
		return nil, fmt.Errorf("its external %s (%s) changed since \"orlop up\": run it again", spaced(key), s.Stored)
	}
	return content, nil
}

// Users are the projects that have an entry of the engine's as one of their payloads,
// where uses says that they use it still. It is an error where that can't be known.
func (p *Payloads) Users(section, name string, uses func(project, key string) bool) (projects []string, err error) {
	docs, err := p.docs.Load(bucketSources)
	if err != nil {
		return nil, fmt.Errorf("cannot tell which projects use it: %w", err)
	}
	for _, project := range slices.Sorted(maps.Keys(docs)) {
		var known map[string]source
		if err := json.Unmarshal(docs[project], &known); err != nil {
			return nil, fmt.Errorf("cannot tell whether %s uses it: what is kept of its secrets is damaged: run \"orlop up\" of it again", project)
		}
		for key, from := range known {
			if from.Stored == name && strings.HasPrefix(key, section+".") && uses(project, key) {
				projects = append(projects, project)
				break
			}
		}
	}
	return projects, nil
}

// unknown is why a payload can't be had again.
func (s *source) unknown(key string) error {
	return fmt.Errorf("the content of its %s is not known any more: run \"orlop up\" again", spaced(key))
}

// spaced is a key in words: "secret NAME" for "secrets.NAME".
func spaced(key string) string {
	kind, name, _ := strings.Cut(key, ".")
	return strings.TrimSuffix(kind, "s") + " " + name
}
