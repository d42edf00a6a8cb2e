// Package hook runs the commands that a service wants run in its containers when they
// have been started and before they are stopped (Compose Specification, post_start and
// pre_stop), and tells of those that fail.
package hook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	specs "github.com/opencontainers/runtime-spec/specs-go"

	"github.com/orlop/orlop/runner/exec"
	"github.com/orlop/orlop/runner/oci"
)

const (
	// outputSize is how much is kept of what a hook prints, in bytes; lastLines how
	// many lines of that explain its failure.
	outputSize = 64 << 10
	lastLines  = 20
)

// Place is where a hook is written.
type Place struct {
	Service string
	Key     string // post_start or pre_stop
	Index   int
}

// Error is a hook that failed, with what it printed.
type Error struct {
	*oci.KeyError
	lines []string
}

// Lines are the last that it printed.
func (e *Error) Lines() []string { return e.lines }

// Unwrap is the place and the reason.
func (e *Error) Unwrap() error { return e.KeyError }

// Is says that a hook failed.
func Is(err error) bool {
	_, ok := errors.AsType[*Error](err)
	return ok
}

// Run runs a hook in a task to its end, within a time (0: any); dir is where its pipes are made, hide masks what
// it prints. Each line of that is given to say. Its error is an Error.
func Run(ctx context.Context, task containerd.Task, doc *specs.Process, at Place, within time.Duration, dir string, hide func(string) string, say func(line string)) error {
	printed := &output{say: say}
	code, output, err := exec.Run(ctx, task, doc, exec.Bounds{Dir: dir, Output: outputSize, Time: within, Tee: printed})
	printed.end()
	switch {
	case err != nil:
		return at.Fail("cannot be run: "+err.Error(), hide(output))
	case code != 0:
		return at.Fail(fmt.Sprintf("ended with exit code %d", code), hide(output))
	}
	return nil
}

// Fail is the failure of a hook.
func (p Place) Fail(text, output string) error {
	lines := slices.Collect(strings.Lines(strings.TrimSpace(output)))
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], "\r\n")
	}
	return &Error{&oci.KeyError{Service: p.Service, Key: fmt.Sprintf("%s[%d]", p.Key, p.Index), Text: text}, lines[max(0, len(lines)-lastLines):]}
}
