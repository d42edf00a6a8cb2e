package values

import (
	"fmt"
	"time"

	"github.com/orlop/orlop/spec/tree"

	"github.com/orlop/orlop/spec"
)

// minProbeSpan is the shortest span of a health check that is not zero.
const minProbeSpan = time.Millisecond

// health checks that the spans of a health check fit each other.
func (c checker) health(s *tree.Node, path string) {
	check := s.Value("healthcheck")
	if check == nil || check.Kind != tree.MapNode {
		return
	}
	path += ".healthcheck"
	for _, key := range []string{"interval", "timeout", "start_period", "start_interval"} {
		n := check.Value(key)
		if n == nil || n.Kind != tree.ScalarNode {
			continue
		}
		if d, ok := spec.ParseDuration(n.Text); ok && d > 0 && d < minProbeSpan {
			c.Fail(n, tree.Join(path, key), fmt.Sprintf("%s is less than %s", d, minProbeSpan), "")
		}
	}
	if interval := check.Field("start_interval"); interval != nil && check.Value("start_period") == nil && tree.TextAt(check, "disable") != "true" {
		c.Fail(&tree.Node{At: interval.At, Width: interval.Width}, path, "start_interval means nothing without start_period",
			"write start_period: and how long a start may take")
	}
}
