package volume

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// What reads or writes the files of a volume from outside of containers claims it as a
// container would that is just being made, by a name that no container has.
const (
	reading = "read "
	writing = "write "
)

// ErrNone is the error of a volume that is not there.
var ErrNone = errors.New("there is no such volume")

// Hold keeps a volume, with what it is by its driver_opts, where it is until release. Who
// is to write has it alone among those that are not made yet: no other writes, and no
// container is made that would fill it.
func (v *Store) Hold(name string, write bool) (path string, release func(), err error) {
	key := reading + rand.Text()
	if write {
		key = writing + rand.Text()
	}
	v.mu.Lock()
	vol := v.all[name]
	if vol == nil {
		err = ErrNone
	} else if write {
		err = v.refuseWriter(name)
	}
	if err == nil {
		v.claims[key] = []string{name}
	}
	v.mu.Unlock()
	if err != nil {
		return "", nil, err
	}
	if err := v.attach(vol); err != nil {
		v.disclaim(key)
		return "", nil, err
	}
	return v.Path(name), func() { v.disclaim(key) }, nil
}

// refuseWriter says why nobody may write to a volume; the caller holds mu.
func (v *Store) refuseWriter(name string) error {
	for by, names := range v.claims {
		switch {
		case !slices.Contains(names, name) || strings.HasPrefix(by, reading):
		case strings.HasPrefix(by, writing):
			return fmt.Errorf("another import into volume %s is under way: wait until it has ended", name)
		default:
			return fmt.Errorf("a container that has volume %s is just being made: try again when that is done", name)
		}
	}
	return nil
}

// isWritten says that an import into a volume is under way; the caller holds mu.
func (v *Store) isWritten(name string) bool {
	for by, names := range v.claims {
		if strings.HasPrefix(by, writing) && slices.Contains(names, name) {
			return true
		}
	}
	return false
}

// inUseBy is what a volume is kept for that is not to be removed.
func inUseBy(claim string) string {
	switch {
	case strings.HasPrefix(claim, reading):
		return "it is just being exported"
	case strings.HasPrefix(claim, writing):
		return "an import into it is under way"
	}
	return "a container that is just being made uses it"
}

// IsEmpty says that nothing is in the directory of a volume.
func IsEmpty(path string) (bool, error) {
	entries, err := os.ReadDir(path)
	return len(entries) == 0, err
}
