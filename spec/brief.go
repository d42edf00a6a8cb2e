package spec

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Brief are diagnostics as lines: one for each key or variable that they are
// about, with how often that is and where first. They come in the order of
// those first places.
func (ds Diagnostics) Brief() []string {
	var groups []*briefGroup
	byKey := map[string]*briefGroup{}
	for _, d := range ds {
		pattern := starred(d.topic())
		key := pattern + "\x00" + d.brief()
		g := byKey[key]
		if g == nil {
			g = &briefGroup{first: d, pattern: pattern}
			byKey[key] = g
			groups = append(groups, g)
		}
		g.paths = append(g.paths, d.topic())
		g.hint = cmp.Or(g.hint, d.Hint)
	}
	lines := make([]string, len(groups))
	for i, g := range groups {
		lines[i] = g.line()
	}
	return lines
}

// Topic is what a warning is about, where that is more than a value at a path:
// a key as such, or a variable.
type Topic struct {
	Subject    string // path of the key, or name of the variable; "" is the path of the value
	Text       string // what is to be said of it; "" is the message
	isVariable bool   // one that has no value
}

func (d Diagnostic) topic() string { return cmp.Or(d.About.Subject, d.Path) }
func (d Diagnostic) brief() string { return cmp.Or(d.About.Text, d.Message) }

// UnsetTopic is a variable that has no value.
func UnsetTopic(name string) Topic {
	return Topic{Subject: name, Text: "not set", isVariable: true}
}

// briefGroup are diagnostics that say the same of the same key or variable.
type briefGroup struct {
	first   Diagnostic
	pattern string
	hint    string
	paths   []string
}

func (g *briefGroup) line() string {
	n, place := len(g.paths), g.first.Place
	at := fmt.Sprintf("%s:%d", place.File, place.Line)
	if n > 1 {
		at = "first " + at
	}
	if place.File != "" {
		at = " (" + at + ")"
	} else {
		at = ""
	}
	text := g.first.brief()
	switch subject := g.pattern; {
	case g.first.About.isVariable:
		text = subject + " is not set: empty"
		if n > 1 {
			text += fmt.Sprintf(" in %d places", n)
		}
	case subject == "":
	case n == 1:
		text = g.first.topic() + ": " + text
	default:
		text = subject + ": " + text + ", " + g.count()
	}
	text += at
	if g.hint != "" {
		text += "; " + g.hint
	}
	return text
}

// count is how often: in services, networks, ..., or just places.
func (g *briefGroup) count() string {
	section, _, _ := strings.Cut(g.pattern, ".")
	names := map[string]bool{}
	for _, p := range g.paths {
		if parts := strings.SplitN(p, ".", 3); len(parts) > 1 {
			names[parts[1]] = true
		}
	}
	if len(names) == len(g.paths) && slices.Contains(sections(), section) {
		return Plural(len(names), strings.TrimSuffix(section, "s"))
	}
	return Plural(len(g.paths), "place")
}

// sections are the parts of a file whose keys are names.
func sections() []string { return []string{"services", "networks", "volumes", "secrets", "configs"} }

// indexes are the places in lists of a path.
var indexes = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`\[[0-9]+\]`) })

// starred is a path with stars for the names of the user, and without the
// places in lists.
func starred(path string) string {
	parts := strings.Split(indexes().ReplaceAllString(path, ""), ".")
	if len(parts) > 1 && slices.Contains(sections(), parts[0]) {
		parts[1] = "*"
		if len(parts) > 3 && parts[0] == "services" && (parts[2] == "networks" || parts[2] == "depends_on") {
			parts[3] = "*"
		}
	}
	return strings.Join(parts, ".")
}
