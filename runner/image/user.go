package image

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec/openat"
)

// User is who a process runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// Spec is the user as an OCI document has it.
func (u User) Spec() specs.User {
	return specs.User{UID: u.UID, GID: u.GID, AdditionalGids: u.Groups}
}

// LookupUser finds the user, groups and home that "user: NAME[:GROUP]" means in
// a root file system. What /etc/passwd says there is untrusted: it is opened
// inside that root only, as a process there would, and numbers out of range
// are refused (CVE-2024-40635).
func LookupUser(root, who string) (User, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return User{}, err
	}
	defer unix.Close(dir)
	passwd, err := openText(dir, "etc/passwd")
	if err != nil {
		return User{}, err
	}
	defer passwd.Close()
	group, err := openText(dir, "etc/group")
	if err != nil {
		return User{}, err
	}
	defer group.Close()
	return find(who, passwd, group)
}

// NumericUser is who "user: UID[:GROUP]" means in a root file system that can't be read.
func NumericUser(who string) (User, error) {
	for part := range strings.SplitSeq(who, ":") {
		if _, err := strconv.Atoi(part); err != nil {
			return User{}, fmt.Errorf("cannot find user %q: the container's runtime is a shim of containerd, which may run it in a virtual machine, where the engine sees no /etc/passwd: give numbers, such as 1000:1000", who)
		}
	}
	return find(who, strings.NewReader(""), strings.NewReader(""))
}

// find finds a user by the contents of /etc/passwd and /etc/group.
func find(who string, passwd, group io.Reader) (User, error) {
	if err := checkNumbers(who); err != nil {
		return User{}, err
	}
	found, err := user.GetExecUser(who, &user.ExecUser{Home: "/"}, passwd, group)
	switch {
	case errors.Is(err, user.ErrNoPasswdEntries):
		return User{}, fmt.Errorf("cannot find user %q: /etc/passwd of the image has no such name", who)
	case errors.Is(err, user.ErrNoGroupEntries):
		return User{}, fmt.Errorf("cannot find user %q: /etc/group of the image has no such name", who)
	case err != nil:
		return User{}, fmt.Errorf("cannot find user %q in the image: %w", who, err)
	}
	for _, n := range append([]int{found.Uid, found.Gid}, found.Sgids...) {
		if n < 0 || n > math.MaxInt32 {
			return User{}, fmt.Errorf("user %q is %d in the image, out of range: numbers go to %d", who, n, math.MaxInt32)
		}
	}
	id := User{UID: uint32(found.Uid), GID: uint32(found.Gid), Home: found.Home}
	for _, g := range found.Sgids {
		if g != found.Gid {
			id.Groups = append(id.Groups, uint32(g))
		}
	}
	id.Groups = append([]uint32{id.GID}, id.Groups...)
	return id, nil
}

// AddGroups adds groups, by their names in a root file system or by their numbers, to
// those that a user is in there.
func (u User) AddGroups(root string, groups []string) (User, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return u, err
	}
	defer unix.Close(dir)
	known, err := openText(dir, "etc/group")
	if err != nil {
		return u, err
	}
	defer known.Close()
	text, err := io.ReadAll(known)
	if err != nil {
		return u, fmt.Errorf("cannot read /etc/group of the image: %w", err)
	}
	u.Groups = slices.Clone(u.Groups)
	for _, name := range groups {
		if n, err := strconv.ParseUint(name, 10, 64); err == nil && n > math.MaxInt32 || errors.Is(err, strconv.ErrRange) {
			return u, fmt.Errorf("group %s is out of range: numbers go to %d", name, math.MaxInt32)
		}
		found, err := user.GetAdditionalGroups([]string{name}, bytes.NewReader(text))
		if err != nil {
			return u, fmt.Errorf("cannot find the group %q: /etc/group of the image has no such name", name)
		}
		for _, g := range found {
			if !slices.Contains(u.Groups, uint32(g)) {
				u.Groups = append(u.Groups, uint32(g))
			}
		}
	}
	return u, nil
}

func checkNumbers(who string) error {
	for part := range strings.SplitSeq(who, ":") {
		if n, err := strconv.ParseUint(part, 10, 64); err == nil && n > math.MaxInt32 ||
			errors.Is(err, strconv.ErrRange) {
			return fmt.Errorf("user %q is out of range: numbers go to %d", who, math.MaxInt32)
		}
	}
	return nil
}

// openText opens a regular file of at most 4 MB inside root; a missing one is
// empty. Links are followed as in that root, absolute ones too.
func openText(root int, name string) (io.ReadCloser, error) {
	fd, err := openat.Open(root, name, &unix.OpenHow{
		Flags:   unix.O_RDONLY | unix.O_NONBLOCK | unix.O_CLOEXEC, // it may be a pipe
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if errors.Is(err, unix.ENOENT) {
		return io.NopCloser(strings.NewReader("")), nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read /%s of the image: %w", name, err)
	}
	f := os.NewFile(uintptr(fd), name)
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() || st.Size() > 4<<20 {
		f.Close()
		return nil, fmt.Errorf("cannot read /%s of the image: it is not a regular file of at most 4 MB", name)
	}
	return f, nil
}

// Runs is who a service's program runs as: the user that it names, else the image's,
// with more groups. An error comes with the key of the service that is to blame, "" if
// none is.
func (i *Image) Runs(ctx context.Context, mounts []mount.Mount, who string, groups []string) (id User, key string, err error) {
	if who != "" {
		key = "user"
	}
	who = cmp.Or(who, i.Config.User)
	if id, err = i.User(ctx, mounts, who); err != nil || len(groups) == 0 {
		return id, key, err
	}
	id, err = i.User(ctx, mounts, who, groups...)
	return id, "group_add", err
}

// User is LookupUser in the image, with more groups, whose answers are kept: they
// can't change. mounts are those of a snapshot of it.
func (i *Image) User(ctx context.Context, mounts []mount.Mount, who string, groups ...string) (User, error) {
	s, key := i.store, strings.Join(append([]string{i.Digest.String(), who}, groups...), " ")
	s.mu.Lock()
	id, ok := s.users[key]
	s.mu.Unlock()
	if ok {
		return id, nil
	}
	var unknown error
	err := mount.WithReadonlyTempMount(ctx, mounts, func(root string) error {
		if id, unknown = LookupUser(root, who); unknown == nil && len(groups) > 0 {
			id, unknown = id.AddGroups(root, groups)
		}
		return nil
	})
	if err := errors.Join(err, unknown); err != nil {
		return User{}, err
	}
	s.mu.Lock()
	s.users[key] = id
	s.mu.Unlock()
	return id, nil
}
