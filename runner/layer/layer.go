// Package layer is what a container has changed of its image's files: its writable
// layer, listed or written as a layer of an image. It also tells in which files two
// images differ. It changes nothing.
package layer

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	continuity "github.com/containerd/continuity/fs"
	"golang.org/x/sys/unix"
)

// Kind is what became of a file, by the letters of docker diff.
type Kind string

// The kinds of changes.
const (
	Added   Kind = "A"
	Changed Kind = "C"
	Deleted Kind = "D"
)

// Change is a file in which a container differs from its image.
type Change struct {
	Kind   Kind
	Path   string // absolute
	Size   int64  // of a plain file that is there
	IsFile bool   // a plain one
	Layer  int    // of two images: which layer of the second has it, from 0 on; -1: none
}

// Layer is a writable layer on those of an image.
type Layer struct {
	Upper string   // directory of the writable one; "" of a view
	Lower []string // directories of the others, the topmost first
	// UID and GID are what the numbers of users have in the writable one beside those that
	// they have in the others: the container's users may be others of the machine.
	UID, GID int

	users []string // options of the others' mount, by which they are so there, too
}

// Of are the layers that a container's root is mounted of.
func Of(mounts []mount.Mount) (Layer, error) {
	if len(mounts) != 1 {
		return Layer{}, fmt.Errorf("internal error: a root of %d mounts", len(mounts))
	}
	m := mounts[0]
	if m.Type == "bind" { // it has one layer alone
		if slices.Contains(m.Options, "ro") {
			return Layer{Lower: []string{m.Source}}, nil
		}
		return Layer{Upper: m.Source}, nil
	}
	var l Layer
	for _, o := range m.Options {
		if dir, is := strings.CutPrefix(o, "upperdir="); is {
			l.Upper = dir
		}
		if dirs, is := strings.CutPrefix(o, "lowerdir="); is {
			l.Lower = strings.Split(dirs, ":")
		}
		for name, first := range map[string]*int{"uidmap=": &l.UID, "gidmap=": &l.GID} {
			if ids, is := strings.CutPrefix(o, name); is {
				if _, err := fmt.Sscanf(ids, "0:%d:", first); err != nil {
					return Layer{}, fmt.Errorf("internal error: users of a root are mapped by %q", o)
				}
				l.users = append(l.users, o)
			}
		}
	}
	if l.Upper == "" && len(l.Lower) == 0 {
		return Layer{}, fmt.Errorf("internal error: a root of type %s", m.Type)
	}
	return l, nil
}

// with mounts the layers below and the writable one by itself, without the marks by which
// an overlay knows what is deleted.
func (l Layer) with(ctx context.Context, f func(upper, lower string) error) error {
	empty, err := os.MkdirTemp("", "orlop-layer-")
	if err != nil {
		return err
	}
	defer os.Remove(empty)
	below := views(l.Lower, empty)
	if len(l.Lower) > 0 {
		below[0].Options = append(below[0].Options, l.users...)
	}
	// Nothing of it can be written to, and a mount that is asked to be read-only maps no users.
	var failed error // without the words that each mount puts before it
	err = mount.WithTempMount(ctx, below, func(lower string) error {
		return mount.WithReadonlyTempMount(ctx, views([]string{l.Upper}, empty), func(upper string) error {
			failed = f(upper, lower)
			return failed
		})
	})
	return cmp.Or(failed, err)
}

// views mounts directories over each other; an empty one makes an overlay of one. It has no
// place among several: those of an image have their path in common but for its end, and many
// of them fit into the options of a mount by that alone.
func views(dirs []string, empty string) []mount.Mount {
	switch len(dirs) {
	case 0:
		return []mount.Mount{{Type: "bind", Source: empty, Options: []string{"rbind", "ro"}}}
	case 1:
		dirs = []string{dirs[0], empty}
	}
	return []mount.Mount{{Type: "overlay", Source: "overlay", Options: []string{"lowerdir=" + strings.Join(dirs, ":")}}}
}

