package up

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// look is what a file looked like; the zero value is one that is not there.
type look struct {
	size, mtime int64
	inode       uint64
}

func lookAt(file string) look {
	info, err := os.Stat(file)
	if err != nil {
		return look{}
	}
	l := look{size: info.Size(), mtime: info.ModTime().UnixNano()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		l.inode = st.Ino
	}
	return l
}

func lookAtAll(files []string) map[string]look {
	all := map[string]look{}
	for _, f := range files {
		all[f] = lookAt(f)
	}
	return all
}

// edited names the files that have changed since they were looked at.
func edited(before map[string]look) (names []string) {
	for file, was := range before {
		if lookAt(file) != was {
			names = append(names, filepath.Base(file))
		}
	}
	slices.Sort(names)
	return names
}

// sayEdited tells that what was brought up is no longer what the files say: an up
// is of what it has read.
func (u *run) sayEdited() {
	names := edited(u.read)
	if len(names) == 0 || u.IsSilent() || u.watching != nil {
		return
	}
	has := "has"
	if len(names) > 1 {
		has = "have"
	}
	fmt.Fprintln(u.Stderr, u.ErrStyle().Yellow(fmt.Sprintf(" ! %s %s changed since it was read: run \"orlop up\" again", strings.Join(names, ", "), has)))
}
