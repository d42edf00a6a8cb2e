package rootfs

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api/archive"
	"github.com/orlop/orlop/spec/openat"
)

// Root is the root directory of a container. Every path is
// resolved by the kernel inside of it: a link of the container's can lead
// nowhere else.
type Root struct {
	name     string
	fd       int
	uid, gid int // who new files belong to: the container's user
	users    owner

	volatile []string // places whose files the next start makes anew

	dir   string // the directory that was used last
	dirFD int
	open  *pendingFile
}

// pendingFile is a file whose content is still coming.
type pendingFile struct {
	f    *os.File
	dir  int
	temp string // "" where the file that is there is written
	name string
	path string
	mode fs.FileMode
}

// Open opens the root at a directory, /proc/PID/root for one, for files as the
// container's process would make them; doc is the container's document.
func Open(container, dir string, doc *specs.Spec) (*Root, error) {
	fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := besideOurs(fd, dir); err != nil {
		unix.Close(fd)
		return nil, err
	}
	users := ownerOf(doc)
	return &Root{
		name: container, fd: fd, dirFD: -1, users: users,
		uid: users.uid + int(doc.Process.User.UID), gid: users.gid + int(doc.Process.User.GID),
	}, nil
}

// besideOurs is an error about a root that is the engine's own: that of a process which
// is taken for one of a container, and is none.
func besideOurs(fd int, dir string) error {
	var root, own unix.Stat_t
	if err := errors.Join(unix.Fstat(fd, &root), unix.Stat("/", &own)); err != nil {
		return err
	}
	if root.Dev == own.Dev && root.Ino == own.Ino {
		return fmt.Errorf("%s is the root directory of the machine: its process is not in a container", dir)
	}
	return nil
}

// Close lets the root go. A file whose content did not come whole is dropped.
func (c *Root) Close() {
	c.abandon()
	c.forget()
	unix.Close(c.fd)
}

// forget lets the directory that was used last go.
func (c *Root) forget() {
	if c.dirFD >= 0 {
		unix.Close(c.dirFD)
	}
	c.dir, c.dirFD = "", -1
}

// abandon drops a file whose content did not come whole.
func (c *Root) abandon() {
	if c.open == nil {
		return
	}
	c.open.f.Close()
	if c.open.temp != "" {
		_ = unix.Unlinkat(c.open.dir, c.open.temp, 0)
	}
	c.open = nil
}

func (c *Root) apply(e Entry) error {
	if e.Kind == EntryMore {
		if c.open == nil {
			return nil // its beginning failed, and that was said
		}
		return c.write(e)
	}
	c.abandon()
	clean := path.Clean("/" + e.Path)
	if clean == "/" {
		return errors.New("the root directory itself cannot be replaced or removed")
	}
	for _, at := range c.volatile {
		if clean == at || strings.HasPrefix(clean, strings.TrimSuffix(at, "/")+"/") {
			return fmt.Errorf("%s is a tmpfs, which is empty when the container starts", at)
		}
	}
	dir, name := path.Split(clean)
	if e.Kind == EntryRemove {
		return c.remove(path.Clean(dir), name)
	}
	fd, err := c.parent(path.Clean(dir), true)
	if err != nil {
		return err
	}
	switch {
	case e.Kind == EntryDirectory:
		return c.mkdir(fd, clean, name, e)
	case e.Kind == EntrySymlink:
		return c.symlink(fd, name, e.Link)
	case e.InPlace && c.openThere(clean, e):
		return c.write(e)
	}
	if err := c.create(fd, name, e); err != nil {
		return err
	}
	return c.write(e)
}

