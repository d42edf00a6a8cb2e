package registries

import (
	"regexp"
	"strings"
	"sync"

	"gopkg.in/yaml.v3"
)

// environment looks for secrets in the environment of a container or hook.
func (f *rewriting) environment(at string, n *yaml.Node) {
	list := valueOf(n, "environment")
	if list == nil {
		return
	}
	for _, part := range merged(list) {
		for name, value := range pairs(part) {
			f.assigned(at+".environment", name, value)
		}
	}
	for _, one := range items(list) {
		if name, _, ok := strings.Cut(one.Value, "="); ok && one.Kind == yaml.ScalarNode {
			f.assigned(at+".environment", name, one)
		}
	}
}

// assigned looks at a value of an environment, or at a NAME=VALUE.
func (f *rewriting) assigned(at, name string, n *yaml.Node) {
	if isSecret(name, n) && !f.isDone(n) {
		f.findings.addEnv(f.path, n.Line, at+"."+name+" has its value in the file")
	}
}

// secrets looks for secrets wherever else they may be, by the names of keys: arguments of builds, labels, what anchors
// of extensions hold. An anchor is looked at where it stands.
func (f *rewriting) secrets(at string, n *yaml.Node) {
	inside := func(name string) string { return strings.TrimPrefix(at+"."+name, ".") }
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			name, value := n.Content[i].Value, n.Content[i+1]
			if isSecret(name, value) && !f.isDone(value) {
				f.findings.add(f.path, value.Line, inside(name)+" has its value in the file")
			}
			f.secrets(inside(name), value)
		}
	case yaml.SequenceNode:
		for _, one := range n.Content {
			name, _, _ := strings.Cut(one.Value, "=")
			if isAssignment().MatchString(one.Value) && isSecret(name, one) && !f.isDone(one) {
				f.findings.add(f.path, one.Line, inside(strings.TrimLeft(name, "-"))+" has its value in the file")
			}
			f.secrets(at, one)
		}
	}
}

// isAssignment matches NAME=VALUE and --name=VALUE.
var isAssignment = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_.-]+=`) })

// isSecret says that a key, or a NAME=VALUE, has a secret in the file.
func isSecret(name string, n *yaml.Node) bool {
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!bool" || n.ShortTag() == "!!null" {
		return false
	}
	return isSecretName(name) && isLiteral(strings.TrimPrefix(n.Value, name+"="))
}

// isLiteral says that a value, or some of it, is in the file, and not filled in from elsewhere: it stands beside variables,
// or is what one is without a value, or with one.
func isLiteral(value string) bool {
	const least = 3 // shorter ones are no secrets
	value = strings.ReplaceAll(value, "$$", "\x00")
	return len(strings.TrimSpace(filledIn().ReplaceAllString(value, ""))) >= least
}

// filledIn matches what of a text with variables ("Interpolation" of the Compose Specification) is none of its own: their
// names, and the messages of those that are required.
var filledIn = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*(:?\?[^}]*|:?[-+])?|\$[A-Za-z_][A-Za-z0-9_]*|\}`)
})
