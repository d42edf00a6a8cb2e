package stackfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/fetched"
	"github.com/orlop/orlop/spec/tree"
	"github.com/orlop/orlop/spec/userfile"
)

// Remotes fetches stacks that stand elsewhere.
type Remotes interface {
	// Fetch gives the files of what a reference names, as the lock of a project's
	// directory has it. The same reference is the same in the whole load. An error
	// says what to do.
	Fetch(ctx context.Context, reference, projectDir string) (*spec.Remote, error)
}

// pathsOf are the paths of a file.
func (l *loader) pathsOf(src *source) *fetched.Paths {
	return &fetched.Paths{Report: l.Reporter, Remotes: &l.remotes, Base: src.base, Root: src.root}
}

// isRemote says that a path of include, extends or -f stands elsewhere. A file of that
// name wins where one can be meant.
func (l *loader) isRemote(path, base string) bool {
	if strings.Contains(path, "://") {
		return true
	}
	if !spec.IsRemoteName(path) {
		return false
	}
	_, err := os.Stat(fetched.Within(base, path))
	return err != nil
}

// fileOf is the file that include or extends names in a file, or in what it names
// elsewhere.
func (l *loader) fileOf(src *source, n *tree.Node, path string) (string, bool) {
	if !l.isRemote(n.Text, src.base) {
		at := fetched.Within(src.base, n.Text)
		return at, l.pathsOf(src).May(n, at, path)
	}
	if l.remotes.Refuse(l.Reporter, n, path) {
		return "", false
	}
	if l.opts.Remotes == nil {
		verb := "included"
		if strings.HasSuffix(path, ".extends") {
			verb = "extended"
		}
		l.Fail(n, path, "only local files can be "+verb, "")
		return "", false
	}
	at, err := l.remotes.File(n.Text, userfile.StackNames())
	if err != nil {
		l.Fail(n, path, err.Error(), "")
	}
	return at, err == nil
}

// stackFile is the path of a stack file that the caller names, and the directory that
// its paths start from.
func (l *loader) stackFile(path string) (at, base string, err error) {
	if path == "-" || !l.isRemote(path, l.dir) {
		return path, l.projectDir, nil
	}
	if l.opts.Remotes == nil {
		return "", "", errors.New("cannot read " + path + ": only local files are read")
	}
	if at, err = l.remotes.File(path, userfile.StackNames()); err != nil {
		return "", "", l.named(err)
	}
	if l.opts.ProjectDirectory != "" {
		return at, l.projectDir, nil
	}
	return at, filepath.Dir(at), nil
}

// absent notes that a stack file which the caller names is not there: its name of the
// project isn't known.
func (l *loader) absent(err error) {
	l.broken, l.nameHidden = true, true
	l.Report(spec.Diagnostic{Severity: spec.Error, Message: err.Error()})
}

// told is a lookup for a file of a remote, which notes the variables of the caller's that
// it tells, with the place of what is read at that time; nil: the file is the user's own.
// Last, which may be nil, is the last one that has something of the caller's in its value.
func (l *loader) told(r *spec.Remote, at *spec.Place, lookup func(string) (string, bool), last *string) func(string) (string, bool) {
	if r == nil {
		return lookup
	}
	return func(name string) (string, bool) {
		value, ok := lookup(name)
		if ok && l.isCallers(name) {
			fetched.NoteVariable(r, name, *at)
		}
		if ok && last != nil && (l.isCallers(name) || l.remotes.Tells(name)) {
			*last = name
		}
		return value, ok
	}
}

// isCallers says that a variable is one of the caller's, not what a stack file or one
// of its environment files says.
func (l *loader) isCallers(name string) bool {
	_, ok := l.lookup(name)
	return ok && name != "COMPOSE_PROJECT_NAME"
}

// toldAt is told for what stands at a place.
func (l *loader) toldAt(place spec.Place, lookup func(string) (string, bool)) func(string) (string, bool) {
	if i := slices.IndexFunc(l.remotes.List, place.IsIn); i >= 0 {
		return l.told(l.remotes.List[i], &place, lookup, nil)
	}
	return lookup
}
