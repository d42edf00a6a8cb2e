package spec

import (
	"path/filepath"
	"regexp"
	"strings"
)

// nameLine is the name key at the top of a file, where that is no YAML.
var nameLine = regexp.MustCompile(`(?m)^name:[ \t]*["']?([a-z0-9][a-z0-9_-]*)["']?[ \t]*(?:#.*)?\r?$`)

// knownName is the name of a project whose files have mistakes: what runs of it
// can be seen and stopped all the same. It is "" where it can't be told.
func (l *loader) knownName() string {
	byDirectory := normalName(filepath.Base(l.projectDir))
	name, instance := l.name, ""
	if l.opts.Instance != "" {
		instance = "-" + NormalInstance(l.opts.Instance)
	}
	if l.broken && name == byDirectory+instance {
		for _, file := range l.order {
			if m := nameLine.FindSubmatch(l.sources[file].data); m != nil {
				name = string(m[1]) + instance
			}
		}
	}
	if strings.Trim(name, "-_") == "" || name != normalName(name) {
		return ""
	}
	return name
}
