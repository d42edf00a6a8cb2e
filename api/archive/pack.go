package archive

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// BufferSize is how many bytes of a file are read or written at once: they stay in the
	// cache of a processor.
	BufferSize = 256 << 10
	// deepest is how many directories may be in each other: each takes a descriptor.
	deepest = 1000
	// xattrRecord is what the name of a PAX record begins with that is an attribute.
	xattrRecord = "SCHILY.xattr."
	// capability is the attribute with the capabilities of a program.
	capability = "security.capability"
)

// Packer writes archives of what is in a tree.
type Packer struct {
	Tree *Tree
	Out  *tar.Writer
	// Devices are packed as well; else they are left out.
	Devices bool
	// Note is told what is left out or is not as it was, and why; it may be nil.
	Note func(at, why string)

	seen   map[inode]string // names in the archive of files with several links
	buffer []byte
}

type inode struct{ dev, ino uint64 }

// Pack writes what is at a path, and all below it, by a name that it has in the
// archive. A link at the end of the path is followed only if that is asked for, or a
// slash is behind it.
func (p *Packer) Pack(ctx context.Context, at, name string, follow bool) error {
	i, err := p.item(at, name, follow)
	if err != nil {
		return err
	}
	defer unix.Close(i.fd)
	return p.pack(ctx, i, 0)
}

// Large is from how many bytes on a file is worth to be copied by the kernel.
const Large = 1 << 20

// OpenLarge opens a plain file of Large bytes or more for its content to be copied by the kernel,
// and tells what an archive says of it. The file is nil where anything else is at the path.
func (p *Packer) OpenLarge(at, name string, follow bool) (*tar.Header, *os.File, error) {
	i, err := p.item(at, name, follow)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(i.fd)
	if i.st.Mode&unix.S_IFMT != unix.S_IFREG || i.st.Size < Large {
		return nil, nil, nil
	}
	h := p.header(i)
	f, err := p.openFile(i, h)
	return h, f, err
}

// item opens what is at a path.
func (p *Packer) item(at, name string, follow bool) (item, error) {
	flags := unix.O_PATH | unix.O_NOFOLLOW
	if follow {
		flags = unix.O_PATH
	}
	fd, err := p.Tree.open(at, flags)
	if err != nil {
		return item{}, &Error{"read", at, err}
	}
	p.seen, p.buffer = map[inode]string{}, make([]byte, BufferSize)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return item{}, &Error{"read", at, err}
	}
	if kind, is := special(st.Mode); is {
		unix.Close(fd)
		return item{}, &Error{"read", at, fmt.Errorf("it is %s", kind)}
	}
	return item{fd: fd, at: path.Clean("/" + at), name: name, st: &st}, nil
}

// special says what a file is that can't be copied.
func special(mode uint32) (kind string, is bool) {
	switch mode & unix.S_IFMT {
	case unix.S_IFCHR, unix.S_IFBLK:
		return "a device", true
	case unix.S_IFSOCK:
		return "a socket", true
	}
	return "", false
}

// item is something that is packed.
type item struct {
	fd   int // of O_PATH
	at   string
	name string // in the archive
	st   *unix.Stat_t
}

func (p *Packer) note(at, why string) {
	if p.Note != nil {
		p.Note(at, why)
	}
}

func (p *Packer) pack(ctx context.Context, i item, depth int) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if depth > deepest {
		return &Error{"read", i.at, fmt.Errorf("more than %d directories are in each other", deepest)}
	}
	h := p.header(i)
	id := inode{i.st.Dev, i.st.Ino}
	first, again := p.seen[id]
	switch kind := i.st.Mode & unix.S_IFMT; {
	case kind == unix.S_IFDIR:
		return p.directory(ctx, i, h, depth)
	case again:
		h.Typeflag, h.Linkname, h.Size, h.PAXRecords = tar.TypeLink, first, 0, nil
		return p.Out.WriteHeader(h)
	case kind == unix.S_IFREG:
		if err := p.file(ctx, i, h); err != nil {
			return err
		}
	case kind == unix.S_IFLNK:
		to, err := readlink(i.fd)
		if err != nil {
			return &Error{"read", i.at, err}
		}
		h.Typeflag, h.Linkname = tar.TypeSymlink, to
		if err := p.Out.WriteHeader(h); err != nil {
			return err
		}
	case kind == unix.S_IFIFO:
		h.Typeflag = tar.TypeFifo
		if err := p.Out.WriteHeader(h); err != nil {
			return err
		}
	case p.Devices && kind != unix.S_IFSOCK:
		h.Typeflag, h.Devmajor, h.Devminor = tar.TypeChar, int64(unix.Major(i.st.Rdev)), int64(unix.Minor(i.st.Rdev))
		if kind == unix.S_IFBLK {
			h.Typeflag = tar.TypeBlock
		}
		if err := p.Out.WriteHeader(h); err != nil {
			return err
		}
	default:
		what, _ := special(i.st.Mode)
		p.note(i.at, what+", left out")
		return nil
	}
	if i.st.Nlink > 1 {
		p.seen[id] = i.name
	}
	return nil
}

