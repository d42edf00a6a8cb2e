package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

// What the driver_opts of a volume say is mounted at its directory when a container
// that has it is made or started, and is unmounted when no container has it any more.
// What is there is never the engine's to delete.

// lookupTime is how long a name of a server is looked up.
const lookupTime = 10 * time.Second

// attachNamed is attach; "" is no volume.
func (v *Store) attachNamed(name string) error {
	v.mu.Lock()
	vol := v.all[name]
	v.mu.Unlock()
	if vol == nil {
		return nil
	}
	return v.attach(vol)
}

// attach mounts what a volume is by its driver_opts, unless it is mounted.
func (v *Store) attach(vol *Volume) error {
	v.mu.Lock()
	b := vol.backing()
	v.mu.Unlock()
	if b.IsNone() {
		return nil
	}
	vol.mounting.Lock()
	defer vol.mounting.Unlock()
	path := v.Path(vol.Name)
	if isMounted(path) {
		return nil
	}
	m, err := mountOf(b)
	if err == nil {
		err = m.Mount(path)
	}
	if err != nil {
		return fmt.Errorf("cannot mount %s (type %s) as volume %s: %w", b.Device, b.Type, vol.Name, hostPathError(err))
	}
	return nil
}

// backing is what a volume was made of; the caller holds mu.
func (vol *Volume) backing() spec.Backing {
	if vol.Applied == nil {
		return spec.Backing{}
	}
	return vol.Applied.Backing()
}

// mountOf is the mount of a volume. A server is named by its address: the kernel knows
// no names.
func mountOf(b spec.Backing) (*mount.Mount, error) {
	m := &mount.Mount{Type: b.Type, Source: b.Device, Options: slices.Clone(b.Options)}
	if b.IsBind() {
		if st, err := os.Stat(b.Device); errors.Is(err, fs.ErrNotExist) {
			return nil, errors.New("it does not exist: make the directory first")
		} else if err != nil {
			return nil, err
		} else if !st.IsDir() {
			return nil, unix.ENOTDIR
		}
	}
	host, isNamed := "", false
	for i, option := range m.Options {
		if addr, ok := strings.CutPrefix(option, "addr="); ok {
			ip, err := lookup(addr)
			if err != nil {
				return nil, err
			}
			m.Options[i], isNamed = "addr="+ip, true
		}
	}
	switch {
	case isNamed:
		return m, nil
	case strings.HasPrefix(b.Type, "nfs"):
		host, _, _ = strings.Cut(b.Device, ":/")
	case b.Type == "cifs":
		host, _, _ = strings.Cut(strings.TrimPrefix(b.Device, "//"), "/")
	}
	if host == "" {
		return m, nil
	}
	ip, err := lookup(strings.Trim(host, "[]"))
	m.Options = append(m.Options, "addr="+ip)
	return m, err
}

func lookup(host string) (string, error) {
	if net.ParseIP(host) != nil {
		return host, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookupTime)
	defer cancel()
	ips, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", err
	}
	return ips[0], nil
}

// isMounted says that something is mounted at a path.
func isMounted(path string) bool {
	is, err := mountinfo.Mounted(path)
	return is && err == nil
}

// mayBeMounted says that something is mounted at a path, or that nobody can tell: what is
// there is not to be deleted.
func mayBeMounted(path string) bool {
	is, err := mountinfo.Mounted(path)
	return is || err != nil && !errors.Is(err, fs.ErrNotExist)
}

// isReadOnly says that nothing can be written to a file system.
func isReadOnly(path string) bool {
	var st unix.Statfs_t
	return unix.Statfs(path, &st) == nil && st.Flags&unix.ST_RDONLY != 0
}

// Detach unmounts the volumes that no container has.
func (v *Store) Detach(has func(name string) bool) {
	v.mu.Lock()
	var names []string
	for name, vol := range v.all {
		if !vol.backing().IsNone() {
			names = append(names, name)
		}
	}
	v.mu.Unlock()
	for _, name := range names {
		if has(name) {
			continue
		}
		if err := v.unmount(name); err != nil {
			v.log.Warn("cannot unmount a volume", "volume", name, "error", err)
		}
	}
}

// unmount unmounts what a volume is by its driver_opts, unless a container that is just
// being made has it.
func (v *Store) unmount(name string) error {
	v.mu.Lock()
	vol := v.all[name]
	v.mu.Unlock()
	if vol == nil || v.isClaimed(name) || !vol.mounting.TryLock() {
		return nil // who mounts it, which may take long, has it
	}
	defer vol.mounting.Unlock()
	path := v.Path(name)
	if v.isClaimed(name) || !isMounted(path) {
		return nil
	}
	if err := unix.Unmount(path, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("cannot unmount volume %s: %w", name, err)
	}
	return nil
}

func (v *Store) isClaimed(name string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, names := range v.claims {
		if slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// Renew has something else mounted as a volume from now on. What it had of its own is
// lost; what is kept elsewhere stays there. Who has it mounted goes on with the old one.
func (v *Store) Renew(vol *Volume) error {
	if err := v.Remove(vol.Name); err != nil {
		return err
	}
	return v.Ensure(vol)
}