// Changes are the files in which the layer differs from those below, in the order of
// their paths. What was made for mounts at some places alone is left out.
func (l Layer) Changes(ctx context.Context, mounts []string) (list []Change, err error) {
	err = l.with(ctx, func(upper, lower string) error {
		list, err = l.changes(ctx, upper, lower, mounts)
		return err
	})
	return list, err
}

func (l Layer) changes(ctx context.Context, upper, lower string, mounts []string) ([]Change, error) {
	w := &walk{dir: l.Upper, upper: upper, lower: lower}
	if err := w.directory(ctx, "/"); err != nil {
		return nil, whileWritten(err)
	}
	slices.SortFunc(w.list, func(x, y Change) int { return cmp.Compare(x.Path, y.Path) })
	return withoutMounts(w.list, resolved(upper, lower, mounts)), nil
}

// whileWritten says of files that came, went or grew that they did.
func whileWritten(err error) error {
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, tar.ErrWriteTooLong) || err != nil && strings.Contains(err.Error(), "short write copying file") {
		return errors.New("the container writes its files while they are read: pause it, or stop it, and do it again")
	}
	return err
}

// resolved are places at which a container has mounts as they are written, and where their
// links lead in its files.
func resolved(upper, lower string, mounts []string) (places []string) {
	var roots []*os.Root
	for _, dir := range []string{upper, lower} {
		if r, err := os.OpenRoot(dir); err == nil {
			defer r.Close()
			roots = append(roots, r)
		}
	}
	link := func(at string) string {
		for _, r := range roots {
			if info, err := r.Lstat(at[1:]); err == nil {
				if info.Mode()&fs.ModeSymlink == 0 {
					return ""
				}
				to, _ := r.Readlink(at[1:])
				return to
			}
		}
		return ""
	}
	for _, m := range mounts {
		places = append(places, m, resolve(m, link))
	}
	return places
}

// mostLinks is how many links are followed on a way, as the kernel does.
const mostLinks = 40

