package stackfile

import (
	"strings"

	"github.com/orlop/orlop/spec"
)

// knownName is the name of a project whose files have mistakes: what runs of it
// can be seen and stopped all the same. It is "" where it can't be told: a
// guess may be the name of another project that runs.
func (l *loader) knownName() string {
	if l.nameUnsure || strings.Trim(l.name, "-_") == "" || l.name != spec.NormalName(l.name) {
		return ""
	}
	return l.name
}
