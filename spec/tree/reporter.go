package tree

import (
	"strings"

	"github.com/orlop/orlop/spec"
)

// Reporter takes diagnostics about values.
type Reporter struct {
	Report func(spec.Diagnostic)
	Strict bool // what is not supported is an error
	// Unfilled says that variables are not filled in: of a value that holds one nobody knows whether
	// it is a mistake.
	Unfilled bool
}

// IsUnfilled says that a value holds variables that nobody fills in.
func (r Reporter) IsUnfilled(n *Node) bool {
	return r.Unfilled && n.Kind == ScalarNode && strings.Contains(strings.ReplaceAll(n.Text, "$$", ""), "$")
}

// Fail reports a mistake.
func (r Reporter) Fail(n *Node, path, message, hint string) {
	if r.IsUnfilled(n) {
		return
	}
	r.Report(spec.Diagnostic{Severity: spec.Error, Path: path, Place: n.At, Message: message, Hint: hint, Width: n.Width})
}

// Warn reports what is no mistake.
func (r Reporter) Warn(n *Node, path, message, hint string) {
	r.Report(spec.Diagnostic{Severity: spec.Warning, Path: path, Place: n.At, Message: message, Hint: hint, Width: n.Width})
}

// NoEffect reports what means nothing on this kind of machine.
func (r Reporter) NoEffect(n *Node, path string, about spec.Topic, message string) {
	r.Report(spec.Diagnostic{Severity: spec.Note, Path: path, About: about, Place: n.At, Message: message, Width: n.Width})
}

// Unsupported reports what the specification knows and Orlop does not support.
func (r Reporter) Unsupported(n *Node, path string, about spec.Topic, message, hint string) {
	d := spec.Diagnostic{Severity: spec.Warning, Path: path, About: about, Place: n.At, Message: message, Hint: hint, Width: n.Width}
	if r.Strict {
		d.Severity = spec.Error
	}
	r.Report(d)
}
