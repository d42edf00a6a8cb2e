package plain

import (
	"bytes"
	"regexp"
	"strings"
	"sync"
)

var (
	// nameKey is the line of the name key, as YAML may write it.
	nameKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^["']?name["']?[ \t]*:(?:[ \t]+(.*))?$`) })
	// literalName is a value that is a name as it stands there.
	literalName = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`^(?:([a-z0-9][a-z0-9_-]*)|"([a-z0-9][a-z0-9_-]*)"|'([a-z0-9][a-z0-9_-]*)')[ \t]*(?:[ \t]#.*)?$`)
	})
)

// NameInBroken is the value of the name key at the top of a file that is no
// YAML, or not to its end: "" if there is none. It is not ok where the lines
// alone don't tell it, or tell two, as those of a merge conflict do.
func NameInBroken(data []byte) (name string, ok bool) {
	top := "" // indentation of the keys at the top
	begun := false
	for line := range strings.Lines(string(bytes.TrimPrefix(data, []byte("\ufeff")))) {
		line = strings.TrimRight(line, " \t\r\n")
		if rest, isMarker := strings.CutPrefix(line, "---"); isMarker {
			line, begun = rest, false
		}
		text := strings.TrimLeft(line, " \t")
		if text == "" || text[0] == '#' || text[0] == '%' {
			continue
		}
		indent := line[:len(line)-len(text)]
		if !begun {
			top, begun = indent, true
			if strings.ContainsRune("{?!&*", rune(text[0])) {
				return "", false
			}
		}
		key := nameKey().FindStringSubmatch(text)
		if indent != top || key == nil {
			continue
		}
		value := literalName().FindStringSubmatch(key[1])
		if value == nil {
			return "", false
		}
		given := value[1] + value[2] + value[3]
		if name != "" && name != given {
			return "", false
		}
		name = given
	}
	return name, true
}
