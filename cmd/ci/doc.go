// Package ci tests against a stack in an instance of its own: it brings the
// environment up, runs the tests beside it, explains what failed, collects the
// artifacts and removes everything. The exit code says what came of it.
package ci
