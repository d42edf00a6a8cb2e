package container

import (
	"fmt"
	"strings"
	"time"

	"github.com/orlop/orlop/cmd/cli"
	"github.com/orlop/orlop/cmd/display"
)

// pruneFilter reads the filters of prune, as Docker has them: until is an age or a time, label may be negated.
func pruneFilter(texts []string, now time.Time) (func(*member, *display.Container) bool, error) {
	var rules []func(*member, *display.Container) bool
	for _, text := range texts {
		key, value, ok := strings.Cut(text, "=")
		switch {
		case ok && key == "until":
			before, err := cli.Moment("filter until", value, now)
			if err != nil {
				return nil, err
			}
			rules = append(rules, func(m *member, _ *display.Container) bool { return m.CreatedAt.UnixNano() < before })
		case ok && (key == "label" || key == "label!"):
			name, want, valued := strings.Cut(value, "=")
			rules = append(rules, func(_ *member, c *display.Container) bool {
				has := c.HasLabel(name) && (!valued || c.Label(name) == want)
				return has == (key == "label")
			})
		default:
			return nil, fmt.Errorf("--filter is %q: it must be until=AGE, label=NAME[=VALUE] or label!=NAME[=VALUE]", text)
		}
	}
	return func(m *member, c *display.Container) bool {
		for _, rule := range rules {
			if !rule(m, c) {
				return false
			}
		}
		return true
	}, nil
}
