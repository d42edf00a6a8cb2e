package runner

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/planner"
)

// EntryKind says what an Entry does at its path.
type EntryKind int

// The kinds of entries.
const (
	EntryFile EntryKind = iota
	EntryDirectory
	EntrySymlink
	EntryRemove
	EntryMore // content goes on for the file before it
)

// Entry is one change of a container's files.
type Entry struct {
	Kind       EntryKind
	Path       string // absolute, in the container
	Mode       fs.FileMode
	Link       string
	Content    []byte
	Unfinished bool // more content follows
}

// SyncFailure is an entry that could not be carried out in a container.
type SyncFailure struct {
	Container string
	Path      string
	Err       error
}

// Sync writes files into all running containers of a service, through their
// root file systems as their processes see them.
type Sync struct {
	Files, Removed int
	Bytes          int64
	Failures       []SyncFailure
	lanes          []*lane // beside the first one only for many files
}

// lane writes one entry after the other. Lanes share nothing but the disk.
type lane struct {
	roots          []*containerRoot
	files, removed int
	bytes          int64
	failures       []SyncFailure
}

// Files in a row that are worth another lane, and lanes at most.
const (
	laneFiles = 32
	mostLanes = 4
)

// NewSync opens the containers of a service. It is an error if none runs.
func (r *Runner) NewSync(project, service string) (*Sync, error) {
	s := &Sync{lanes: []*lane{{}}}
	for _, p := range r.Containers(project) {
		if p.Service != service || p.OneOff || p.State != planner.Running {
			continue
		}
		root, err := r.openRoot(&p)
		if err != nil {
			s.Close()
			return nil, err
		}
		s.lanes[0].roots = append(s.lanes[0].roots, root)
	}
	if s.Containers() == 0 {
		return nil, fmt.Errorf("service %s %w", service, ErrNotRunning)
	}
	return s, nil
}

// Containers is how many containers the files are written to.
func (s *Sync) Containers() int { return len(s.lanes[0].roots) }

// Apply carries out entries in each container, in their order; whole files
// that follow each other are written side by side. What is there already as
// the entry would have it is left alone and not counted.
func (s *Sync) Apply(entries []Entry) {
	for len(entries) > 0 {
		n := wholeFiles(entries)
		if n < 2*laneFiles || !s.moreLanes() {
			n = max(n, 1)
			for _, e := range entries[:n] {
				s.lanes[0].apply(e)
			}
		} else {
			s.applyBeside(entries[:n])
		}
		entries = entries[n:]
	}
	for _, l := range s.lanes {
		s.Files, s.Removed, s.Bytes, s.Failures = s.Files+l.files, s.Removed+l.removed, s.Bytes+l.bytes, append(s.Failures, l.failures...)
		l.files, l.removed, l.bytes, l.failures = 0, 0, 0, nil
	}
}

// wholeFiles is how many files come first that are in one piece.
func wholeFiles(entries []Entry) int {
	for i, e := range entries {
		if e.Kind != EntryFile || e.Unfinished {
			return i
		}
	}
	return len(entries)
}

// applyBeside writes files by all lanes. Neighbours stay together: they are
// mostly in one directory.
func (s *Sync) applyBeside(files []Entry) {
	share := (len(files) + len(s.lanes) - 1) / len(s.lanes)
	var wg sync.WaitGroup
	for i, l := range s.lanes {
		from, to := min(i*share, len(files)), min((i+1)*share, len(files))
		wg.Go(func() {
			for _, e := range files[from:to] {
				l.apply(e)
			}
		})
	}
	wg.Wait()
}

// moreLanes opens the other lanes and says whether there are any.
func (s *Sync) moreLanes() bool {
	for len(s.lanes) < min(runtime.NumCPU(), mostLanes) {
		l := &lane{}
		for _, root := range s.lanes[0].roots {
			fd, err := unix.FcntlInt(uintptr(root.fd), unix.F_DUPFD_CLOEXEC, 0)
			if err != nil {
				l.close()
				return len(s.lanes) > 1
			}
			l.roots = append(l.roots, &containerRoot{name: root.name, fd: fd, dirFD: -1, uid: root.uid, gid: root.gid})
		}
		s.lanes = append(s.lanes, l)
	}
	return len(s.lanes) > 1
}

// apply carries out one entry in each container.
func (l *lane) apply(e Entry) {
	changed := false
	for _, root := range l.roots {
		if root.has(e) {
			continue
		}
		if err := root.apply(e); err != nil {
			l.failures = append(l.failures, SyncFailure{Container: root.name, Path: e.Path, Err: err})
			continue
		}
		changed = true
	}
	switch {
	case !changed:
	case e.Kind == EntryRemove:
		l.removed++
	case e.Kind != EntryMore:
		l.files++
	}
	if changed {
		l.bytes += int64(len(e.Content))
	}
}

// Close ends the batch; a file that was not finished is dropped.
func (s *Sync) Close() {
	for _, l := range s.lanes {
		l.close()
	}
}

func (l *lane) close() {
	for _, root := range l.roots {
		root.close()
	}
}

// containerRoot is the root directory of a running container. Every path is
// resolved by the kernel inside of it: a link of the container's can lead
// nowhere else.
type containerRoot struct {
	name     string
	fd       int
	uid, gid int // who new files belong to: the container's user

	dir   string // the directory that was used last
	dirFD int
	open  *pendingFile
}

// pendingFile is a file whose content is still coming.
type pendingFile struct {
	f    *os.File
	dir  int
	temp string
	name string
	path string
}

