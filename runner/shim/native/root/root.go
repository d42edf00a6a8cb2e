//go:build linux

// Package root mounts the root file system of a container in the container's own mount
// namespace: the process that becomes the container's does it, by a note that the shim has left in the bundle. So the
// machine's table of mounts has no line of it, which each further container would
// begin with a copy of, and it ends with the namespace.
package root

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Mount is one mount, as mount(2) takes it.
type Mount struct {
	Type   string
	Source string
	Data   string
}

const (
	// Dir is where below a bundle the root file system is.
	Dir     = "rootfs"
	note    = "orlop-root.json"
	failure = "orlop-root.error"
)

// Note leaves word in a bundle of what its first process is to mount.
func Note(bundle string, m Mount) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(bundle, note), text, 0o600)
}

// Here mounts what a bundle has noted at once, for a container whose first process can't: it has another's namespace
// of mounts, or is nobody in the one that it has, or what begins beside it is to see its files.
func Here(bundle string) error {
	m, err := read(filepath.Join(bundle, note))
	if err != nil || m == nil {
		return err
	}
	if err := os.Remove(filepath.Join(bundle, note)); err != nil {
		return err
	}
	return m.over(filepath.Join(bundle, Dir))
}

// read is what a note says; nil if there is none. One that another user has put where no bundle is, or has a hand in, is
// none.
func read(path string) (*Mount, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, err
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Mode&0o022 != 0 || st.Nlink != 1 {
		return nil, nil
	}
	var m Mount
	if err := json.NewDecoder(f).Decode(&m); err != nil {
		return nil, err
	}
	return &m, nil
}

// Failure is why the first process of a bundle could not mount what was noted; nil if it has
// not said so.
func Failure(bundle string) error {
	text, err := os.ReadFile(filepath.Join(bundle, failure))
	if err != nil {
		return nil // it failed of something else
	}
	return errors.New(string(text))
}

// Enter is called by the process that is to become a container's, in its mount namespace and in the
// directory of the bundle's root file system, before libcontainer goes on there. Where nothing is
// noted it does nothing. An error is left in the bundle, for Failure.
func Enter() error {
	m, err := read("../" + note)
	if m != nil {
		err = m.aside()
	}
	if err != nil {
		_ = os.WriteFile("../"+failure, []byte(err.Error()), 0o600)
	}
	return err
}

// aside mounts over the current directory where no other namespace sees it: the mount that the directory is on is made a slave
// in this namespace. libcontainer makes them all that, so that nothing is lost of what the machine mounts later; a container that is
// to pass mounts on to the machine has its root mounted by Here.
func (m *Mount) aside() error {
	at, err := os.Getwd()
	if err != nil {
		return err
	}
	for path := at; ; path = filepath.Dir(path) {
		err := unix.Mount("", path, "", unix.MS_SLAVE, "")
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINVAL) || path == "/" { // EINVAL: no mount begins there
			return fmt.Errorf("make %s a slave: %w", path, err)
		}
	}
	return m.over(at)
}

func (m *Mount) over(at string) error {
	if err := unix.Mount(m.Source, at, m.Type, 0, m.Data); err != nil {
		return fmt.Errorf("failed to mount rootfs component: mount source: %q, target: %q, fstype: %s, data: %q, err: %w", m.Source, at, m.Type, m.Data, err)
	}
	return nil
}
