package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Unpacker puts what archives hold at a path of a tree. It must be closed.
type Unpacker struct {
	Tree *Tree
	// At is the path at which what the archive has by a Name comes to be; "." is all of
	// the archive, in a directory that is there.
	At, Name string
	// Made says that the directory At was made for what is unpacked: it gets the mode,
	// the time, and with Owners the owner, that the archive has of it.
	Made bool
	// Owners has files belong to whom the archive says; else to root of a container,
	// or to the caller.
	Owners bool
	// Note is told what is left out or is not as it was, and why; it may be nil.
	Note func(at, why string)
	// Bytes is how many bytes of files were written.
	Bytes int64

	err     error
	dir     string // that was used last
	dirFD   int
	hasDir  bool
	file    *pending
	ahead   *pending // one that was begun before it was known what it is to be
	noXattr bool     // that was said
	late    []directory
}

// directory is one whose mode and time are set once all is in it.
type directory struct {
	at string
	h  *tar.Header
}

// pending is a file whose content is still coming.
type pending struct {
	f    *os.File
	temp string // its name meanwhile; "" where it has none
	at   string
	h    *tar.Header
	size int64
}

// Unpack reads an archive and puts its files to all of some places. Where one of them
// takes no more, which its Err says, the others still do. The error is of the archive.
// However it ends, directories have the modes and times that they are to have.
func Unpack(ctx context.Context, in *tar.Reader, to ...*Unpacker) error {
	err := unpackAll(ctx, in, to)
	for _, u := range to {
		u.finish()
	}
	return err
}

func unpackAll(ctx context.Context, in *tar.Reader, to []*Unpacker) error {
	buffer := make([]byte, BufferSize)
	for first := true; ; first = false {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if first && (errors.Is(err, tar.ErrHeader) || errors.Is(err, io.ErrUnexpectedEOF)) {
			return errors.New("cannot read the archive: it is no tar archive")
		}
		if err != nil {
			return fmt.Errorf("cannot read the archive: %w", err)
		}
		if err := unpackOne(ctx, in, h, buffer, to); err != nil {
			return err
		}
		if AllFailed(to) {
			break
		}
	}
	return nil
}

// Err is why not all of an archive was unpacked there.
func (u *Unpacker) Err() error { return u.err }

// AllFailed says that none of some places takes more.
func AllFailed(to []*Unpacker) bool {
	for _, u := range to {
		if u.err == nil {
			return false
		}
	}
	return true
}

