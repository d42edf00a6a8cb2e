// Package fetched has what a stack is made of that stands elsewhere: the remote stacks
// of one load, and the paths in their files, which must not lead out of what was fetched.
// It fetches nothing itself.
package fetched

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/spec"
)

// maxRemotes is how many references a stack may have.
const maxRemotes = 32

// Set are the remote stacks of one load.
type Set struct {
	Fetch func(reference string) (*spec.Remote, error)
	known map[string]*spec.Remote // by reference
	List  []*spec.Remote          // as they were fetched
	told  told
}

// get is what a reference names, fetched once.
func (s *Set) get(reference string) (*spec.Remote, error) {
	if got, ok := s.known[reference]; ok {
		return got, nil
	}
	if len(s.known) == maxRemotes {
		return nil, fmt.Errorf("a stack may be made of at most %d remote ones", maxRemotes)
	}
	got, err := s.Fetch(reference)
	if err != nil {
		return nil, err
	}
	if s.known == nil {
		s.known = map[string]*spec.Remote{}
	}
	s.known[reference] = got
	s.List = append(s.List, got)
	return got, nil
}

// Of is the remote that a file was fetched with; nil: none.
func (s *Set) Of(path string) *spec.Remote {
	for _, one := range s.List {
		if IsBelow(path, one.Dir) {
			return one
		}
	}
	return nil
}

// RootOf is the directory that the paths of a file must stay in: of one that was
// fetched, where it was fetched to, or the directory that the user has its paths start
// from; "" of other files.
func (s *Set) RootOf(path, base string) string {
	switch one := s.Of(path); {
	case one == nil:
		return ""
	case IsBelow(base, one.Dir):
		return one.Dir
	}
	return base
}

// MustHave refuses a file below what was fetched that a link leads out of it.
func (s *Set) MustHave(path string) error {
	if one := s.Of(path); one != nil && !staysIn(path, one.Dir) {
		return errors.New("a symbolic link leads out of " + one.Name)
	}
	return nil
}

// File is the stack file that a reference names, by one of the names that they have.
func (s *Set) File(reference string, names []string) (string, error) {
	r, err := s.get(reference)
	if err != nil {
		return "", err
	}
	at := filepath.Join(r.Dir, r.Path)
	if !IsBelow(at, r.Dir) || !staysIn(at, r.Dir) {
		return "", fmt.Errorf("%s leads out of %s", r.Path, r.Name)
	}
	info, err := os.Stat(at)
	switch {
	case err != nil:
		return "", fmt.Errorf("there is no %s in %s: write another path after the colon", r.Path, r.Name)
	case !info.IsDir():
		return at, nil
	}
	for _, name := range names {
		if file := filepath.Join(at, name); isFile(file) {
			return file, nil
		}
	}
	where := r.Name
	if r.Path != "" {
		where = r.Path + " of " + where
	}
	return "", fmt.Errorf("there is no stack file in %s: looked for %s", where, strings.Join(names, ", "))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && !info.IsDir()
}

// NoteVariable notes that a remote is told a variable of the caller's, with the first
// place that it has.
func NoteVariable(r *spec.Remote, name string, at spec.Place) {
	if r.Variables == nil {
		r.Variables = map[string]spec.Place{}
	}
	if _, ok := r.Variables[name]; !ok {
		r.Variables[name] = at
	}
}
