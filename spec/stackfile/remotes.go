package stackfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/tree"
)

// Remotes fetches stacks that stand elsewhere.
type Remotes interface {
	// Fetch gives the files of what a reference names, as the lock of a project's
	// directory has it. The same reference is the same in the whole load. An error
	// says what to do.
	Fetch(ctx context.Context, reference, projectDir string) (*spec.Remote, error)
}

// maxRemotes is how many references a stack may have.
const maxRemotes = 32

// remotes are those of one load.
type remotes struct {
	fetch func(reference string) (*spec.Remote, error)
	known map[string]*spec.Remote // by reference
	list  []*spec.Remote          // as they were fetched
}

// get is what a reference names, fetched once.
func (r *remotes) get(reference string) (*spec.Remote, error) {
	if got, ok := r.known[reference]; ok {
		return got, nil
	}
	if len(r.known) == maxRemotes {
		return nil, fmt.Errorf("a stack may be made of at most %d remote ones", maxRemotes)
	}
	got, err := r.fetch(reference)
	if err != nil {
		return nil, err
	}
	if r.known == nil {
		r.known = map[string]*spec.Remote{}
	}
	r.known[reference] = got
	r.list = append(r.list, got)
	return got, nil
}

// of is the remote that a file was fetched with; nil: none.
func (r *remotes) of(path string) *spec.Remote {
	for _, one := range r.list {
		if isBelow(path, one.Dir) {
			return one
		}
	}
	return nil
}

// rootOf is the directory that the paths of a file must stay in: of one that was
// fetched, where it was fetched to, or the directory that the user has its paths start
// from; "" of other files.
func (r *remotes) rootOf(path, base string) string {
	switch one := r.of(path); {
	case one == nil:
		return ""
	case isBelow(base, one.Dir):
		return one.Dir
	}
	return base
}

// mustHave refuses a file below what was fetched that a link leads out of it.
func (r *remotes) mustHave(path string) error {
	if one := r.of(path); one != nil && !staysIn(path, one.Dir) {
		return errors.New("a symbolic link leads out of " + one.Name)
	}
	return nil
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
	_, err := os.Stat(within(base, path))
	return err != nil
}

// fileOf is the file that include or extends names in a file, or in what it names
// elsewhere.
func (l *loader) fileOf(src *source, n *tree.Node, path string) (string, bool) {
	if !l.isRemote(n.Text, src.base) {
		at := within(src.base, n.Text)
		return at, l.mayName(src, n, at, path)
	}
	if l.opts.Remotes == nil {
		verb := "included"
		if strings.HasSuffix(path, ".extends") {
			verb = "extended"
		}
		l.Fail(n, path, "only local files can be "+verb, "")
		return "", false
	}
	at, err := l.fetched(n.Text)
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
	if at, err = l.fetched(path); err != nil {
		return "", "", l.named(err)
	}
	if l.opts.ProjectDirectory != "" {
		return at, l.projectDir, nil
	}
	return at, filepath.Dir(at), nil
}

// fetched is the stack file that a reference names.
func (l *loader) fetched(reference string) (string, error) {
	r, err := l.remotes.get(reference)
	if err != nil {
		return "", err
	}
	at := filepath.Join(r.Dir, r.Path)
	if !isBelow(at, r.Dir) || !staysIn(at, r.Dir) {
		return "", fmt.Errorf("%s leads out of %s", r.Path, r.Name)
	}
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return "", fmt.Errorf("there is no %s in %s: write another path after the colon", r.Path, r.Name)
	case !info.IsDir():
		return at, nil
	}
	for _, name := range fileNames() {
		if file := filepath.Join(at, name); isFile(file) {
			return file, nil
		}
	}
	where := r.Name
	if r.Path != "" {
		where = r.Path + " of " + where
	}
	return "", fmt.Errorf("there is no stack file in %s: looked for %s", where, strings.Join(fileNames(), ", "))
}