func unpackOne(ctx context.Context, in *tar.Reader, h *tar.Header, buffer []byte, to []*Unpacker) error {
	for _, u := range to {
		u.do(func() error { return u.begin(h) })
	}
	for !AllFailed(to) {
		n, err := io.ReadFull(in, buffer)
		for _, u := range to {
			if u.file != nil && n > 0 {
				u.do(func() error { return u.write(buffer[:n]) })
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) && n > 0 && isWhole(in) {
			break
		}
		if err != nil {
			return fmt.Errorf("cannot read the archive: %w", err)
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
	}
	for _, u := range to {
		if u.file != nil {
			u.do(u.end)
		}
	}
	return nil
}

// isWhole says that an entry of an archive was read to its end.
func isWhole(in *tar.Reader) bool {
	_, err := in.Read(make([]byte, 1))
	return errors.Is(err, io.EOF)
}

// do does a part of the work, unless an earlier one has failed.
func (u *Unpacker) do(f func() error) {
	if u.err == nil {
		u.err = u.as(f)
	}
}

func (u *Unpacker) as(f func() error) error {
	if u.Tree.As != nil {
		return u.Tree.As(f)
	}
	return f()
}

// Close drops a file whose content did not come whole.
func (u *Unpacker) Close() {
	u.abandon()
	u.forget()
}

func (u *Unpacker) forget() {
	if u.hasDir {
		unix.Close(u.dirFD)
		u.hasDir = false
	}
}

func (u *Unpacker) abandon() {
	for _, f := range []*pending{u.file, u.ahead} {
		if f == nil {
			continue
		}
		f.f.Close()
		if f.temp == "" {
			continue
		}
		if dir, err := u.parent(f.at); err == nil {
			_ = unix.Unlinkat(dir, f.temp, 0)
		}
	}
	u.file, u.ahead = nil, nil
}

func (u *Unpacker) note(at, why string) {
	if u.Note != nil {
		u.Note(at, why)
	}
}

// place is the path of a name of the archive. What would be outside is refused.
func (u *Unpacker) place(name string) (string, error) {
	clean := path.Clean(strings.TrimLeft(name, "/"))
	if clean == ".." || strings.HasPrefix(clean, "../") || hasUp(name) {
		return "", fmt.Errorf("the archive has a path with \"..\", %.200q, which could lead out of %s", name, u.At)
	}
	if u.Name == "." {
		return path.Join(u.At, clean), nil
	}
	first, rest, _ := strings.Cut(clean, "/")
	if first != u.Name {
		return "", fmt.Errorf("the archive has a path, %.200q, that is not below %s", name, u.Name)
	}
	return path.Join(u.At, rest), nil
}

func hasUp(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// begin makes what an entry describes, but for the content of a file.
func (u *Unpacker) begin(h *tar.Header) error {
	if h.Typeflag == tar.TypeXGlobalHeader {
		return nil
	}
	at, err := u.place(h.Name)
	if err != nil {
		return err
	}
	for _, gone := range u.Tree.Gone {
		if at == gone || strings.HasPrefix(at, strings.TrimSuffix(gone, "/")+"/") {
			return &Error{"write", at, fmt.Errorf("%s is a tmpfs, which is empty when the container starts", gone)}
		}
	}
	if err := u.make(at, h); err != nil {
		return &Error{"write", at, bare(err)}
	}
	return nil
}

func (u *Unpacker) make(at string, h *tar.Header) error {
	switch h.Typeflag {
	case tar.TypeDir:
		return u.mkdir(at, h)
	case tar.TypeReg, tar.TypeGNUSparse, tar.TypeCont:
		return u.create(at, h)
	case tar.TypeSymlink:
		return u.swap(at, h, func(dir int, temp string) error { return unix.Symlinkat(h.Linkname, dir, temp) })
	case tar.TypeFifo:
		return u.swap(at, h, func(dir int, temp string) error { return unix.Mkfifoat(dir, temp, uint32(h.Mode&0o777)) })
	case tar.TypeLink:
		return u.link(at, h)
	case tar.TypeChar, tar.TypeBlock:
		u.note(at, "a device, left out")
		return nil
	}
	u.note(at, fmt.Sprintf("of a kind that is not known (%q), left out", h.Typeflag))
	return nil
}

// parent opens the directory of a path, and makes those that only an archive that does
// not list them has.
func (u *Unpacker) parent(at string) (int, error) {
	dir := path.Dir(at)
	if u.hasDir && u.dir == dir {
		return u.dirFD, nil
	}
	fd, err := u.Tree.open(dir, unix.O_PATH|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) && u.isBelow(dir) {
		if err = u.mkdir(dir, nil); err == nil {
			fd, err = u.Tree.open(dir, unix.O_PATH|unix.O_DIRECTORY)
		}
	}
	if err != nil {
		return -1, err
	}
	u.forget()
	u.dir, u.dirFD, u.hasDir = dir, fd, true
	return fd, nil
}

// isBelow says that a path is in what is unpacked.
func (u *Unpacker) isBelow(at string) bool {
	return u.At == "." || u.At == "/" || at == u.At || strings.HasPrefix(at, u.At+"/")
}

// mkdir makes a directory. One that is there stays as it is, but for what the archive
// says of its owner where that is kept; a link that leads to one is one.
func (u *Unpacker) mkdir(at string, listed *tar.Header) error {
	h := listed
	if u.Made && at == u.At && h != nil {
		if err := u.take(at, h); err != nil {
			return err
		}
		if err := u.Tree.chmod(at, u.mode(h)|0o700); err != nil {
			return err
		}
	}
	if at == "/" || at == "." {
		return nil
	}
	dir, err := u.parent(at)
	if err != nil {
		return err
	}
	name := path.Base(at)
	if h == nil {
		h = &tar.Header{Mode: 0o755}
	}
	// Where nobody gets to its end, it is as open as it is to be, and no more.
	err = unix.Mkdirat(dir, name, u.mode(h)&0o1777|0o700)
	if errors.Is(err, unix.EEXIST) {
		return u.isDirectory(at, dir, name, listed)
	}
	if err != nil {
		return err
	}
	uid, gid, isSet := u.owner(listed)
	if isSet {
		if err := unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return notOwner(err, uid, gid)
		}
	}
	u.late = append(u.late, directory{at, h})
	return nil
}

// take has the directory that all is unpacked into be as the archive says.
func (u *Unpacker) take(at string, h *tar.Header) error {
	u.late = append(u.late, directory{at, h})
	if !u.Owners {
		return nil
	}
	fd, err := u.Tree.open(at, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	uid, gid, _ := u.owner(h)
	if err := unix.Fchownat(fd, "", uid, gid, unix.AT_EMPTY_PATH); err != nil {
		return notOwner(err, uid, gid)
	}
	return nil
}

// isDirectory is an error where what is there is no directory.
func (u *Unpacker) isDirectory(at string, dir int, name string, h *tar.Header) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		fd, err := u.Tree.open(at, unix.O_PATH|unix.O_DIRECTORY)
		if errors.Is(err, errLeadsOut) {
			return err
		}
		if err != nil {
			return ErrDirOverFile
		}
		unix.Close(fd)
		return nil
	}
	if !u.Owners || h == nil {
		return nil
	}
	uid, gid, _ := u.owner(h)
	if err := unix.Fchownat(dir, name, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return notOwner(err, uid, gid)
	}
	u.late = append(u.late, directory{at, h})
	return nil
}

// owner is to whom a file is to belong, if that is not its maker.
func (u *Unpacker) owner(h *tar.Header) (uid, gid int, isSet bool) {
	if u.Owners && h != nil {
		return u.Tree.UID + h.Uid, u.Tree.GID + h.Gid, true
	}
	return u.Tree.UID, u.Tree.GID, u.Tree.resolve&unix.RESOLVE_IN_ROOT != 0
}

func notOwner(err error, uid, gid int) error {
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("only root may give it to user %d and group %d: leave --archive out", uid, gid)
	}
	return err
}

