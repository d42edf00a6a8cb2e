package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/moby/sys/user"
	"golang.org/x/sys/unix"
)

// identity is who a process runs as.
type identity struct {
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// identify finds the user, groups and home that "user: NAME[:GROUP]" means in
// a root file system. What /etc/passwd says there is untrusted: it is opened
// inside that root only, as a process there would, and numbers out of range
// are refused (CVE-2024-40635).
func identify(root, who string) (identity, error) {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return identity{}, err
	}
	defer unix.Close(dir)
	passwd, err := openText(dir, "etc/passwd")
	if err != nil {
		return identity{}, err
	}
	defer passwd.Close()
	group, err := openText(dir, "etc/group")
	if err != nil {
		return identity{}, err
	}
	defer group.Close()
	if err := checkNumbers(who); err != nil {
		return identity{}, err
	}
	found, err := user.GetExecUser(who, &user.ExecUser{Home: "/"}, passwd, group)
	switch {
	case errors.Is(err, user.ErrNoPasswdEntries):
		return identity{}, fmt.Errorf("cannot find user %q: /etc/passwd of the image has no such name", who)
	case errors.Is(err, user.ErrNoGroupEntries):
		return identity{}, fmt.Errorf("cannot find user %q: /etc/group of the image has no such name", who)
	case err != nil:
		return identity{}, fmt.Errorf("cannot find user %q in the image: %w", who, err)
	}
	for _, n := range append([]int{found.Uid, found.Gid}, found.Sgids...) {
		if n < 0 || n > math.MaxInt32 {
			return identity{}, fmt.Errorf("user %q is %d in the image, out of range: numbers go to %d", who, n, math.MaxInt32)
		}
	}
	id := identity{UID: uint32(found.Uid), GID: uint32(found.Gid), Home: found.Home}
	for _, g := range found.Sgids {
		if g != found.Gid {
			id.Groups = append(id.Groups, uint32(g))
		}
	}
	id.Groups = append([]uint32{id.GID}, id.Groups...)
	return id, nil
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
	fd, err := unix.Openat2(root, name, &unix.OpenHow{
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
		return nil, fmt.Errorf("cannot read /%s of the image: it is no file of a sound size", name)
	}
	return f, nil
}

// whoIs is identify for an image, whose answers are kept: they can't change.
func (r *Runner) whoIs(ctx context.Context, image string, mounts []mount.Mount, who string) (identity, error) {
	key := image + " " + who
	r.mu.Lock()
	id, ok := r.users[key]
	r.mu.Unlock()
	if ok {
		return id, nil
	}
	var unknown error
	err := mount.WithReadonlyTempMount(ctx, mounts, func(root string) error {
		id, unknown = identify(root, who)
		return nil
	})
	if err := errors.Join(err, unknown); err != nil {
		return identity{}, err
	}
	r.mu.Lock()
	r.users[key] = id
	r.mu.Unlock()
	return id, nil
}
