//go:build !failpoints

package failpoint

import "time"

// Hit marks a place between two side effects.
func Hit(string) {}

// Fail marks a place that may fail.
func Fail(string) error { return nil }

// Clock is the time of day that a test has set; false where none has.
func Clock() (time.Time, bool) { return time.Time{}, false }
