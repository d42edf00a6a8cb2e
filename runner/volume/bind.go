package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
	cfs "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// ensureBindSource makes the directory of a bind mount that does not exist,
// where the service allows it (Compose Specification, create_host_path) and a
// directory can be what is meant. rootfs are the mounts of the image's snapshot.
func ensureBindSource(ctx context.Context, m spec.Mount, rootfs []mount.Mount) error {
	if _, err := os.Stat(m.Source); !errors.Is(err, fs.ErrNotExist) {
		return hostPathError(err)
	}
	if to, err := os.Readlink(m.Source); err == nil {
		return fmt.Errorf("it is a link to %s, which does not exist", to)
	}
	if m.Bind == nil || !m.Bind.CreateHostPath {
		return errors.New("it does not exist: make it, or set bind.create_host_path: true")
	}
	var isFile bool
	err := mount.WithReadonlyTempMount(ctx, rootfs, func(root string) error {
		isFile = hasFile(root, m.Target)
		return nil
	})
	if err != nil {
		return err
	}
	if isFile {
		return fmt.Errorf("it does not exist, and %s is a file in the image: make the file first", m.Target)
	}
	return hostPathError(os.MkdirAll(m.Source, 0o755))
}

// hasFile says whether a root file system has a file, and no directory, at a path.
func hasFile(root, path string) bool {
	at, err := cfs.RootPath(root, path)
	if err != nil {
		return false
	}
	st, err := os.Lstat(at)
	return err == nil && !st.IsDir()
}

// hostPathError says what is wrong with a path of the host.
func hostPathError(err error) error {
	switch {
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.EEXIST):
		return errors.New("a part of its path is not a directory")
	case errors.Is(err, unix.ELOOP):
		return errors.New("its symbolic links form a loop")
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err // the path is named already
	}
	return err
}

// AbsentSources are the host paths that services of a project mount and that don't exist.
func AbsentSources(p *spec.Project, services []string) []string {
	var out []string
	for _, name := range services {
		for _, m := range p.Services[name].Mounts() {
			if m.Type != spec.MountBind {
				continue
			}
			if _, err := os.Lstat(m.Source); errors.Is(err, fs.ErrNotExist) {
				out = append(out, m.Source)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// kindOf says what the source of a bind mount is; "" where that can't be told.
func kindOf(source string) string {
	st, err := os.Stat(source)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return planner.SourceGone
	case err != nil:
		return ""
	case st.IsDir():
		return planner.SourceDirectory
	}
	return planner.SourceFile
}

// CheckSources is an error if a source of a container's bind mounts is gone: it could not be
// started again.
func CheckSources(a *planner.Applied, leftOut []string) error {
	for _, m := range a.Mounts() {
		if m.Type == spec.MountBind && !slices.Contains(leftOut, m.Target) && kindOf(m.Source) == planner.SourceGone {
			return fmt.Errorf("%s, which is mounted at %s, is gone from the host: put it back", m.Source, m.Target)
		}
	}
	return nil
}

// Turned are the bind mounts of a container whose source is not what it was when the
// container was made, by their target: what it is now. What is gone and may have been a
// file is left to whoever has to write it again: a directory in its place would be no cure.
func Turned(a *planner.Applied, was map[string]string, leftOut []string) map[string]string {
	turned := map[string]string{}
	for _, m := range a.Mounts() {
		if m.Type != spec.MountBind || slices.Contains(leftOut, m.Target) {
			continue
		}
		before, now := was[m.Target], kindOf(m.Source)
		switch {
		case before == "" || now == "" || now == before:
		case now == planner.SourceGone && before != planner.SourceDirectory:
		default:
			turned[m.Target] = now
		}
	}
	return turned
}