// resolve is a path without links; link is where one leads to, "" of what is none.
func resolve(at string, link func(string) string) string {
	done, links := "/", 0
	for rest := strings.Split(at, "/"); len(rest) > 0; {
		next := path.Join(done, rest[0])
		isUp := rest[0] == ".."
		rest = rest[1:]
		to := ""
		if next != "/" && !isUp {
			to = link(next)
		}
		if links++; to == "" || links > mostLinks+strings.Count(at, "/") {
			done = next
			continue
		}
		if path.IsAbs(to) {
			done = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	return done
}

func kindOf(k continuity.ChangeKind) Kind {
	switch k {
	case continuity.ChangeKindAdd:
		return Added
	case continuity.ChangeKindDelete:
		return Deleted
	}
	return Changed
}

// withoutMounts leaves out empty files and directories that were added for something to
// be mounted on, and directories that hold nothing else. The list is in the order of paths.
func withoutMounts(list []Change, mounts []string) []Change {
	clean := make([]string, len(mounts))
	for i, m := range mounts {
		clean[i] = path.Clean("/" + m)
	}
	forMount := func(c Change) bool {
		return c.Kind == Added && c.Size == 0 && slices.ContainsFunc(clean, func(m string) bool {
			return m == c.Path || !c.IsFile && strings.HasPrefix(m, c.Path+"/")
		})
	}
	needed := map[string]bool{} // directories with something else in them
	for _, c := range list {
		if !forMount(c) {
			for dir := path.Dir(c.Path); dir != "/" && !needed[dir]; dir = path.Dir(dir) {
				needed[dir] = true
			}
		}
	}
	return slices.DeleteFunc(list, func(c Change) bool { return forMount(c) && !needed[c.Path] })
}

// Write writes the layer as one of an image (OCI image-spec, layer.md), without what was
// made for mounts at some places alone.
func (l Layer) Write(ctx context.Context, out io.Writer, mounts []string) error {
	return l.with(ctx, func(upper, lower string) error {
		list, err := l.changes(ctx, upper, lower, mounts)
		if err != nil {
			return err
		}
		out, end := l.asImage(out)
		w := archive.NewChangeWriter(out, upper)
		for _, c := range list {
			if err = l.write(ctx, w, c); err != nil {
				break
			}
		}
		return end(cmp.Or(whileWritten(err), w.Close()))
	})
}

// write writes a change. A file that has gone since it was listed is none.
func (l Layer) write(ctx context.Context, w *archive.ChangeWriter, c Change) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if c.Kind == Deleted {
		return w.HandleChange(continuity.ChangeKindDelete, c.Path, nil, nil)
	}
	info, err := os.Lstat(filepath.Join(l.Upper, c.Path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && isWhiteout(info) { // it was deleted since
		return w.HandleChange(continuity.ChangeKindDelete, c.Path, nil, nil)
	}
	var kind continuity.ChangeKind = continuity.ChangeKindModify
	if c.Kind == Added {
		kind = continuity.ChangeKindAdd
	}
	return w.HandleChange(kind, c.Path, info, err)
}

// asImage gives the users of files the numbers that they have in an image. The end is to be
// told of what went wrong, and tells of it.
func (l Layer) asImage(out io.Writer) (_ io.Writer, end func(error) error) {
	if l.UID == 0 && l.GID == 0 {
		return out, func(err error) error { return err }
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := l.shift(r, out)
		r.CloseWithError(err)
		done <- err
	}()
	return w, func(err error) error {
		w.CloseWithError(err) // nil is the end of the archive
		return cmp.Or(err, <-done)
	}
}

func (l Layer) shift(in io.Reader, out io.Writer) error {
	from, to := tar.NewReader(in), tar.NewWriter(out)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			return to.Close()
		}
		if err != nil {
			return err
		}
		h.Uid, h.Gid = max(h.Uid-l.UID, 0), max(h.Gid-l.GID, 0)
		if err := to.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(to, from); err != nil {
			return err
		}
	}
}

// Compare are the files in which a view of an image differs from that of another one, and
// which layer each of them comes with.
func Compare(ctx context.Context, from, to Layer) (list []Change, err error) {
	empty, err := os.MkdirTemp("", "orlop-layer-")
	if err != nil {
		return nil, err
	}
	defer os.Remove(empty)
	err = mount.WithReadonlyTempMount(ctx, views(from.Lower, empty), func(old string) error {
		return mount.WithReadonlyTempMount(ctx, views(to.Lower, empty), func(now string) error {
			list, err = compare(ctx, old, now, to)
			return err
		})
	})
	return list, err
}

func compare(ctx context.Context, old, now string, to Layer) (list []Change, err error) {
	err = continuity.Changes(ctx, old, now, func(k continuity.ChangeKind, at string, f os.FileInfo, err error) error {
		if err != nil || k == continuity.ChangeKindUnmodified {
			return err
		}
		c := Change{Kind: kindOf(k), Path: at, Layer: -1}
		if k != continuity.ChangeKindDelete && f != nil {
			if c.IsFile = f.Mode().IsRegular(); c.IsFile {
				c.Size = f.Size()
			}
			c.Layer = to.layerOf(at)
		}
		list = append(list, c)
		return nil
	})
	slices.SortFunc(list, func(x, y Change) int { return cmp.Compare(x.Path, y.Path) })
	return list, err
}

// layerOf is which layer a file comes with, from the lowest on; -1: it is in none.
func (l Layer) layerOf(at string) int {
	for i, dir := range l.Lower {
		if _, err := os.Lstat(filepath.Join(dir, at)); err == nil {
			return len(l.Lower) - 1 - i
		} else if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTDIR) {
			return -1
		}
	}
	return -1
}
