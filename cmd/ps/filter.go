package ps

import (
	"fmt"
	"slices"
	"strings"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// filter are the filters of a command line, in the words of Docker's ps. Those of one key
// are alternatives, but labels must all hold.
type filter struct {
	states, names, labels []string
}

func readFilter(texts []string) (*filter, error) {
	f := &filter{}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		switch {
		case ok && key == "status":
			// What Docker has and nothing here ever is, is nobody's.
			if err := cli.OneOf("--filter status", value, []string{"created", "running", "restarting", "exited", "paused", "removing", "dead"}); err != nil {
				return nil, err
			}
			f.states = append(f.states, value)
		case ok && key == "name":
			f.names = append(f.names, value)
		case ok && key == "label":
			f.labels = append(f.labels, value)
		default:
			return nil, fmt.Errorf("--filter is %q: it must be status=STATE, name=TEXT or label=NAME[=VALUE]", text)
		}
	}
	return f, nil
}

// holds says whether a container is one of those by name and labels.
func (f *filter) holds(c *display.Container) bool {
	named := len(f.names) == 0 || slices.ContainsFunc(f.names, func(part string) bool { return strings.Contains(c.Name, part) })
	return named && !slices.ContainsFunc(f.labels, func(want string) bool {
		name, value, valued := strings.Cut(want, "=")
		return !c.HasLabel(name) || valued && c.Label(name) != value
	})
}
