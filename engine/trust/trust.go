// Package trust is what the settings of an engine say of images that come from registries: which are used, and by whose
// word. It decides by names; it reads no registry and verifies nothing.
package trust

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/distribution/reference"

	"github.com/orlop/orlop/engine/signature"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/userfile"
)

// Requirement is what is asked of an image.
type Requirement string

// The requirements. Without any rule it is Nothing.
const (
	Nothing  Requirement = "nothing"
	SignedBy Requirement = "signed-by" // by one of the keys or certificates
	Pinned   Requirement = "pinned"    // named by its digest, or by the one that orlop.lock has
	Refuse   Requirement = "refuse"
)

func requirements() []string {
	return []string{string(Nothing), string(Pinned), string(Refuse), string(SignedBy)}
}

// Rule is what is asked of the images of some repositories.
type Rule struct {
	Require      Requirement `yaml:"require"`
	Keys         []string    `yaml:"keys"`         // files of public keys
	Certificates []string    `yaml:"certificates"` // files of certificates
	Local        bool        `yaml:"local"`        // also of images that were built or loaded here

	Pattern string `yaml:"-"`
	Place   string `yaml:"-"` // file:line:column
}

// Policy has a rule for each pattern of repositories: "docker.io/library/redis" or "redis", "registry.example/shop/*",
// "*".
type Policy map[string]Rule

// every is the pattern of all repositories.
const every = "*"

// Check says all that is wrong in a policy. at is where the value of a key stands.
func (p Policy) Check(at func(keys ...string) string) error {
	var errs []error
	wrong := func(key []string, format string, args ...any) {
		keys := append([]string{"trust"}, key...)
		errs = append(errs, fmt.Errorf("%s: trust.%q%s", at(keys...), key[0], fmt.Sprintf(format, args...)))
	}
	seen := map[string]string{}
	for _, pattern := range slices.Sorted(maps.Keys(p)) {
		r := p[pattern]
		whole, err := normalize(pattern)
		switch other := seen[whole]; {
		case err != nil:
			wrong([]string{pattern}, ": %v", err)
		case other != "":
			wrong([]string{pattern}, ": it means the same as %q: leave one of them", other)
		}
		seen[whole] = pattern
		switch {
		case r.Require == "":
			wrong([]string{pattern}, ": require is missing: there are %s", strings.Join(requirements(), ", "))
		case !slices.Contains(requirements(), string(r.Require)):
			hint := spec.DidYouMean(string(r.Require), requirements())
			if hint == "" {
				hint = "there are " + strings.Join(requirements(), ", ")
			}
			wrong([]string{pattern, "require"}, ".require: no such word as %q: %s", r.Require, hint)
		case r.Require == SignedBy && len(r.Keys)+len(r.Certificates) == 0:
			wrong([]string{pattern}, ": signed by whom? name keys: [FILE] or certificates: [FILE]")
		case r.Require != SignedBy && len(r.Keys)+len(r.Certificates) > 0:
			wrong([]string{pattern}, ": keys and certificates are those of require: signed-by, and this is require: %s", r.Require)
		}
		for _, of := range []struct {
			key   string
			files []string
		}{{"keys", r.Keys}, {"certificates", r.Certificates}} {
			for i, f := range of.files {
				if !strings.HasPrefix(f, "/") {
					wrong([]string{pattern, of.key, strconv.Itoa(i)}, ".%s[%d]: %q is not the full path of a file", of.key, i, f)
				}
			}
		}
	}
	return errors.Join(errs...)
}

// Place notes where the rules stand.
func (p Policy) Place(at func(keys ...string) string) {
	for pattern, r := range p {
		r.Pattern, r.Place = pattern, at("trust", pattern)
		p[pattern] = r
	}
}

// Of is the rule for an image by its full name: that of the longest pattern, however the name or the pattern is spelt.
// Where none is for it, nothing is asked. An image without a name, "", has the rule of all: only that one closes the set.
func (p Policy) Of(name string) (Rule, error) {
	if len(p) == 0 {
		return Rule{Require: Nothing}, nil
	}
	if name == "" {
		if r, ok := p[every]; ok {
			return r, nil
		}
		return Rule{Require: Nothing}, nil
	}
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return Rule{Require: Refuse}, fmt.Errorf("%q is not an image reference: %w", name, err)
	}
	repository := repositoryOf(named)
	best, found := -1, Rule{Require: Nothing}
	for pattern, r := range p {
		whole, err := normalize(pattern)
		if err != nil {
			return Rule{Require: Refuse}, err
		}
		is := repository == whole || whole == "" || strings.HasSuffix(whole, "/") && strings.HasPrefix(repository, whole)
		if is && len(whole) > best {
			best, found = len(whole), r
		}
	}
	return found, nil
}

// Examine says which rules have keys or certificates that can't be read: they admit nothing.
func (p Policy) Examine() error {
	var errs []error
	for _, pattern := range slices.Sorted(maps.Keys(p)) {
		_, err := p[pattern].Trusted()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Trusted are the keys and certificates of a rule.
func (r Rule) Trusted() (*signature.Trusted, error) {
	t := &signature.Trusted{}
	for _, name := range r.Keys {
		text, err := userfile.Read(name)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot read a key: %w", r.Place, err)
		}
		if err := t.AddKey(name, text); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Place, err)
		}
	}
	for _, name := range r.Certificates {
		text, err := userfile.Read(name)
		if err != nil {
			return nil, fmt.Errorf("%s: cannot read a certificate: %w", r.Place, err)
		}
		if err := t.AddCertificates(name, text); err != nil {
			return nil, fmt.Errorf("%s: %w", r.Place, err)
		}
	}
	return t, nil
}