// mode is that of a file; without its owner it gives nobody's rights to who runs it.
func (u *Unpacker) mode(h *tar.Header) uint32 {
	if u.Owners || u.Tree.KeepsPrivileges {
		return uint32(h.Mode & 0o7777)
	}
	return uint32(h.Mode & 0o777)
}

func temporary() string { return ".orlop-" + rand.Text()[:12] }

// create begins a file under no name, which leaves nothing where nobody ends it; else under
// another one.
func (u *Unpacker) create(at string, h *tar.Header) error {
	if u.ahead != nil && u.ahead.at == at {
		u.file, u.ahead = u.ahead, nil
		u.file.h = h
		return nil
	}
	dir, err := u.parent(at)
	if err != nil {
		return err
	}
	if err := noDirectory(dir, path.Base(at)); err != nil {
		return err
	}
	temp := ""
	fd, err := unix.Openat(dir, ".", unix.O_TMPFILE|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EISDIR) || errors.Is(err, unix.EINVAL) { // not every file system has such files
		temp = temporary()
		fd, err = unix.Openat(dir, temp, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	}
	if err != nil {
		return err
	}
	u.file = &pending{f: os.NewFile(uintptr(fd), temp), temp: temp, at: at, h: h}
	return nil
}

// noDirectory is an error where a directory is.
func noDirectory(dir int, name string) error {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return ErrFileOverDir
	}
	return nil
}