// has says that what an entry would bring about is so already. A file that
// comes in several pieces is not compared.
func (c *Root) has(e Entry) bool {
	if e.Kind == EntryMore || e.Kind == EntryFile && e.Unfinished {
		return false
	}
	dir, name := path.Split(path.Clean("/" + e.Path))
	if name == "" { // the root itself: it is there, and stays
		return e.Kind == EntryDirectory || e.Kind == EntryRemove
	}
	fd, err := c.parent(path.Clean(dir), false)
	if err != nil {
		return e.Kind == EntryRemove && (errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR))
	}
	var st unix.Stat_t
	err = unix.Fstatat(fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	kind := st.Mode & unix.S_IFMT
	switch {
	case e.Kind == EntryRemove:
		return errors.Is(err, unix.ENOENT)
	case err != nil:
		return false
	case e.Kind == EntryDirectory:
		return kind == unix.S_IFDIR || kind == unix.S_IFLNK && !e.Anew && c.isDirectory(path.Join(dir, name))
	case e.Kind == EntrySymlink:
		to := make([]byte, len(e.Link)+1)
		n, err := unix.Readlinkat(fd, name, to)
		return err == nil && string(to[:n]) == e.Link
	}
	return kind == unix.S_IFREG && fs.FileMode(st.Mode).Perm() == e.Mode.Perm() && st.Size == int64(len(e.Content)) && holds(fd, name, e.Content)
}

