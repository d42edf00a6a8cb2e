package loop

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// identity tells whether a file is what it was: its kind, mode and content.
// Times tell nothing, but save reading what was surely not written since.
type identity struct {
	mode      fs.FileMode
	sum       [16]byte
	directory bool
	missing   bool
	seen      stamp
	born      int64   // see origin
	from      *origin // where it is another than was met first
}

// origin is what was at a path when the containers last had what is there; the
// zero value is nothing. By it, a file that was written in place is told from
// one that took another's place.
type origin struct {
	kind  fs.FileMode // the type bits
	inode uint64
	born  int64     // when the inode was made, in nanoseconds since 1970; 0 where the file system does not say
	at    time.Time // when it was so
}

// isNothing says that there was nothing, or that it is not known what.
func (o origin) isNothing() bool { return o.at.IsZero() }

// originOf is what is at a path now.
func originOf(path string, info fs.FileInfo, now time.Time) origin {
	o := origin{kind: info.Mode().Type(), at: now}
	if o.kind.IsRegular() {
		o.born = bornAt(path)
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		o.inode = st.Ino
	}
	return o
}

// wrote says that the file which is at a path now is the one that was there,
// with other content. An inode's number may be another file's by now, which was
// made at another time. (That time is by the kernel's coarse clock, and is not to
// be compared with ours.)
func (o origin) wrote(now origin) bool {
	return !o.isNothing() && o.kind.IsRegular() && now.kind.IsRegular() && o.inode == now.inode && o.born == now.born
}

// bornAt is when the inode of a file was made.
func bornAt(path string) int64 {
	var st unix.Statx_t
	err := unix.Statx(unix.AT_FDCWD, path, unix.AT_STATX_DONT_SYNC, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return 0
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec)).UnixNano()
}

// FileClock is the time by which the kernel dates changes of files: coarser than the
// clock, and behind it.
func FileClock() time.Time {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &now); err != nil {
		return time.Now()
	}
	return time.Unix(now.Unix())
}

// isWrittenSince says that a file was written, or put where it is, at a time of
// FileClock or later; of the zero time it says no. A directory changes with what it holds.
func isWrittenSince(info fs.FileInfo, since time.Time) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && !since.IsZero() && !info.IsDir() && !time.Unix(st.Ctim.Unix()).Before(since)
}

// isMovedSince says that a directory was put where it is at such a time, and nothing into it since: what it holds has the times that it had.
func isMovedSince(info fs.FileInfo, since time.Time) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && !since.IsZero() && info.IsDir() && !time.Unix(st.Ctim.Unix()).Before(since) && time.Unix(st.Mtim.Unix()).Before(since)
}

// stamp is what a file looked like when it was read.
type stamp struct {
	size, mtime, ctime int64
	inode              uint64
	trusted            bool // the last change was old enough for the clock to tell the next one
}

// differs says that a file was written or replaced between two looks at it.
func (a stamp) differs(b stamp) bool {
	a.trusted, b.trusted = false, false
	return a != b
}

// origin is a file as something to compare a later one with; that of none is
// nothing.
func (a identity) origin(at time.Time) origin {
	if a == (identity{}) {
		return origin{}
	}
	kind := a.mode.Type()
	if a.directory {
		kind = fs.ModeDir
	}
	return origin{kind: kind, inode: a.seen.inode, born: a.born, at: at}
}

// trustedAfter is the age of a change from which its time can be trusted: a
// file may change twice within the clock's grain.
const trustedAfter = 2 * time.Second

func (a identity) equal(b identity) bool {
	if a.directory || b.directory {
		return a.directory == b.directory
	}
	return a.mode == b.mode && a.sum == b.sum
}

// identify reads files, several at a time.
func identify(files []pendingFile, now time.Time) []identity {
	out := make([]identity, len(files))
	workers := min(runtime.NumCPU()+1, 1+len(files)/32)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			r := reader{buffer: make([]byte, min(64<<10, 4<<10*len(files)))}
			for i := w; i < len(files); i += workers {
				out[i] = r.identity(files[i], now)
			}
		})
	}
	wg.Wait()
	return out
}

// reader reads one file after the other.
type reader struct{ buffer []byte }

func (r *reader) identity(p pendingFile, now time.Time) identity {
	is := identity{mode: p.info.Mode() & (fs.ModeType | fs.ModePerm), directory: p.info.IsDir()}
	if is.directory {
		return is
	}
	if is.mode&fs.ModeSymlink != 0 {
		to, err := os.Readlink(p.path)
		sum := sha256.Sum256([]byte(to))
		copy(is.sum[:], sum[:])
		is.missing = err != nil
		return is
	}
	if st, ok := p.info.Sys().(*syscall.Stat_t); ok {
		is.seen = stamp{size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano(), inode: st.Ino}
		is.seen.trusted = now.Sub(time.Unix(0, max(is.seen.mtime, is.seen.ctime))) > trustedAfter
		if p.had && p.was.seen.trusted && p.was.seen == is.seen {
			is.sum, is.born = p.was.sum, p.was.born
			return is
		}
	}
	is.sum, is.missing = r.contentSum(p.path)
	is.born = bornAt(p.path)
	return is
}

// contentSum reads by bare system calls: for the many small files of a
// working tree, what os.File does beside them costs more than they do.
func (r *reader) contentSum(path string) (sum [16]byte, missing bool) {
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return sum, errors.Is(err, fs.ErrNotExist)
	}
	defer unix.Close(fd)
	h := sha256.New()
	for {
		n, err := unix.Read(fd, r.buffer)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if n <= 0 || err != nil {
			copy(sum[:], h.Sum(nil))
			return sum, err != nil
		}
		h.Write(r.buffer[:n])
	}
}
