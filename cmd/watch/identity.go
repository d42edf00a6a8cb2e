package watch

import (
	"crypto/sha256"
	"io"
	"io/fs"
	"os"
	"runtime"
	"sync"
	"syscall"
	"time"
)

// identity tells whether a file is what it was: its kind, mode and content.
// Times tell nothing, but save reading what was surely not written since.
type identity struct {
	mode      fs.FileMode
	sum       [16]byte
	directory bool
	missing   bool
	seen      stamp
}

// stamp is what a file looked like when it was read.
type stamp struct {
	size, mtime, ctime int64
	inode              uint64
	settled            bool // the last change was old enough for the clock to tell the next one
}

// settledAfter is the age of a change from which its time can be trusted: a
// file may change twice within the clock's grain.
const settledAfter = 2 * time.Second

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
			for i := w; i < len(files); i += workers {
				out[i] = identityOf(files[i], now)
			}
		})
	}
	wg.Wait()
	return out
}

func identityOf(p pendingFile, now time.Time) identity {
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
		is.seen.settled = now.Sub(time.Unix(0, max(is.seen.mtime, is.seen.ctime))) > settledAfter
		if p.had && p.was.seen.settled && p.was.seen == is.seen {
			is.sum = p.was.sum
			return is
		}
	}
	is.sum, is.missing = contentSum(p.path)
	return is
}

func contentSum(path string) (sum [16]byte, missing bool) {
	f, err := os.Open(path)
	if err != nil {
		return sum, os.IsNotExist(err)
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	copy(sum[:], h.Sum(nil))
	return sum, err != nil
}
