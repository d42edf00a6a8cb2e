package stackfile

import (
	"fmt"
	"time"

	"github.com/orlop/orlop/spec"
)

// minProbeSpan is the shortest span of a health check that is not zero.
const minProbeSpan = time.Millisecond

// health checks that the spans of a health check fit each other.
func (v *validator) health(s *node, path string) {
	check := s.value("healthcheck")
	if check == nil || check.kind != mapNode {
		return
	}
	for _, key := range []string{"interval", "timeout", "start_period", "start_interval"} {
		n := check.value(key)
		if n == nil || n.kind != scalarNode {
			continue
		}
		if d, ok := spec.ParseDuration(n.text); ok && d > 0 && d < minProbeSpan {
			v.l.fail(n, join(path, key), fmt.Sprintf("%s is less than %s", d, minProbeSpan), "")
		}
	}
	if interval := check.field("start_interval"); interval != nil && check.value("start_period") == nil && textAt(check, "disable") != "true" {
		v.l.fail(&node{at: interval.at, width: interval.width}, path, "start_interval means nothing without start_period",
			"write start_period: and how long a start may take")
	}
}
