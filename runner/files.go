package runner

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
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

// secretFS is a tmpfs that holds the contents of secrets and configs, a
// directory a container. It is mounted when the first one needs it and goes
// with the last.
type secretFS struct {
	dir     string
	mu      sync.Mutex
	mounted bool // guarded by mu
}

// mount mounts the tmpfs, unswappable where the kernel can.
// The caller holds mu.
func (s *secretFS) mount() error {
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
	err := unix.Mount("orlop-secrets", s.dir, "tmpfs", flags, "mode=0711,size=64m,noswap")
	if errors.Is(err, unix.EINVAL) {
		err = unix.Mount("orlop-secrets", s.dir, "tmpfs", flags, "mode=0711,size=64m")
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

// write stores one file for a container and returns its path.
func (s *secretFS) write(id string, n int, content []byte, uid, gid int, mode uint32) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.mount(); err != nil {
		return "", err
	}
	dir := filepath.Join(s.dir, id)
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", err
	}
	path := filepath.Join(dir, strconv.Itoa(n))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return "", err
	}
	if err := os.Chown(path, uid, gid); err != nil {
		return "", err
	}
	return path, os.Chmod(path, fs.FileMode(mode&0o777))
}

// has says that the n files of a container are there.
func (s *secretFS) has(id string, n int) bool {
	entries, err := os.ReadDir(filepath.Join(s.dir, id))
	return err == nil && len(entries) == n
}

// read is the content of one file of a container, nil if it isn't there.
func (s *secretFS) read(id string, n int) []byte {
	content, err := os.ReadFile(filepath.Join(s.dir, id, strconv.Itoa(n)))
	if err != nil {
		return nil
	}
	return content
}

// remove forgets the files of a container, and the tmpfs with the last one.
func (s *secretFS) remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := os.Stat(s.dir); err != nil {
		return
	}
	os.RemoveAll(filepath.Join(s.dir, id))
	if entries, err := os.ReadDir(s.dir); err == nil && len(entries) == 0 && isMountPoint(s.dir) {
		if unix.Unmount(s.dir, unix.MNT_DETACH) == nil {
			s.mounted = false
			os.Remove(s.dir)
		}
	}
}

// fileMounts puts the secrets and configs of a service on the tmpfs and
// gives their mounts (Compose Specification, secrets and configs).
func (r *Runner) fileMounts(rec *record) ([]specs.Mount, error) {
	s := rec.Applied.Service
	var mounts []specs.Mount
	add := func(kind, where string, uses []spec.FileMount) error {
		for _, use := range uses {
			key := kind + "." + use.Source
			content, ok := r.payload(rec.Project, key)
			if !ok {
				return fmt.Errorf("the content of %s is not known any more: run \"orlop up\" again", key)
			}
			target := use.Target
			if target == "" {
				target = where + use.Source
			}
			if !strings.HasPrefix(target, "/") {
				target = where + target
			}
			mode := uint32(0o444)
			if use.Mode != nil {
				mode = *use.Mode
			}
			path, err := r.secrets.write(rec.ID, len(mounts), content, number(use.UID), number(use.GID), mode)
			if err != nil {
				return fmt.Errorf("cannot write %s: %w", key, err)
			}
			mounts = append(mounts, specs.Mount{Destination: target, Type: "bind", Source: path, Options: []string{"bind", "ro", "nosuid", "nodev"}})
		}
		return nil
	}
	return mounts, errors.Join(add("secrets", "/run/secrets/", s.Secrets), add("configs", "/", s.Configs))
}

func number(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// etcMounts writes /etc/hosts, /etc/hostname and /etc/resolv.conf of a
// container and gives their mounts. With the host's network the host's own
// files serve.
func (r *Runner) etcMounts(rec *record, names map[netip.Addr][]string) ([]specs.Mount, error) {
	dir := r.dir(rec.ID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := rec.Applied.Service
	extra := r.resolveHosts(rec)
	files := map[string]string{"hosts": hostsFile(names, extra), "hostname": rec.Hostname + "\n"}
	switch {
	case s.NetworkMode == "host":
		b, err := os.ReadFile("/etc/resolv.conf")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		files["resolv.conf"] = string(b)
		if b, err := os.ReadFile("/etc/hosts"); err == nil {
			files["hosts"] = string(b) + extraHosts(extra)
		}
	case s.NetworkMode == "none":
		files["resolv.conf"] = ""
	default:
		files["resolv.conf"] = "nameserver 127.0.0.11\noptions ndots:0\n"
	}
	var mounts []specs.Mount
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(files[name]), 0o644); err != nil {
			return nil, err
		}
		mounts = append(mounts, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: path, Options: []string{"rbind", "rprivate", "rw"}})
	}
	return mounts, nil
}

func hostsFile(names map[netip.Addr][]string, extra []string) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, addr := range slices.SortedFunc(maps.Keys(names), netip.Addr.Compare) {
		fmt.Fprintf(&b, "%s\t%s\n", addr, strings.Join(names[addr], " "))
	}
	b.WriteString(extraHosts(extra))
	return b.String()
}

// resolveHosts are the service's extra hosts with "host-gateway" filled in:
// the address at which a container reaches its host.
func (r *Runner) resolveHosts(rec *record) []string {
	gateway := "127.0.0.1"
	for _, key := range networkOrder(rec.Applied) {
		if n, ok := r.nets.Network(rec.Applied.Networks[key]); ok && rec.Applied.Service.NetworkMode == "" {
			gateway = n.Gateway.String()
			break
		}
	}
	var out []string
	for _, e := range rec.Applied.Service.ExtraHosts {
		if i := strings.IndexAny(e, "=:"); i > 0 && e[i+1:] == "host-gateway" {
			e = e[:i+1] + gateway
		}
		out = append(out, e)
	}
	return out
}

// extraHosts turns "name=address" (or "name:address") into lines of a hosts file.
func extraHosts(extra []string) string {
	var b strings.Builder
	for _, e := range extra {
		i := strings.IndexAny(e, "=:")
		if i > 0 {
			fmt.Fprintf(&b, "%s\t%s\n", strings.Trim(e[i+1:], "[]"), e[:i])
		}
	}
	return b.String()
}
