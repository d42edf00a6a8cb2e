package archive

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Source is what is copied: by the name that it has, and whether it is a directory of
// which the contents alone are meant ("dir/.").
type Source struct {
	Name     string
	IsDir    bool
	Contents bool
}

// SourceOf is what a path that somebody has written means.
func SourceOf(at string, isDir bool) Source {
	clean := path.Clean("/" + at)
	s := Source{Name: path.Base(clean), IsDir: isDir, Contents: isDir && isContents(at)}
	if clean == "/" {
		s.Name, s.Contents = ".", isDir
	}
	if s.Contents {
		s.Name = "."
	}
	return s
}

// isContents says that a path names what is in a directory.
func isContents(at string) bool { return at == "." || strings.HasSuffix(at, "/.") }

// WantsDir says that a path can be a directory only, by how it is written.
func WantsDir(at string) bool {
	return strings.HasSuffix(at, "/") || isContents(at) || at == ".." || strings.HasSuffix(at, "/..")
}

// Target is where something is copied to: a path as it was written, links at its end
// followed, and what is there.
type Target struct {
	Path     string
	WantsDir bool
	Exists   bool
	IsDir    bool
}

// Why something is not copied to a target.
var (
	ErrNoDirectory  = errors.New("there is no such directory: make it first, or leave the slash at its end out")
	ErrNotDirectory = errors.New("it is not a directory")
	ErrDirOverFile  = errors.New("a directory cannot take the place of a file")
	ErrFileOverDir  = errors.New("a file cannot take the place of a directory")
)

// Place is the path at which what is copied comes to be, as docker cp has it: in a
// directory that is there, by its own name unless its contents alone are meant;
// else at the path itself.
func Place(s Source, t Target) (string, error) {
	var why error
	switch {
	case t.Exists && t.IsDir && s.Contents:
		return t.Path, nil
	case t.Exists && t.IsDir:
		return path.Join(t.Path, s.Name), nil
	case t.Exists && t.WantsDir:
		why = ErrNotDirectory
	case t.Exists && s.IsDir:
		why = ErrDirOverFile
	case !t.Exists && t.WantsDir && !s.IsDir:
		why = ErrNoDirectory
	default:
		return t.Path, nil
	}
	return "", fmt.Errorf("cannot copy to %s: %w", t.Path, why)
}