// hole is how many zeros in a row are left out of a file, so that it takes no more of
// the disk than the one that it is of.
const hole = 32 << 10

// isZero says that bytes are zeros.
func isZero(b []byte) bool {
	return len(b) > 0 && b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}

// write adds content to the file.
func (u *Unpacker) write(p []byte) error {
	u.Bytes += int64(len(p))
	f := u.file
	for len(p) > 0 {
		n, zeros := run(p)
		if !zeros {
			if _, err := f.f.WriteAt(p[:n], f.size); err != nil {
				at := f.at
				u.abandon()
				return &Error{"write", at, bare(err)}
			}
		}
		f.size += int64(n)
		p = p[n:]
	}
	return nil
}

// run is how many bytes come first of which all blocks are zeros, or none.
func run(p []byte) (n int, zeros bool) {
	zeros = isZero(p[:min(hole, len(p))])
	for n = min(hole, len(p)); n < len(p); {
		next := min(n+hole, len(p))
		if isZero(p[n:next]) != zeros {
			break
		}
		n = next
	}
	return n, zeros
}

// end puts a file that is whole in its place.
func (u *Unpacker) end() error {
	f := u.file
	if err := u.complete(f); err != nil {
		u.abandon()
		return &Error{"write", f.at, bare(err)}
	}
	u.file = nil
	return nil
}