func (r *Runner) openRoot(p *planner.Container) (*containerRoot, error) {
	c := r.lookup(p.ID)
	if c == nil || p.PID == 0 {
		return nil, fmt.Errorf("%s %w", p.Name, ErrNotRunning)
	}
	doc, err := c.ctr.Spec(r.ctx)
	if err != nil {
		return nil, err
	}
	fd, err := unix.Open("/proc/"+strconv.Itoa(p.PID)+"/root", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open the files of %s: %w", p.Name, err)
	}
	c.mu.Lock()
	process := c.pidfd
	c.mu.Unlock()
	if process == nil || process.Signal(syscall.Signal(0)) != nil {
		unix.Close(fd) // the number may be another's by now
		return nil, fmt.Errorf("%s %w", p.Name, ErrNotRunning)
	}
	return &containerRoot{name: p.Name, fd: fd, dirFD: -1, uid: int(doc.Process.User.UID), gid: int(doc.Process.User.GID)}, nil
}

func (c *containerRoot) close() {
	c.abandon()
	if c.dirFD >= 0 {
		unix.Close(c.dirFD)
	}
	unix.Close(c.fd)
}

// abandon drops a file whose content did not come whole.
func (c *containerRoot) abandon() {
	if c.open == nil {
		return
	}
	c.open.f.Close()
	_ = unix.Unlinkat(c.open.dir, c.open.temp, 0)
	c.open = nil
}

func (c *containerRoot) apply(e Entry) error {
	if e.Kind == EntryMore {
		if c.open == nil {
			return nil // its beginning failed, and that was said
		}
		return c.write(e)
	}
	c.abandon()
	clean := path.Clean("/" + e.Path)
	if clean == "/" {
		return errors.New("the root itself is no target")
	}
	dir, name := path.Split(clean)
	if e.Kind == EntryRemove {
		return c.remove(path.Clean(dir), name)
	}
	fd, err := c.parent(path.Clean(dir), true)
	if err != nil {
		return err
	}
	switch e.Kind {
	case EntryDirectory:
		return c.mkdir(fd, name, e.Mode)
	case EntrySymlink:
		return c.symlink(fd, name, e.Link)
	}
	if err := c.create(fd, name, e); err != nil {
		return err
	}
	return c.write(e)
}

// has says that what an entry would bring about is so already. A file that
// comes in several pieces is not compared.
func (c *containerRoot) has(e Entry) bool {
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
		return kind == unix.S_IFDIR
	case e.Kind == EntrySymlink:
		to := make([]byte, len(e.Link)+1)
		n, err := unix.Readlinkat(fd, name, to)
		return err == nil && string(to[:n]) == e.Link
	}
	return kind == unix.S_IFREG && fs.FileMode(st.Mode).Perm() == e.Mode.Perm() && st.Size == int64(len(e.Content)) && holds(fd, name, e.Content)
}

// holds says that a file of a directory has the content.
func holds(dir int, name string, content []byte) bool {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
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
func (c *containerRoot) parent(dir string, create bool) (int, error) {
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

func (c *containerRoot) resolve(dir string) (int, error) {
	return unix.Openat2(c.fd, dir, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
}

// makeAll makes a directory and those above it.
func (c *containerRoot) makeAll(dir string) (int, error) {
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

func (c *containerRoot) mkdir(dir int, name string, mode fs.FileMode) error {
	err := unix.Mkdirat(dir, name, uint32(mode.Perm()))
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
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return nil
	}
	if err := unix.Unlinkat(dir, name, 0); err != nil {
		return err
	}
	return c.mkdir(dir, name, mode)
}

// symlink puts a link in the place of whatever is there, in one step.
func (c *containerRoot) symlink(dir int, name, to string) error {
	temp := ".orlop-" + newID()[:12]
	if err := unix.Symlinkat(to, dir, temp); err != nil {
		return err
	}
	_ = unix.Fchownat(dir, temp, c.uid, c.gid, unix.AT_SYMLINK_NOFOLLOW)
	return c.replace(dir, temp, name)
}

// create begins a file under another name, as the one that is there has its
// owner, or as the container's user would make it.
func (c *containerRoot) create(dir int, name string, e Entry) error {
	uid, gid := c.uid, c.gid
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFREG {
		uid, gid = int(st.Uid), int(st.Gid)
	}
	temp := ".orlop-" + newID()[:12]
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
	c.open = &pendingFile{f: f, dir: dir, temp: temp, name: name, path: e.Path}
	return nil
}

// write adds content to the open file, and puts it in its place when whole:
// no reader sees half of it.
func (c *containerRoot) write(e Entry) error {
	p := c.open
	if _, err := p.f.Write(e.Content); err != nil {
		c.abandon()
		return err
	}
	if e.Unfinished {
		return nil
	}
	if err := p.f.Close(); err != nil {
		_ = unix.Unlinkat(p.dir, p.temp, 0)
		c.open = nil
		return err
	}
	c.open = nil
	return c.replace(p.dir, p.temp, p.name)
}

// replace renames over what is there; a directory gives way.
func (c *containerRoot) replace(dir int, temp, name string) error {
	err := unix.Renameat(dir, temp, dir, name)
	if errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
		if err = removeAll(dir, name); err == nil {
			err = unix.Renameat(dir, temp, dir, name)
		}
	}
	if err != nil {
		_ = unix.Unlinkat(dir, temp, 0)
	}
	return err
}

func (c *containerRoot) remove(dir, name string) error {
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
