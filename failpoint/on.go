//go:build failpoints

package failpoint

import (
	"os"
	"time"
)

// Hit marks a place between two side effects.
func Hit(name string) { _ = pass(os.Getenv(Variable), name) }

// Fail marks a place that may fail.
func Fail(name string) error { return pass(os.Getenv(Variable), name) }

// Clock is the time of day that a test has set; false where none has.
func Clock() (time.Time, bool) { return clock(os.Getenv(Variable)) }
