package volume

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/core/mount"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
	"github.com/orlop/orlop/spec/openat"
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

// isPlaced says that a mount is made at a place of ours first: of a path inside a
// volume, of an image.
func isPlaced(m spec.Mount) bool { return m.Type == spec.MountImage || m.Subpath() != "" }

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
		if m.Type == spec.MountVolume && m.Subpath() != "" {
			all = append(all, Subpath{Target: m.Target, Volume: v.Path(m.Volume), Path: m.Subpath()})
		}
	}
	return all
}

// Ready makes ready what a container mounts whose process is about to be made: what
// its volumes are by their driver_opts, and what its mounts of paths inside volumes
// lead to. That is there until the returned function is called.
func (v *Store) Ready(ctx context.Context, container, service string, applied *planner.Applied) (release func(), err error) {
	release = func() { v.dropPlacesOf(container) }
	images := 0
	for i, m := range applied.Mounts() {
		if err := v.attachNamed(m.Volume); err != nil {
			release()
			return nil, &MountError{Service: service, Source: m.Source, Target: m.Target, Err: err}
		}
		if !isPlaced(m.Mount) {
			continue
		}
		var err error
		place := v.placeOf(container, i)
		if m.Type == spec.MountImage {
			err = v.mountImage(ctx, container, &m.Mount, place, images, applied.Service.IDMap())
			images++
		} else if err = mountSubpath(v.Path(m.Volume), m.Subpath(), place); err != nil {
			err = subpathError("volume "+m.Volume, m.Subpath(), err)
		}
		if err != nil {
			release()
			return nil, &MountError{Service: service, Source: m.Source, Target: m.Target, Err: err}
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
	fd, err := openat.Open(root, subpath, &unix.OpenHow{
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

// mountImage mounts what a view of an image has at a path at place, read-only. The
// whole of it is mounted aside for the moment. Its layers are mapped to the users of a
// container; of one alone that is done when it is mounted in the container.
func (v *Store) mountImage(ctx context.Context, container string, m *spec.Mount, place string, n int, ids *spec.IDMap) error {
	layers, err := v.views(ctx, container, n)
	if err != nil {
		return err
	}
	if ids != nil && isOverlay(layers) {
		layers = slices.Clone(layers)
		layers[0].Options = append(slices.Clone(layers[0].Options), "uidmap="+ids.Label(ids.UID), "gidmap="+ids.Label(ids.GID))
	}
	return mount.WithReadonlyTempMount(ctx, layers, func(root string) error {
		if err := mountSubpath(root, cmp.Or(m.Subpath(), "."), place); err != nil {
			return subpathError("image "+m.Source, m.Subpath(), err)
		}
		return nil
	})
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
func subpathError(what, subpath string, err error) error {
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR):
		return fmt.Errorf("%s has no path %q: make it there first, or correct subpath", what, subpath)
	case errors.Is(err, unix.EXDEV), errors.Is(err, unix.ELOOP):
		return fmt.Errorf("the path %q leads out of %s", subpath, what)
	case errors.Is(err, unix.ENOSYS):
		return errors.New("subpath needs Linux 5.6 or later")
	}
	return fmt.Errorf("path %q of %s: %w", subpath, what, err)
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