// holds says that a file of a directory has the content.
func holds(dir int, name string, content []byte) bool {
	place, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	fd, err := reopen(place, unix.O_RDONLY)
	if err != nil {
		return false
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	there := make([]byte, len(content))
	_, err = io.ReadFull(f, there)
	return err == nil && bytes.Equal(there, content)
}

// parent opens a directory inside the root, and makes it if it is to be.
func (c *Root) parent(dir string, create bool) (int, error) {
	if c.dirFD >= 0 && c.dir == dir {
		return c.dirFD, nil
	}
	fd, err := c.resolve(dir)
	if errors.Is(err, unix.ENOENT) && create {
		fd, err = c.makeAll(dir)
	}
	if err != nil {
		return -1, err
	}
	if c.dirFD >= 0 {
		unix.Close(c.dirFD)
	}
	c.dir, c.dirFD = dir, fd
	return fd, nil
}

func (c *Root) resolve(dir string) (int, error) {
	return openat.Open(c.fd, dir, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// makeAll makes a directory and those above it.
func (c *Root) makeAll(dir string) (int, error) {
	made := ""
	for part := range strings.SplitSeq(strings.Trim(dir, "/"), "/") {
		up, err := c.resolve("/" + made)
		if err != nil {
			return -1, err
		}
		err = unix.Mkdirat(up, part, 0o755)
		if err == nil {
			err = unix.Fchownat(up, part, c.uid, c.gid, unix.AT_SYMLINK_NOFOLLOW)
		}
		unix.Close(up)
		if err != nil && !errors.Is(err, unix.EEXIST) {
			return -1, err
		}
		made = path.Join(made, part)
	}
	return c.resolve(dir)
}

// mkdir makes a directory. A link of the container's to a directory is one;
// anything else gives way.
func (c *Root) mkdir(dir int, clean, name string, e Entry) error {
	err := unix.Mkdirat(dir, name, uint32(e.Mode.Perm()))
	if err == nil {
		return unix.Fchownat(dir, name, c.uid, c.gid, unix.AT_SYMLINK_NOFOLLOW)
	}
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if kind := st.Mode & unix.S_IFMT; kind == unix.S_IFDIR || kind == unix.S_IFLNK && !e.Anew && c.isDirectory(clean) {
		return nil
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil {
		return err
	}
	return c.mkdir(dir, clean, name, e)
}

// isDirectory says that a path leads to a directory, also by a link.
func (c *Root) isDirectory(clean string) bool {
	fd, err := c.resolve(clean)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// openThere opens the file that is at a path, or that a link there leads to, to
// be written as it is. Where there is none, or a program runs from it, another
// one takes its place.
func (c *Root) openThere(clean string, e Entry) bool {
	place, err := openat.Open(c.fd, clean, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return false
	}
	fd, err := reopen(place, unix.O_WRONLY)
	if err != nil {
		return false
	}
	c.open = &pendingFile{f: os.NewFile(uintptr(fd), clean), dir: -1, name: clean, path: e.Path, mode: e.Mode}
	return true
}

// reopen opens what a descriptor of O_PATH leads to, and closes that. It must be
// a plain file: to open anything else, such as a device that a container has
// made, could do something by itself.
func reopen(place, mode int) (int, error) {
	defer unix.Close(place)
	var st unix.Stat_t
	if err := unix.Fstat(place, &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || archive.IsKernels(place) {
		return -1, unix.EINVAL
	}
	return unix.Open("/proc/self/fd/"+strconv.Itoa(place), mode|unix.O_CLOEXEC, 0)
}

// symlink puts a link in the place of whatever is there, in one step.
func (c *Root) symlink(dir int, name, to string) error {
	temp := ".orlop-" + rand.Text()[:12]
	if err := unix.Symlinkat(to, dir, temp); err != nil {
		return err
	}
	_ = unix.Fchownat(dir, temp, c.uid, c.gid, unix.AT_SYMLINK_NOFOLLOW)
	err := c.replace(dir, temp, name)
	if err != nil {
		_ = unix.Unlinkat(dir, temp, 0)
	}
	return err
}

// create begins a file under another name, as the one that is there has its
// owner, or as the container's user would make it.
func (c *Root) create(dir int, name string, e Entry) error {
	uid, gid := c.uid, c.gid
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		uid, gid = int(st.Uid), int(st.Gid)
	}
	temp := ".orlop-" + rand.Text()[:12]
	fd, err := unix.Openat(dir, temp, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), temp)
	if err := errors.Join(unix.Fchown(fd, uid, gid), unix.Fchmod(fd, uint32(e.Mode.Perm()))); err != nil {
		f.Close()
		_ = unix.Unlinkat(dir, temp, 0)
		return err
	}
	c.open = &pendingFile{f: f, dir: dir, temp: temp, name: name, path: e.Path, mode: e.Mode}
	return nil
}

// write adds content to the open file, and puts it in its place when whole: no
// reader sees half of it. One that is written as it is grows or is cut at its
// end, so that a reader never finds it empty.
func (c *Root) write(e Entry) error {
	p := c.open
	if _, err := p.f.Write(e.Content); err != nil {
		c.abandon()
		return err
	}
	if e.Unfinished {
		return nil
	}
	if p.temp == "" {
		err := p.finish()
		c.open = nil
		return err
	}
	if err := p.f.Close(); err != nil {
		c.abandon()
		return err
	}
	c.open = nil
	err := c.replace(p.dir, p.temp, p.name)
	if errors.Is(err, unix.EBUSY) { // it is a mount of its own
		return c.overwrite(p)
	}
	return err
}

// finish cuts a file that was written as it is to what was written.
func (p *pendingFile) finish() error {
	defer p.f.Close()
	size, err := p.f.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	info, err := p.f.Stat()
	if err != nil {
		return err
	}
	if info.Size() != size {
		if err := p.f.Truncate(size); err != nil {
			return err
		}
	}
	if info.Mode().Perm() != p.mode.Perm() {
		return p.f.Chmod(p.mode.Perm())
	}
	return nil
}

// overwrite writes what has come into the file that can't be replaced.
func (c *Root) overwrite(p *pendingFile) error {
	defer unix.Unlinkat(p.dir, p.temp, 0)
	from, err := unix.Openat(p.dir, p.temp, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	in := os.NewFile(uintptr(from), p.temp)
	defer in.Close()
	if !c.openThere(path.Clean("/"+p.path), Entry{Path: p.path, Mode: p.mode}) {
		return unix.EBUSY
	}
	there := c.open
	c.open = nil
	if _, err := io.Copy(there.f, in); err != nil {
		there.f.Close()
		return err
	}
	return there.finish()
}

// replace renames over what is there; a directory gives way.
func (c *Root) replace(dir int, temp, name string) error {
	err := unix.Renameat(dir, temp, dir, name)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
		if err = removeAll(dir, name); err == nil {
			err = unix.Renameat(dir, temp, dir, name)
		}
	}
	if err != nil && !errors.Is(err, unix.EBUSY) {
		_ = unix.Unlinkat(dir, temp, 0)
	}
	return err
}

func (c *Root) remove(dir, name string) error {
	fd, err := c.parent(dir, false)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	return removeAll(fd, name)
}

// removeAll removes a name of a directory with all below it, following no link.
func removeAll(dir int, name string) error {
	root, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(dir))
	if err != nil {
		return err
	}
	defer root.Close()
	return root.RemoveAll(name)
}
