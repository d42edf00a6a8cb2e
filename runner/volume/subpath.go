package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// What is inside a volume is its containers' to change, at any time: between
// a look at a path and its mount, it could become a link to elsewhere. So a
// path inside a volume (Compose Specification, volume.subpath) is opened
// without leaving the volume, and what was opened is mounted at a place of
// ours, where runc takes it from; once the container's process has been made,
// the place is empty again. This is done anew at each start.

// placesOf is where the paths inside volumes of a container are mounted while a
// process is made; placeOf is that of the i-th of its service's volumes.
func (v *Store) placesOf(container string) string { return filepath.Join(v.places, container) }

func (v *Store) placeOf(container string, i int) string {
	return filepath.Join(v.placesOf(container), strconv.Itoa(i))
}

// isSubpath says that a mount is of a path inside a volume.
func isSubpath(m spec.Mount) bool {
	return m.Type == spec.MountVolume && m.Volume != nil && m.Volume.Subpath != ""
}

// Subpath is a path inside a volume that a container has.
type Subpath struct {
	Target string // in the container
	Volume string // directory of the volume
	Path   string // inside the volume: no link of it is to be trusted
}

// Subpaths are the paths inside volumes that a service mounts.
func (v *Store) Subpaths(applied *planner.Applied) []Subpath {
	var all []Subpath
	for _, m := range applied.Mounts() {
		if isSubpath(m.Mount) {
			all = append(all, Subpath{Target: m.Target, Volume: v.Path(m.Volume), Path: m.Mount.Volume.Subpath})
		}
	}
	return all
}

// Ready makes ready what a container mounts whose process is about to be made: what
// its volumes are by their driver_opts, and what its mounts of paths inside volumes
// lead to. That is there until the returned function is called.
func (v *Store) Ready(container, service string, applied *planner.Applied) (release func(), err error) {
	release = func() { v.dropPlacesOf(container) }
	for i, m := range applied.Mounts() {
		if err := v.attachNamed(m.Volume); err != nil {
			release()
			return nil, &MountError{Service: service, Source: m.Source, Target: m.Target, Err: err}
		}
		if !isSubpath(m.Mount) {
			continue
		}
		path := m.Mount.Volume.Subpath
		if err := mountSubpath(v.Path(m.Volume), path, v.placeOf(container, i)); err != nil {
			release()
			return nil, &MountError{Service: service, Source: m.Source, Target: m.Target, Err: subpathError(m.Volume, path, err)}
		}
	}
	return release, nil
}

// mountSubpath mounts a path inside dir at place.
func mountSubpath(dir, subpath, place string) error {
	root, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, subpath, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if err := makePlace(place, st.Mode&unix.S_IFMT == unix.S_IFDIR); err != nil {
		return err
	}
	return unix.Mount("/proc/self/fd/"+strconv.Itoa(fd), place, "", unix.MS_BIND, "")
}

// makePlace makes what a directory, or anything else, can be mounted at.
func makePlace(place string, dir bool) error {
	if dir {
		return os.MkdirAll(place, 0o700)
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o700); err != nil {
		return err
	}
	return os.WriteFile(place, nil, 0o600)
}

// subpathError says what a user can do about a path inside a volume.
func subpathError(volume, subpath string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("volume %s has no path %q: make it there first, or correct volume.subpath", volume, subpath)
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ELOOP):
		return fmt.Errorf("the path %q leads out of volume %s", subpath, volume)
	case errors.Is(err, unix.ENOSYS):
		return errors.New("volume.subpath needs Linux 5.6 or later")
	}
	return fmt.Errorf("path %q of volume %s: %w", subpath, volume, err)
}

// dropPlacesOf unmounts what is mounted for a container.
func (v *Store) dropPlacesOf(container string) {
	dir := v.placesOf(container)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		place := filepath.Join(dir, e.Name())
		if err := unix.Unmount(place, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			v.log.Warn("cannot unmount", "path", place, "error", err)
			continue // what is mounted there is a user's data
		}
		_ = os.Remove(place)
	}
	_ = os.Remove(dir)
}

// dropPlaces unmounts what an engine before this one has left.
func (v *Store) dropPlaces() {
	entries, _ := os.ReadDir(v.places)
	for _, e := range entries {
		v.dropPlacesOf(e.Name())
	}
}
