package volume

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// MountError is an entry of a service's volumes that can't be mounted.
type MountError struct {
	Service string
	Source  string // "" where nobody named one
	Target  string
	Place   spec.Place
	Err     error
}

func (e *MountError) Error() string {
	what, at := e.Target, ""
	if e.Source != "" {
		what = e.Source + " at " + e.Target
	}
	if e.Place.Line > 0 {
		at = " (" + e.Place.String() + ")"
	}
	return fmt.Sprintf("cannot mount %s for %s%s: %v", what, e.Service, at, e.Err)
}

func (e *MountError) Unwrap() error { return e.Err }

// StartError is why the process of a service's container could not be made, where
// a mount of the service is to blame: what runc said of the mount of source, a path
// of the host, at target, "" where it does not say. binds are what the sources were
// when the container was made. It is nil where none of its mounts is that.
func StartError(service string, s *spec.Service, binds map[string]string, source, target, said string, err error) error {
	for _, v := range s.Mounts() {
		isIt := filepath.Clean(v.Target) == filepath.Clean(target)
		if target == "" {
			isIt = v.Type == spec.MountBind && filepath.Clean(v.Source) == filepath.Clean(source)
		}
		if isIt {
			cause := turnedCause(binds[v.Target], source, err)
			if cause == nil || v.Type != spec.MountBind {
				cause = mountCause(s, v, source, said, err)
			}
			return &MountError{Service: service, Source: v.Source, Target: v.Target, Err: cause}
		}
	}
	return nil
}

// turnedCause says that a source is not what it was when the container was made, nil
// where it is.
func turnedCause(was, source string, err error) error {
	now := kindOf(source)
	switch {
	case now == planner.SourceGone && was == planner.SourceFile:
		return &causeError{"it does not exist any more: write the file again", err}
	case now == planner.SourceGone && was == "":
		return &causeError{"it does not exist any more: put it back, or \"orlop up --force-recreate\" makes the container anew", err}
	case now == planner.SourceGone:
		return &causeError{"it does not exist any more: put it back, or \"orlop up\" makes the container anew", err}
	case was != "" && now != "" && now != was:
		return &causeError{fmt.Sprintf("it is a %s, and was a %s when the container was made: \"orlop up\" makes the container anew", now, was), err}
	}
	return nil
}

// causeError is a cause in our words; what it was told by stays behind it.
type causeError struct {
	text string
	err  error
}

func (e *causeError) Error() string { return e.text }
func (e *causeError) Unwrap() error { return e.err }

// mountCause says why a mount failed, of what runc says; source is the path
// on the host.
func mountCause(s *spec.Service, v spec.Mount, source, said string, err error) error {
	switch {
	case strings.HasSuffix(said, "not a directory"):
		if st, serr := os.Stat(source); serr == nil && st.IsDir() {
			return &causeError{"it is a directory, and " + v.Target + " is a file in the container", err}
		}
		return &causeError{"it is a file, and " + v.Target + " is a directory in the container", err}
	case strings.HasSuffix(said, "read-only file system"):
		outer := readOnlyAbove(s, v.Target)
		if outer == "" {
			return &causeError{"the image has nothing there, and the root file system is read-only: make it in the image, or take read_only away", err}
		}
		return &causeError{outer + " is mounted read-only and has nothing there: make it in the source of that mount, or mount that writable", err}
	}
	return &causeError{strings.TrimSpace(said[strings.LastIndex(said, ":")+1:]), err}
}

// readOnlyAbove is the innermost read-only mount that a path lies in, or "".
func readOnlyAbove(s *spec.Service, path string) string {
	outer := ""
	for _, v := range s.Mounts() {
		target := filepath.Clean(v.Target)
		if v.ReadOnly && strings.HasPrefix(path, strings.TrimSuffix(target, "/")+"/") && len(target) > len(outer) {
			outer = target
		}
	}
	return outer
}
