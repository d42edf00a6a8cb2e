package rootfs

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/orlop/orlop/spec/userfile"
)

// Origin is where a payload comes from, as far as it can be had again without a
// command.
type Origin struct {
	File    string // absolute
	Content string // of a config that the stack file holds
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
	s := source{Salt: salt, Content: from.Content}
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
	if s.is([]byte(s.Content)) { // the stack file's, or an empty one
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

// unknown is why a payload can't be had again.
func (s *source) unknown(key string) error {
	return fmt.Errorf("the content of its %s is not known any more: run \"orlop up\" again", spaced(key))
}

// spaced is a key in words: "secret NAME" for "secrets.NAME".
func spaced(key string) string {
	kind, name, _ := strings.Cut(key, ".")
	return strings.TrimSuffix(kind, "s") + " " + name
}
