package rootfs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"unicode/utf8"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Bounds of what Read gives: a file, all of them together, in bytes, and
// how many they are.
const (
	longestRead = 64 << 20
	largestRead = 256 << 20
	mostRead    = 10_000
)

// Inside is a path inside a directory of the host that a container has at a
// target. It is the container's: no link of it is to be trusted.
type Inside struct{ Target, Dir, Path string }

// Read gives the regular files of a container that match one of the patterns,
// each with its path in the container. The container may run or have ended; what
// it had on a tmpfs goes with its processes. In a pattern "*" and "?" stand for
// characters of one name and "**" for any directories; one that does not begin
// with a slash begins at the container's working directory. Links are followed
// inside of one file system only, and nowhere else. layers and doc are the
// container's; more are directories beside those that doc mounts.
func Read(ctx context.Context, container string, layers []mount.Mount, doc *specs.Spec, more []Inside, patterns []string, each func(name string, content io.Reader) error) error {
	return mount.WithReadonlyTempMount(ctx, layers, func(root string) error {
		all := trees(root, doc.Mounts)
		for _, m := range more {
			all = append(all, tree{target: path.Clean(m.Target), source: m.Dir, inside: m.Path})
		}
		f := newFileReader(all, each)
		for _, p := range patterns {
			if !path.IsAbs(p) {
				p = path.Join("/", doc.Process.Cwd, p)
			}
			if err := f.read(ctx, path.Clean(p)); err != nil {
				return fmt.Errorf("cannot read %s of %s: %w", p, container, err)
			}
		}
		return nil
	})
}

// tree is a directory of the host that a container has at a path of its own.
type tree struct {
	target, source string
	inside         string // path below source that it is, no link of which is to be trusted; "" is source itself
}

// open opens the directory.
func (t tree) open() (*os.Root, error) {
	root, err := os.OpenRoot(t.source)
	if err != nil || t.inside == "" {
		return root, err
	}
	defer root.Close()
	return root.OpenRoot(t.inside)
}

// trees are the root file system and the directories that are mounted in it.
func trees(root string, mounts []specs.Mount) []tree {
	all := []tree{{target: "/", source: root}}
	for _, m := range mounts {
		if st, err := os.Stat(m.Source); m.Type == "bind" && err == nil && st.IsDir() {
			all = append(all, tree{target: path.Clean(m.Destination), source: m.Source})
		}
	}
	return all
}

// fileReader gives files out of trees, each one once.
type fileReader struct {
	trees []tree
	seen  map[string]bool
	left  int64 // bytes that may be given yet
	each  func(name string, content io.Reader) error
}

func newFileReader(trees []tree, each func(name string, content io.Reader) error) *fileReader {
	return &fileReader{trees: trees, seen: map[string]bool{}, left: largestRead, each: each}
}

func (f *fileReader) read(ctx context.Context, pattern string) error {
	for _, t := range f.trees {
		from, ok := t.start(fixedPart(pattern))
		if !ok {
			continue
		}
		if err := f.readTree(ctx, t, from, pattern); err != nil {
			return err
		}
	}
	return nil
}

// start is where in the tree files below a path may be, relative to it.
func (t tree) start(fixed string) (from string, ok bool) {
	switch {
	case isBelow(fixed, t.target):
		return path.Join(".", strings.TrimPrefix(fixed, t.target)), true
	case isBelow(t.target, fixed):
		return ".", true
	}
	return "", false
}

func isBelow(name, dir string) bool {
	return dir == "/" || name == dir || strings.HasPrefix(name, dir+"/")
}

func (f *fileReader) readTree(ctx context.Context, t tree, from, pattern string) error {
	root, err := t.open()
	if t.inside != "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) {
		return nil // its container has made something else of it
	}
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), from, func(name string, d fs.DirEntry, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		inside := path.Join(t.target, name)
		switch {
		case err != nil && name == from, errors.Is(err, fs.ErrNotExist):
			return nil // nothing is there, or not any more
		case err != nil:
			return err
		case d.IsDir() && inside != t.target && f.isMounted(inside):
			return fs.SkipDir // what is below is hidden
		case !d.Type().IsRegular() || f.seen[inside] || !matchPath(pattern, inside):
			return nil
		}
		f.seen[inside] = true
		return f.give(root, name, inside)
	})
}

func (f *fileReader) isMounted(name string) bool {
	for _, t := range f.trees {
		if t.target == name {
			return true
		}
	}
	return false
}

func (f *fileReader) give(root *os.Root, name, inside string) error {
	if !utf8.ValidString(inside) {
		return fmt.Errorf("cannot read %q: its name is not UTF-8 text", inside)
	}
	// The program may put a pipe in the place of a file while we look.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	st, err := file.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > longestRead {
		return errors.Join(err, fmt.Errorf("%s is not a regular file of less than %d MB", inside, longestRead>>20))
	}
	// One that grows while it is read gives no more than it had.
	if f.left -= st.Size(); f.left < 0 || len(f.seen) > mostRead {
		return fmt.Errorf("more than %d MB or %d files match: name fewer", largestRead>>20, mostRead)
	}
	return f.each(inside, io.LimitReader(file, st.Size()))
}

// fixedPart is the part of a pattern before its first wildcard: whole names.
func fixedPart(pattern string) string {
	i := strings.IndexAny(pattern, "*?[\\")
	if i < 0 {
		return pattern
	}
	return path.Dir(pattern[:i] + "x")
}

// matchPath says whether a path matches a pattern in which "**" stands for any
// number of directories.
func matchPath(pattern, name string) bool {
	return matchNames(strings.Split(strings.Trim(pattern, "/"), "/"), strings.Split(strings.Trim(name, "/"), "/"))
}

func matchNames(pattern, names []string) bool {
	for i, p := range pattern {
		if p == "**" {
			for skip := range len(names) - i + 1 {
				if matchNames(pattern[i+1:], names[i+skip:]) {
					return true
				}
			}
			return false
		}
		if i >= len(names) {
			return false
		}
		if ok, err := path.Match(p, names[i]); err != nil || !ok {
			return false
		}
	}
	return len(pattern) == len(names)
}
