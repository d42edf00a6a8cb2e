package builder

import (
	"context"
	"encoding/gob"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/tonistiigi/fsutil"
	fstypes "github.com/tonistiigi/fsutil/types"

	"github.com/orlop/orlop/spec/userfile"
)

// sums are the digests of files. Those of larger files are remembered with
// the files' size, times and inode, so that an unchanged tree is not read again.
type sums struct {
	path  string
	known map[string]remembered
	next  map[string]remembered
	now   time.Time
	files *reading
}

// remembered is a digest and what the file looked like when it was computed.
type remembered struct {
	Size  int64
	Mtime int64
	Ctime int64
	Inode uint64
	Sum   string
}

// rememberFrom is the size from which remembering a digest is worth it, and
// trustedAfter the age of a change from which its time can be trusted: a file may
// change twice within the clock's grain.
const (
	rememberFrom = 16 << 10
	trustedAfter = 2 * time.Second
)

func newSums(files *reading) *sums {
	s := &sums{known: map[string]remembered{}, next: map[string]remembered{}, now: time.Now(), files: files}
	dir, err := os.UserCacheDir()
	if err != nil {
		return s
	}
	s.path = filepath.Join(dir, "orlop", "sums")
	f, err := userfile.Open(s.path)
	if err != nil {
		return s
	}
	defer f.Close()
	if err := gob.NewDecoder(f).Decode(&s.known); err != nil {
		s.known = map[string]remembered{}
	}
	return s
}

// of is the digest of a file's kind, mode and content. What is no file,
// directory or link has none: it takes no part in a build.
func (s *sums) of(ctx context.Context, path string, d fs.DirEntry) (string, error) {
	info, err := d.Info()
	if err != nil {
		return "", err
	}
	const kept = fs.ModeType | fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	mode := strconv.FormatUint(uint64(info.Mode()&kept), 8)
	switch {
	case info.IsDir():
		return "dir " + mode, nil
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(path)
		return "link " + to, err
	case !info.Mode().IsRegular():
		return "", nil
	}
	sum, err := s.content(ctx, path, info)
	return sum + " " + mode, err
}

func (s *sums) content(ctx context.Context, path string, info fs.FileInfo) (string, error) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || info.Size() < rememberFrom {
		return s.files.hash(ctx, path)
	}
	is := remembered{Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Inode: st.Ino}
	if was, ok := s.known[path]; ok {
		is.Sum = was.Sum
		if was == is {
			s.next[path] = is
			return is.Sum, nil
		}
	}
	sum, err := s.files.hash(ctx, path)
	if err != nil {
		return "", err
	}
	is.Sum = sum
	if s.now.Sub(time.Unix(0, max(is.Mtime, is.Ctime))) > trustedAfter {
		s.next[path] = is
	}
	return sum, nil
}

// save keeps the digests for the next command. It is a cache: failing to
// write it costs time only.
func (s *sums) save() {
	fresh := false
	for path, is := range s.next {
		if s.known[path] != is {
			fresh = true
			s.known[path] = is
		}
	}
	if s.path == "" || !fresh {
		return
	}
	if os.MkdirAll(filepath.Dir(s.path), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(s.path), "sums-")
	if err != nil {
		return
	}
	defer os.Remove(f.Name())
	err = gob.NewEncoder(f).Encode(s.known)
	if cerr := f.Close(); err == nil && cerr == nil {
		os.Rename(f.Name(), s.path)
	}
}

// resetOwner makes the files of a context root's, as docker build does.
func resetOwner(_ string, st *fstypes.Stat) fsutil.MapResult {
	st.Uid, st.Gid = 0, 0
	return fsutil.MapResultKeep
}
