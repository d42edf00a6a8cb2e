package rootfs

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec"
)

// Secrets is a tmpfs that holds the contents of secrets and configs, a
// directory a container. It is mounted when the first one needs it and goes
// with the last.
type Secrets struct {
	dir     string
	mu      sync.Mutex
	mounted bool // guarded by mu
}

// NewSecrets is the tmpfs at a directory.
func NewSecrets(dir string) *Secrets { return &Secrets{dir: dir} }

// Dir has a directory for each container.
func (s *Secrets) Dir() string { return s.dir }

// Mounts puts the secrets and configs of a service on the tmpfs for a container,
// and gives their mounts (Compose Specification, secrets and configs). content
// is asked for "secrets.NAME" and "configs.NAME".
func (s *Secrets) Mounts(container string, service *spec.Service, content func(key string) ([]byte, error)) ([]specs.Mount, error) {
	var mounts []specs.Mount
	add := func(kind, where string, uses []spec.FileMount) error {
		for _, use := range uses {
			key := kind + "." + use.Source
			text, err := content(key)
			if err != nil {
				return err
			}
			path, err := s.write(container, len(mounts), text, &use)
			if err != nil {
				return fmt.Errorf("cannot write %s: %w", key, err)
			}
			target := cmp.Or(use.Target, use.Source)
			if !strings.HasPrefix(target, "/") {
				target = where + target
			}
			mounts = append(mounts, specs.Mount{Destination: target, Type: "bind", Source: path, Options: []string{"bind", "ro", "nosuid", "nodev"}})
		}
		return nil
	}
	return mounts, errors.Join(add("secrets", "/run/secrets/", service.Secrets), add("configs", "/", service.Configs))
}

// mount mounts the tmpfs, unswappable where the kernel can.
// The caller holds mu.
func (s *Secrets) mount() error {
	if s.mounted {
		return nil
	}
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	var st unix.Statfs_t
	if err := unix.Statfs(s.dir, &st); err == nil && st.Type == unix.TMPFS_MAGIC && isMountPoint(s.dir) {
		s.mounted = true
		return nil
	}
	const flags = unix.MS_NODEV | unix.MS_NOSUID | unix.MS_NOEXEC
	err := unix.Mount("orlop-secrets", s.dir, "tmpfs", flags, "mode=0700,size=64m,noswap")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("orlop-secrets", s.dir, "tmpfs", flags, "mode=0700,size=64m")
	}
	if err != nil {
		return fmt.Errorf("cannot mount a tmpfs for secrets at %s: %w", s.dir, err)
	}
	s.mounted = true
	return nil
}

func isMountPoint(dir string) bool {
	var a, b unix.Stat_t
	if unix.Stat(dir, &a) != nil || unix.Stat(filepath.Dir(dir), &b) != nil {
		return false
	}
	return a.Dev != b.Dev
}

// write stores the n-th file of a container and returns its path.
func (s *Secrets) write(container string, n int, content []byte, use *spec.FileMount) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mount(); err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, container)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", err
	}
	path := filepath.Join(dir, strconv.Itoa(n))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", err
	}
	uid, _ := strconv.Atoi(use.UID) // root where nobody says
	gid, _ := strconv.Atoi(use.GID)
	if err := os.Chown(path, uid, gid); err != nil {
		return "", err
	}
	mode := uint32(0o444)
	if use.Mode != nil {
		mode = *use.Mode
	}
	return path, os.Chmod(path, fs.FileMode(mode&0o777))
}

// Has says that a container has all files of its service's secrets and configs.
func (s *Secrets) Has(container string, service *spec.Service) bool {
	n := len(service.Secrets) + len(service.Configs)
	if n == 0 {
		return true
	}
	entries, err := os.ReadDir(filepath.Join(s.dir, container))
	return err == nil && len(entries) == n
}

// filledIn is the end of the keys of what came of templates. No name has a blank.
const filledIn = " filled in"

// Copy adds to all, by "secrets.NAME" and "configs.NAME", what a container of a service
// has of them. What came of those that are templates is no copy of them: it is there by
// another key, of the same section.
func (s *Secrets) Copy(all map[string][][]byte, container string, service *spec.Service, templates []string) {
	n := 0
	add := func(kind string, uses []spec.FileMount) {
		for _, use := range uses {
			if content, err := os.ReadFile(filepath.Join(s.dir, container, strconv.Itoa(n))); err == nil {
				key := kind + use.Source
				if slices.Contains(templates, key) {
					key += filledIn
				}
				all[key] = append(all[key], content)
			}
			n++
		}
	}
	add("secrets.", service.Secrets)
	add("configs.", service.Configs)
}

// Remove forgets the files of a container, and the tmpfs with the last one.
func (s *Secrets) Remove(container string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(s.dir); err != nil {
		return
	}
	os.RemoveAll(filepath.Join(s.dir, container))
	if entries, err := os.ReadDir(s.dir); err == nil && len(entries) == 0 && isMountPoint(s.dir) {
		if unix.Unmount(s.dir, unix.MNT_DETACH) == nil {
			s.mounted = false
			os.Remove(s.dir)
		}
	}
}
