package registries

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// findings are what somebody should look at before a stack is published. They name places, and no values.
type findings struct {
	all []string
	env []string // of the environment: --with-env says that it is meant
}

func (f *findings) add(path string, line int, text string) {
	f.all = append(f.all, fmt.Sprintf("%s:%d: %s", filepath.Base(path), line, text))
}

func (f *findings) addEnv(path string, line int, text string) {
	f.env = append(f.env, fmt.Sprintf("%s:%d: %s", filepath.Base(path), line, text))
}

// lines are all of them, each once.
func (f *findings) lines(withEnv bool) []string {
	all := slices.Clone(f.all)
	if !withEnv {
		all = append(all, f.env...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// secretForms are what secrets look like that have a form of their own.
var secretForms = sync.OnceValue(func() map[string]*regexp.Regexp {
	return map[string]*regexp.Regexp{
		"a private key":                     regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY( BLOCK)?-----`),
		"an access key of AWS":              regexp.MustCompile(`\b(A3T[A-Z0-9]|AKIA|AGPA|AIDA|AROA|AIPA|ANPA|ANVA|ASIA)[A-Z0-9]{16}\b`),
		"a secret key of AWS":               regexp.MustCompile(`(?i)aws[a-z_. -]*(secret|key)[a-z_. -]*["']?\s*[:=]\s*["']?[A-Za-z0-9/+=]{40}\b`),
		"a token of GitHub":                 regexp.MustCompile(`\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})`),
		"a token of GitLab":                 regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20,}`),
		"a token of Slack":                  regexp.MustCompile(`\bxox[abposr]-[A-Za-z0-9-]{10,}`),
		"an API key of Google":              regexp.MustCompile(`\bAIza[A-Za-z0-9_-]{35}\b`),
		"a secret key of Stripe":            regexp.MustCompile(`\b[sr]k_live_[A-Za-z0-9]{20,}`),
		"a JSON web token":                  regexp.MustCompile(`\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}`),
		"an address with a user's password": regexp.MustCompile(`[a-z][a-z0-9+.-]*://[^\s/:@$"'{}]+:[^\s/:@$"'{}]+@`),
	}
})

// scan looks for secrets in what is published.
func (f *findings) scan(name string, text []byte) {
	line := 0
	for one := range bytes.Lines(text) {
		line++
		for what, form := range sorted(secretForms()) {
			if form.Match(one) {
				f.add(name, line, "there is what looks like "+what)
			}
		}
	}
}

// secretName is what variables are called that hold secrets.
var secretName = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)(passw(or)?d|passphrase|_pwd\b|^pwd$|secret|token|api_?key|private_?key|access_?key|credential)`)
})

// isSecretName says that a variable holds a secret by its name, and not the name of its file.
func isSecretName(name string) bool {
	return secretName().MatchString(name) && !strings.HasSuffix(strings.ToUpper(name), "_FILE")
}

// sorted goes through a map by its keys.
func sorted[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
