//go:build !failpoints

package failpoint

// Hit marks a place between two side effects.
func Hit(string) {}

// Fail marks a place that may fail.
func Fail(string) error { return nil }