func (u *Unpacker) complete(f *pending) error {
	fd := int(f.f.Fd())
	if err := f.f.Truncate(f.size); err != nil {
		return err
	}
	if uid, gid, isSet := u.owner(f.h); isSet {
		if err := unix.Fchown(fd, uid, gid); err != nil {
			return notOwner(err, uid, gid)
		}
	}
	// The mode comes last: it may be one that lets nobody write.
	if err := u.setAttributes(fd, f.at, f.h); err != nil {
		return err
	}
	if err := unix.Fchmod(fd, u.mode(f.h)); err != nil {
		return err
	}
	dir, err := u.parent(f.at)
	if err != nil {
		return err
	}
	if f.temp == "" {
		temp := temporary()
		if err := unix.Linkat(unix.AT_FDCWD, procPath(fd), dir, temp, unix.AT_SYMLINK_FOLLOW); err != nil {
			return err
		}
		f.temp = temp
	}
	if err := unix.UtimesNanoAt(dir, f.temp, times(f.h.ModTime), unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	err = unix.Renameat(dir, f.temp, dir, path.Base(f.at))
	if errors.Is(err, unix.EBUSY) { // it is a mount of its own
		err = u.overwrite(dir, f)
	}
	if err != nil {
		return err
	}
	return f.f.Close()
}

func times(mod time.Time) []unix.Timespec {
	return []unix.Timespec{{Nsec: unix.UTIME_NOW}, unix.NsecToTimespec(mod.UnixNano())}
}

// setAttributes gives what a descriptor leads to, which may be of O_PATH, its attributes.
func (u *Unpacker) setAttributes(fd int, at string, h *tar.Header) error {
	for record, value := range h.PAXRecords {
		name, is := strings.CutPrefix(record, xattrRecord)
		if !is || !u.Tree.keeps(name) {
			continue
		}
		if name == capability && (h.Typeflag == tar.TypeDir || !u.Owners && !u.Tree.KeepsPrivileges) {
			continue
		}
		err := unix.Setxattr(procPath(fd), name, []byte(value), 0)
		switch {
		case errors.Is(err, unix.ENOTSUP):
			if !u.noXattr {
				u.note(at, "its extended attributes are not kept: the file system has none")
			}
			u.noXattr = true
		case err != nil:
			return fmt.Errorf("its attribute %s: %w", name, err)
		}
	}
	return nil
}

// overwrite writes what has come into a file that can't be replaced.
func (u *Unpacker) overwrite(dir int, f *pending) error {
	from, err := unix.Openat(dir, f.temp, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	in := os.NewFile(uintptr(from), f.temp)
	defer in.Close()
	place, err := unix.Openat(dir, path.Base(f.at), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(place)
	var st unix.Stat_t
	if err := unix.Fstat(place, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG || IsKernels(place) {
		return unix.EBUSY
	}
	to, err := reopen(place, unix.O_WRONLY)
	if err != nil {
		return err
	}
	defer to.Close()
	n, err := io.Copy(to, in)
	if err != nil {
		return err
	}
	_ = unix.Unlinkat(dir, f.temp, 0)
	return to.Truncate(n)
}

// swap makes something under another name and puts it in the place of what is there.
func (u *Unpacker) swap(at string, h *tar.Header, make func(dir int, temp string) error) error {
	dir, err := u.parent(at)
	if err != nil {
		return err
	}
	if err := noDirectory(dir, path.Base(at)); err != nil {
		return err
	}
	temp := temporary()
	if err := make(dir, temp); err != nil {
		return err
	}
	if err := u.settle(dir, temp, path.Base(at), h); err != nil {
		_ = unix.Unlinkat(dir, temp, 0)
		return err
	}
	return nil
}

func (u *Unpacker) settle(dir int, temp, name string, h *tar.Header) error {
	if h.Typeflag != tar.TypeLink {
		if uid, gid, isSet := u.owner(h); isSet {
			if err := unix.Fchownat(dir, temp, uid, gid, unix.AT_SYMLINK_NOFOLLOW); err != nil {
				return notOwner(err, uid, gid)
			}
		}
		if err := unix.UtimesNanoAt(dir, temp, times(h.ModTime), unix.AT_SYMLINK_NOFOLLOW); err != nil {
			return err
		}
	}
	if err := unix.Renameat(dir, temp, dir, name); err != nil {
		return err
	}
	_ = unix.Unlinkat(dir, temp, 0) // renamed over a link to itself it is still there
	return nil
}

// link makes another name of a file that the archive has before.
func (u *Unpacker) link(at string, h *tar.Header) error {
	of, err := u.place(h.Linkname)
	if err != nil {
		return err
	}
	from, err := u.Tree.open(path.Dir(of), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("it is a link to %s: %w", of, err)
	}
	defer unix.Close(from)
	return u.swap(at, h, func(dir int, temp string) error {
		if err := unix.Linkat(from, path.Base(of), dir, temp, 0); err != nil {
			return fmt.Errorf("it is a link to %s: %w", of, err)
		}
		return nil
	})
}

// chmod sets the mode of a directory.
func (t *Tree) chmod(at string, mode uint32) error {
	fd, err := t.open(at, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Chmod(procPath(fd), mode)
}

// finish gives directories their attributes, modes and times, from the innermost on, whatever
// else went wrong.
func (u *Unpacker) finish() {
	for i := len(u.late) - 1; i >= 0; i-- {
		d := u.late[i]
		err := u.as(func() error { return u.finishDirectory(d) })
		if err != nil && u.err == nil {
			u.err = &Error{"write", d.at, bare(err)}
		}
	}
	u.late = nil
}

func (u *Unpacker) finishDirectory(d directory) error {
	fd, err := u.Tree.open(d.at, unix.O_PATH|unix.O_NOFOLLOW|unix.O_DIRECTORY)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil // the archive itself, or the container, has made something else of it
	}
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := u.setAttributes(fd, d.at, d.h); err != nil {
		return err
	}
	if err := unix.Chmod(procPath(fd), u.mode(d.h)); err != nil {
		return err
	}
	if d.h.ModTime.IsZero() {
		return nil
	}
	return unix.UtimesNanoAt(unix.AT_FDCWD, procPath(fd), times(d.h.ModTime), 0)
}