// header describes an item.
func (p *Packer) header(i item) *tar.Header {
	return &tar.Header{
		Name: i.name, Mode: int64(i.st.Mode & 0o7777), Uid: p.Tree.user(i.st.Uid, p.Tree.UID), Gid: p.Tree.user(i.st.Gid, p.Tree.GID),
		ModTime: time.Unix(i.st.Mtim.Unix()), Format: tar.FormatPAX,
	}
}

// nobody is the user of a file that belongs to none of a container's.
const nobody = 65534

func (t *Tree) user(id uint32, first int) int {
	switch {
	case int(id) >= first:
		return int(id) - first
	case t.Mixed:
		return int(id)
	}
	return nobody
}

func (p *Packer) directory(ctx context.Context, i item, h *tar.Header, depth int) error {
	h.Typeflag, h.Name = tar.TypeDir, strings.TrimSuffix(h.Name, "/")+"/"
	dir, err := reopen(i.fd, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return &Error{"read", i.at, err}
	}
	defer dir.Close()
	p.attributes(i.at, h, int(dir.Fd()))
	if err := p.Out.WriteHeader(h); err != nil {
		return err
	}
	if IsKernels(int(dir.Fd())) {
		return nil // what is in there are no files of the tree
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return &Error{"read", i.at, err}
	}
	slices.Sort(names)
	for _, name := range names {
		if err := p.below(ctx, i, int(dir.Fd()), name, depth); err != nil {
			return err
		}
	}
	return nil
}

// below packs a name of a directory. What has gone meanwhile is not missed.
func (p *Packer) below(ctx context.Context, i item, dir int, name string, depth int) error {
	at := path.Join(i.at, name)
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &Error{"read", at, err}
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return &Error{"read", at, err}
	}
	return p.pack(ctx, item{fd: fd, at: at, name: path.Join(i.name, name), st: &st}, depth+1)
}

func (p *Packer) file(ctx context.Context, i item, h *tar.Header) error {
	f, err := p.openFile(i, h)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := p.Out.WriteHeader(h); err != nil {
		return err
	}
	_ = unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_SEQUENTIAL) // a hint
	return p.content(ctx, i.at, f, h.Size)
}

// openFile opens a plain file, and completes what is said of it.
func (p *Packer) openFile(i item, h *tar.Header) (*os.File, error) {
	if IsKernels(i.fd) {
		return nil, &Error{"read", i.at, errors.New("it is the kernel's own, by which it is asked and told things")}
	}
	f, err := reopen(i.fd, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, &Error{"read", i.at, err}
	}
	h.Typeflag, h.Size = tar.TypeReg, i.st.Size
	p.attributes(i.at, h, int(f.Fd()))
	return f, nil
}

// content writes as much of a file as it had. One that was cut meanwhile has zeros for
// what is gone, as the archive has its size already.
func (p *Packer) content(ctx context.Context, at string, f *os.File, left int64) error {
	for left > 0 {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		n, err := f.Read(p.buffer[:min(left, BufferSize)])
		if errors.Is(err, io.EOF) {
			p.note(at, becameShorter)
			clear(p.buffer)
			n, err = int(min(left, BufferSize)), nil
		}
		if err != nil {
			return &Error{"read", at, bare(err)}
		}
		if _, err := p.Out.Write(p.buffer[:n]); err != nil {
			return err
		}
		left -= int64(n)
	}
	return nil
}

// attributes adds the extended attributes that are a file's own.
func (p *Packer) attributes(at string, h *tar.Header, fd int) {
	n, err := unix.Flistxattr(fd, p.buffer)
	if err != nil || n == 0 {
		return // the file system has none
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(p.buffer[:n]), "\x00"), "\x00") {
		if !p.Tree.keeps(name) {
			continue
		}
		if strings.Contains(name, "=") { // by which a record of an archive ends its name
			p.note(at, fmt.Sprintf("its extended attribute %q, left out: an archive can't have one with \"=\" in its name", name))
			continue
		}
		size, err := unix.Fgetxattr(fd, name, p.buffer)
		if err != nil {
			continue // it has gone
		}
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords[xattrRecord+name] = string(p.buffer[:size])
	}
}

// bare is an error without the path that it names.
func bare(err error) error {
	if of, ok := errors.AsType[*fs.PathError](err); ok {
		return of.Err
	}
	return err
}
