package ps

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
	"github.com/orlop/orlop/planner"
)

// Filter are the filters of a command line, in the words of Docker's ps. Those of one key
// are alternatives, but labels must all hold.
type Filter struct {
	States                        []string
	names, labels, ids, ancestors []string
	networks, volumes, healths    []string
	codes                         []int
}

// FilterHelp is what --filter takes, for its help.
const FilterHelp = "only containers that `KEY=VALUE` holds for: status, name, label, id, ancestor, network, volume, health, exited"

// ReadFilter reads --filter.
func ReadFilter(texts []string) (*Filter, error) {
	f := &Filter{}
	into := map[string]*[]string{
		"status": &f.States, "name": &f.names, "label": &f.labels, "id": &f.ids, "ancestor": &f.ancestors, "network": &f.networks, "volume": &f.volumes, "health": &f.healths,
	}
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		list := into[key]
		switch {
		case ok && key == "exited":
			code, err := strconv.Atoi(value)
			if err != nil {
				return nil, fmt.Errorf("--filter is %q: exited must be an exit code", text)
			}
			f.codes = append(f.codes, code)
			continue
		case !ok || list == nil:
			return nil, fmt.Errorf("--filter is %q: it must be status=STATE, name=TEXT, label=NAME[=VALUE], id=ID, ancestor=IMAGE, network=NAME, volume=NAME, health=HEALTH or exited=CODE", text)
		case key == "status":
			if err := cli.OneOf("--filter status", value, states()); err != nil {
				return nil, err
			}
		case key == "health":
			if err := cli.OneOf("--filter health", value, []string{"starting", "healthy", "unhealthy", "none"}); err != nil {
				return nil, err
			}
		}
		*list = append(*list, value)
	}
	return f, nil
}

// states are those of Docker. What nothing here ever is, is nobody's.
func states() []string {
	return []string{"created", "running", "restarting", "exited", "paused", "removing", "dead"}
}

// Holds says whether a container is one of those, its state left out.
func (f *Filter) Holds(c *display.Container) bool {
	any := func(list []string, holds func(string) bool) bool {
		return len(list) == 0 || slices.ContainsFunc(list, holds)
	}
	of := func(text string) func(string) bool {
		return func(want string) bool { return slices.Contains(strings.Split(text, ","), want) }
	}
	switch {
	case !any(f.names, func(part string) bool { return strings.Contains(c.Name, part) }),
		!any(f.ids, func(start string) bool { return strings.HasPrefix(c.ID, start) }),
		!any(f.ancestors, func(image string) bool { return isOf(c.Image, image) }),
		!any(f.networks, of(c.Networks)), !any(f.volumes, of(c.Mounts)),
		!any(f.healths, func(health string) bool { return health == c.Health || health == "none" && c.Health == "" }),
		len(f.codes) > 0 && (c.State != "exited" || !slices.Contains(f.codes, c.ExitCode)):
		return false
	}
	return !slices.ContainsFunc(f.labels, func(want string) bool {
		name, value, valued := strings.Cut(want, "=")
		return !c.HasLabel(name) || valued && c.Label(name) != value
	})
}

// isOf says whether an image is the one that is asked for, whatever its tag if that names none.
func isOf(image, want string) bool {
	return image == want || strings.HasPrefix(image, want+":") || strings.HasPrefix(image, want+"@")
}

// IsOfState says whether a container is in one of the states that are asked for.
func (f *Filter) IsOfState(c *planner.Container) bool {
	return slices.Contains(f.States, display.StateWord(c))
}
