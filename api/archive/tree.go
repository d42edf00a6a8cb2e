// Package archive carries files between directory trees as tar archives: it packs
// what is at a path of one, and unpacks that at a path of another. What an archive
// says is untrusted, and so are the links of a tree: every path is resolved by the
// kernel, inside of the tree. It must not know what the trees are of.
package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec/openat"
)

// Tree is a directory that paths are resolved inside of.
type Tree struct {
	// UID and GID are what the tree adds to the numbers of an archive's users: those
	// of a container may be others on the machine.
	UID, GID int
	// Mixed says that some of its files have their numbers as they are: those of an image.
	Mixed bool
	// As calls what makes files, as the user that they belong to where the kernel asks
	// for that; nil: it is just called.
	As func(func() error) error
	// Gone are places whose files are not kept: nothing is to be put there.
	Gone []string
	// KeepsPrivileges says that a program may keep what lets whoever runs it become
	// another user, though its owner is not kept: set-user-ID and capabilities.
	KeepsPrivileges bool
	// ACLs says that files have their access control lists in an archive: where users
	// have the same numbers on both sides.
	ACLs bool

	fd      int
	resolve uint64
}

// Root is the root directory of a container at a descriptor, which it takes over: its
// links are followed as a process in there would.
func Root(fd int) *Tree {
	return &Tree{fd: fd, resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS, KeepsPrivileges: true}
}

// Beneath is a directory that no link leads out of.
func Beneath(dir string) (*Tree, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return &Tree{fd: fd, resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS}, nil
}

// Own is a caller's own directory, whose links may lead anywhere.
func Own(dir string) (*Tree, error) {
	t, err := Beneath(dir)
	if err == nil {
		t.resolve = 0
	}
	return t, err
}

// keeps says that an extended attribute is a file's own: a user's, the capabilities of a
// program, and its access control lists where they mean the same.
func (t *Tree) keeps(name string) bool {
	return name == capability || strings.HasPrefix(name, "user.") || t.ACLs && strings.HasPrefix(name, "system.posix_acl_")
}

// Close lets the directory go.
func (t *Tree) Close() { unix.Close(t.fd) }

// open opens what is at a path; the last name is not followed unless it is to be.
func (t *Tree) open(at string, flags int) (int, error) {
	if t.resolve&unix.RESOLVE_IN_ROOT == 0 {
		at = strings.TrimLeft(at, "/")
	}
	if at == "" {
		at = "."
	}
	fd, err := openat.Open(t.fd, at, &unix.OpenHow{Flags: uint64(flags) | unix.O_CLOEXEC, Resolve: t.resolve})
	if errors.Is(err, unix.EXDEV) {
		err = errLeadsOut
	}
	return fd, err
}

var errLeadsOut = errors.New("a link on the way leads out of the directory that is written to")

// Path names the directory, as long as the tree is open.
func (t *Tree) Path() string { return procPath(t.fd) }

// Info is what is at a path.
type Info struct {
	Mode  fs.FileMode
	Size  int64
	Link  string // of a symbolic link: where it leads to
	Times time.Time
}

// Stat tells what is at a path. A link at its end is not followed, unless a slash is
// behind it.
func (t *Tree) Stat(at string) (Info, error) {
	fd, err := t.open(at, unix.O_PATH|unix.O_NOFOLLOW)
	if err != nil {
		return Info{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return Info{}, err
	}
	info := Info{Mode: modeOf(st.Mode), Size: st.Size, Times: time.Unix(st.Mtim.Unix())}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		info.Link, err = readlink(fd)
	}
	return info, err
}

// mostLinks is how many links in a row are followed: as many as the kernel does.
const mostLinks = 40

// Follow is the path of what a path leads to by the links at its end. What is not there
// is where the last of them says that it would be.
func (t *Tree) Follow(at string) (string, Info, error) {
	for range mostLinks {
		info, err := t.Stat(at)
		if err != nil || info.Mode&fs.ModeSymlink == 0 {
			return at, info, err
		}
		if path.IsAbs(info.Link) {
			at = info.Link
		} else {
			at = dirOf(at) + "/" + info.Link // not cleaned: "..", behind a link, is for the kernel
		}
	}
	return at, Info{}, unix.ELOOP
}

// Plain is a path without links and without "..", so that what follows can be told from its
// text: a name after the other is looked at, as the kernel does. What is not there stays as it
// is written.
func (t *Tree) Plain(at string) (string, error) {
	done, links := "/", 0
	for rest := strings.Split(at, "/"); len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." || name == ".." {
			done = path.Join(done, name) // ".." of the root is the root
			continue
		}
		next := path.Join(done, name)
		info, err := t.Stat(next)
		switch {
		case errors.Is(err, unix.ENOENT):
			return path.Join(append([]string{next}, rest...)...), nil
		case err != nil:
			return "", err
		case info.Mode&fs.ModeSymlink == 0:
			done = next
			continue
		}
		if links++; links > mostLinks {
			return "", unix.ELOOP
		}
		if path.IsAbs(info.Link) {
			done = "/"
		}
		rest = append(strings.Split(info.Link, "/"), rest...)
	}
	return done, nil
}

// dirOf is the directory of a path, whose own names stay as they are.
func dirOf(at string) string {
	at = strings.TrimRight(at, "/")
	return at[:strings.LastIndexByte(at, '/')+1]
}

func readlink(fd int) (string, error) {
	to := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(fd, "", to)
	return string(to[:max(n, 0)]), err
}

// modeOf is the mode of a file, without its kind beyond what io/fs has.
func modeOf(mode uint32) fs.FileMode {
	m := fs.FileMode(mode & 0o777)
	switch mode & unix.S_IFMT {
	case unix.S_IFDIR:
		m |= fs.ModeDir
	case unix.S_IFLNK:
		m |= fs.ModeSymlink
	case unix.S_IFIFO:
		m |= fs.ModeNamedPipe
	case unix.S_IFSOCK:
		m |= fs.ModeSocket
	case unix.S_IFBLK:
		m |= fs.ModeDevice
	case unix.S_IFCHR:
		m |= fs.ModeDevice | fs.ModeCharDevice
	}
	return m
}

// reopen opens a plain file or a directory that a descriptor of O_PATH leads to. To
// open anything else could do something by itself.
func reopen(place, flags int) (*os.File, error) {
	fd, err := unix.Open(procPath(place), flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), ""), nil
}

// procPath names what a descriptor leads to.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// IsKernels says that a file is one by which the kernel is told things.
func IsKernels(fd int) bool {
	var of unix.Statfs_t
	if unix.Fstatfs(fd, &of) != nil {
		return true
	}
	switch of.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC, unix.DEBUGFS_MAGIC, unix.TRACEFS_MAGIC,
		unix.SECURITYFS_MAGIC, unix.BPF_FS_MAGIC, unix.DEVPTS_SUPER_MAGIC, unix.BINFMTFS_MAGIC:
		return true
	}
	return false
}

// Error is what could not be done to a path.
type Error struct {
	Do   string // read, write
	Path string
	Err  error
}

func (e *Error) Error() string { return fmt.Sprintf("cannot %s %s: %v", e.Do, e.Path, e.Err) }

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Err }
