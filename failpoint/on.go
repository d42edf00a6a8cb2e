//go:build failpoints

package failpoint

import "os"

// Hit marks a place between two side effects.
func Hit(name string) { _ = pass(os.Getenv(Variable), name) }

// Fail marks a place that may fail.
func Fail(name string) error { return pass(os.Getenv(Variable), name) }
