package remote

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/spec/userfile"
)

// Limits of what one remote stack may have.
const (
	maxFiles = 20_000
	maxBytes = 256 << 20
)

// abandoned is how old a directory is that nobody completes any more.
const abandoned = 24 * time.Hour

const temporaryPrefix = "incomplete-"

// dirOf is where the files of a digest of a repository are: what is known of one is not
// taken for another's, which may never have had it.
func (s *Stacks) dirOf(ref reference, digest string) string {
	kind, of := "git", withoutLogin(ref.url)
	if !ref.isGit {
		kind, of = "oci", repositoryOf(ref.image)
	}
	sum := sha256.Sum256([]byte(of))
	return filepath.Join(s.Cache, kind, hex.EncodeToString(sum[:20]), strings.TrimPrefix(digest, "sha256:"))
}

func isThere(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.IsDir()
}

// keep has the files of a digest written, and gives them their name when they are
// whole. Others may do the same beside it: the first one's stay.
func (s *Stacks) keep(ctx context.Context, dir string, write func(*tree) error) error {
	if s.Cache == "" {
		return errors.New("there is no directory to keep it in: set HOME or XDG_CACHE_HOME")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	s.sweep()
	temporary, err := os.MkdirTemp(s.Cache, temporaryPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	root, err := os.OpenRoot(temporary)
	if err != nil {
		return err
	}
	defer root.Close()
	t := &tree{root: root, most: s.most}
	if err := write(t); err != nil {
		return err
	}
	if err := errors.Join(t.finish(temporary), context.Cause(ctx)); err != nil {
		return err
	}
	if err := os.Rename(temporary, dir); err != nil && !isThere(dir) {
		return err
	}
	return nil
}

// sweep removes what commands have left that were killed.
func (s *Stacks) sweep() {
	entries, err := os.ReadDir(s.Cache)
	if err != nil {
		return
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && strings.HasPrefix(e.Name(), temporaryPrefix) && time.Since(info.ModTime()) > abandoned {
			_ = os.RemoveAll(filepath.Join(s.Cache, e.Name()))
		}
	}
}

// tree is a directory that the files of a remote stack are written to, and nothing
// outside of it.
type tree struct {
	root  *os.Root
	most  int64 // bytes that it may have
	files int
	bytes int64
	links map[string]string // that are made last: nothing is written through one
}

// grow counts a file, and refuses one too many.
func (t *tree) grow(size int64) error {
	t.files++
	t.bytes += size
	switch {
	case t.files > maxFiles:
		return fmt.Errorf("it has more than %d files", maxFiles)
	case t.bytes > t.most:
		return tooLarge(t.most)
	}
	return nil
}

func tooLarge(most int64) error { return fmt.Errorf("it is larger than %d MB", most>>20) }

// file writes a file of a size, by its path.
func (t *tree) file(name string, content io.Reader, size int64, executable bool) error {
	if err := t.mayHave(name); err != nil {
		return err
	}
	if err := t.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if executable {
		mode = 0o755
	}
	f, err := t.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.CopyN(f, content, size)
	return errors.Join(err, f.Chmod(mode), f.Close())
}

// link notes a symbolic link.
func (t *tree) link(name, target string) error {
	if err := t.mayHave(name); err != nil {
		return err
	}
	if t.links == nil {
		t.links = map[string]string{}
	}
	t.links[name] = target
	return nil
}

func (t *tree) mayHave(name string) error {
	if !filepath.IsLocal(name) || path.Clean(name) != name || strings.ContainsRune(name, 0) {
		return fmt.Errorf("it has a file with the name %q, which leads out of its directory", name)
	}
	return nil
}

// finish makes the links, and has the files on the disk before they get their name.
func (t *tree) finish(dir string) error {
	for _, name := range slices.Sorted(maps.Keys(t.links)) { // in an order: one may stand where another leads
		if err := t.root.MkdirAll(path.Dir(name), 0o755); err != nil {
			return err
		}
		if err := t.root.Symlink(t.links[name], name); err != nil {
			return err
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return unix.Syncfs(int(d.Fd()))
}

// noteOf is the file that keeps which digest a reference stood for last, for verbs that
// ask nobody.
func (s *Stacks) noteOf(name string) string {
	sum := sha256.Sum256([]byte(name))
	return filepath.Join(s.Cache, "last", hex.EncodeToString(sum[:]))
}

// remember keeps which digest a reference stands for. What can't be kept is asked again.
func (s *Stacks) remember(name, digest string) {
	note := s.noteOf(name)
	if s.Cache == "" || s.remembered(name) == digest || os.MkdirAll(filepath.Dir(note), 0o700) != nil {
		return
	}
	_ = replaceFile(note, []byte(digest+"\n"), 0o600)
}

// remembered is the digest that a reference stood for last; "" if nobody knows.
func (s *Stacks) remembered(name string) string {
	text, err := userfile.Read(s.noteOf(name))
	digest := strings.TrimSpace(string(text))
	if err != nil || !commitForm().MatchString(digest) && !digestForm().MatchString(digest) {
		return ""
	}
	return digest
}
