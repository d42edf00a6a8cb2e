package builder

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/tonistiigi/fsutil"

	"github.com/orlop/orlop/spec/userfile"
)

// ledger is what BuildKit holds of the directories that one service's builds
// were lent. BuildKit takes a file for unchanged where its size and time are
// those of the copy that it holds under the session's shared key; the ledger
// finds the files of which that can't be told, and gives the session another
// key then, under which everything is sent.
//
// There is one on disk only between two sessions: a session that is killed, or
// two beside each other, cost a whole transfer and never a stale file.
type ledger struct {
	file string // "" where nothing can be kept

	mu   sync.Mutex
	key  string                      // guarded by mu
	has  map[string]map[string]stamp // guarded by mu: directory -> path in it
	seen map[string]map[string]bool  // guarded by mu: those that this session has listed
	// unsure says that a file has changed since the ledger was opened, and that
	// size and time don't tell.
	unsure bool // guarded by mu
}

// stamp is what tells whether a file is the one that was sent. Its times are
// in nanoseconds; a program may set Mtime, and can't set Ctime.
type stamp struct {
	Size, Mtime, Ctime int64
	Inode              uint64
}

// clockGrain is how far apart two changes of a file must be for its times to
// differ, and more.
const clockGrain = 20 * time.Millisecond

// openLedger takes the ledger of what the engine at address holds of a
// service. The caller gives it back with save.
func openLedger(address, dir, service string) *ledger {
	l := &ledger{key: newKey(), has: map[string]map[string]stamp{}, seen: map[string]map[string]bool{}}
	cache, err := os.UserCacheDir()
	if err != nil {
		return l
	}
	sum := sha256.Sum256([]byte(address + "\x00" + dir + "\x00" + service))
	l.file = filepath.Join(cache, "orlop", "lent", hex.EncodeToString(sum[:16]))
	l.take()
	return l
}

func newKey() string {
	b := make([]byte, 16)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// kept is the form of a ledger on disk.
type kept struct {
	Key string
	Has map[string]map[string]stamp
}

// take reads the ledger and removes it, so that it is this session's alone.
func (l *ledger) take() {
	mine := l.file + "." + l.key
	if os.Rename(l.file, mine) != nil {
		return
	}
	defer os.Remove(mine)
	f, err := userfile.Open(mine)
	if err != nil {
		return
	}
	defer f.Close()
	var k kept
	if gob.NewDecoder(f).Decode(&k) == nil && k.isSure() {
		l.key, l.has = k.Key, k.Has
	}
}

// isSure says that sizes and times tell of all files whether they are those
// that were sent.
func (k *kept) isSure() bool {
	for dir, files := range k.Has {
		for path, sent := range files {
			now, err := stampOf(filepath.Join(dir, path))
			if err == nil && now != sent && now.Size == sent.Size && now.Mtime == sent.Mtime {
				return false
			}
		}
	}
	return k.Key != ""
}

// save puts the ledger back. It is a cache: failing to write it costs time only.
func (l *ledger) save() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == "" || l.unsure || os.MkdirAll(filepath.Dir(l.file), 0o700) != nil {
		return
	}
	l.forget()
	f, err := os.CreateTemp(filepath.Dir(l.file), "new-")
	if err != nil {
		return
	}
	defer os.Remove(f.Name())
	err = gob.NewEncoder(f).Encode(kept{Key: l.key, Has: l.has})
	if cerr := f.Close(); err == nil && cerr == nil {
		_ = os.Rename(f.Name(), l.file)
	}
}

// forget drops the files that are gone from directories that were listed: they
// are gone from BuildKit's copy, too. The caller holds mu.
func (l *ledger) forget() {
	for dir, seen := range l.seen {
		for path := range l.has[dir] {
			if _, err := os.Lstat(filepath.Join(dir, path)); !seen[path] && err != nil {
				delete(l.has[dir], path)
			}
		}
	}
}

func stampOf(path string) (stamp, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return stamp{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return stamp{Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano(), Inode: st.Ino}, nil
}

// note keeps what a file looks like that is listed, or sent. One that changed a
// moment ago may change again and look the same.
func (l *ledger) note(dir, path string, sent bool) {
	is, err := stampOf(filepath.Join(dir, path))
	if err != nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.has[dir] == nil {
		l.has[dir] = map[string]stamp{}
	}
	if l.seen[dir] == nil {
		l.seen[dir] = map[string]bool{}
	}
	l.seen[dir][path] = true
	was, had := l.has[dir][path]
	if had && !sent && was.Size == is.Size && was.Mtime == is.Mtime { // BuildKit will not ask for it
		l.unsure = l.unsure || was != is && was.Ctime != 0
		return
	}
	if time.Since(time.Unix(0, is.Ctime)) < clockGrain {
		is.Ctime = 0
	}
	l.has[dir][path] = is
}

// lent is a directory whose files are noted in a ledger as they are listed for
// BuildKit.
type lent struct {
	fsutil.FS
	ledger *ledger
	dir    string
}

// Open reads a file that is sent: by now it may have rested for long enough.
func (f lent) Open(path string) (io.ReadCloser, error) {
	f.ledger.note(f.dir, strings.TrimPrefix(filepath.Clean("/"+path), "/"), true)
	return f.FS.Open(path)
}

// Walk lists the files, as fsutil.FS wants it.
func (f lent) Walk(ctx context.Context, target string, fn fs.WalkDirFunc) error {
	return f.FS.Walk(ctx, target, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry != nil && entry.Type().IsRegular() {
			f.ledger.note(f.dir, path, false)
		}
		return fn(path, entry, err)
	})
}
