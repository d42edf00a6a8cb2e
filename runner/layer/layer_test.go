package layer

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	containerd "github.com/containerd/containerd/v2/pkg/archive"
	"golang.org/x/sys/unix"
)

// TestWhatIsMadeForMountsIsNoChange: but what else is in such a directory is one.
func TestWhatIsMadeForMountsIsNoChange(t *testing.T) {
	list := []Change{
		{Kind: Added, Path: "/data"},
		{Kind: Changed, Path: "/etc"},
		{Kind: Added, Path: "/etc/hosts", IsFile: true},
		{Kind: Added, Path: "/mnt2"},
		{Kind: Added, Path: "/run"},
		{Kind: Added, Path: "/run/secrets"},
		{Kind: Added, Path: "/run/secrets/key", IsFile: true},
		{Kind: Added, Path: "/srv"},
		{Kind: Added, Path: "/srv/app"},
		{Kind: Added, Path: "/srv/log", IsFile: true, Size: 7},
		{Kind: Deleted, Path: "/tmp/x"},
		{Kind: Added, Path: "/vol"},
		{Kind: Added, Path: "/vol/own", IsFile: true},
	}
	got := withoutMounts(list, []string{"/data", "/etc/hosts", "/mnt", "/run/secrets/key", "/srv/app/", "/vol"})
	var paths []string
	for _, c := range got {
		paths = append(paths, c.Path)
	}
	if want := []string{"/etc", "/mnt2", "/srv", "/srv/log", "/tmp/x", "/vol", "/vol/own"}; !reflect.DeepEqual(paths, want) {
		t.Errorf("left are %v", paths)
	}
}

func TestLayersOfMounts(t *testing.T) {
	for _, c := range []struct {
		m    mount.Mount
		want Layer
	}{
		{mount.Mount{Type: "overlay", Options: []string{"index=off", "workdir=/w", "upperdir=/u", "lowerdir=/b:/a"}}, Layer{Upper: "/u", Lower: []string{"/b", "/a"}}},
		{mount.Mount{Type: "overlay", Options: []string{"lowerdir=/b:/a"}}, Layer{Lower: []string{"/b", "/a"}}},
		{mount.Mount{Type: "bind", Source: "/u", Options: []string{"rbind", "rw"}}, Layer{Upper: "/u"}},
		{mount.Mount{Type: "bind", Source: "/a", Options: []string{"rbind", "ro"}}, Layer{Lower: []string{"/a"}}},
	} {
		if got, err := Of([]mount.Mount{c.m}); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: %v, %v", c.m, got, err)
		}
	}
	if _, err := Of(nil); err == nil {
		t.Error("no mount is a layer")
	}
}

// TestAnImageMayHaveManyLayers: more than their paths fit into the options of a mount. A mount
// that is named by a link leaves nothing where that leads to.
func TestAnImageMayHaveManyLayers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to mount an overlay")
	}
	dir := t.TempDir() + "/" + strings.Repeat("long", 20)
	var l Layer
	for i := range 120 {
		at := fmt.Sprintf("%s/%d/fs", dir, i)
		must(t, os.MkdirAll(at+"/etc", 0o755))
		must(t, os.WriteFile(fmt.Sprintf("%s/etc/%d", at, i), []byte("old"), 0o644))
		l.Lower = append(l.Lower, at)
	}
	must(t, os.Mkdir(l.Lower[7]+"/var", 0o755))
	must(t, os.Symlink("/run", l.Lower[7]+"/var/run"))
	l.Upper = dir + "/120/fs"
	must(t, os.MkdirAll(l.Upper+"/etc", 0o755))
	must(t, os.WriteFile(l.Upper+"/etc/3", []byte("newer"), 0o644))
	must(t, os.WriteFile(l.Upper+"/etc/own", []byte("x"), 0o644))
	must(t, unix.Mknod(l.Upper+"/etc/110", unix.S_IFCHR, 0))
	must(t, os.MkdirAll(l.Upper+"/run/secrets", 0o755))
	probe := t.TempDir()
	if err := unix.Mount("overlay", probe, "overlay", unix.MS_RDONLY, "lowerdir="+l.Lower[0]+":"+l.Lower[1]); err != nil {
		t.Skipf("SKIPPED: no overlay can be mounted here: %v", err)
	}
	must(t, unix.Unmount(probe, 0))
	list, err := l.Changes(t.Context(), []string{"/var/run/secrets"})
	must(t, err)
	want := []Change{{Kind: Deleted, Path: "/etc/110"}, {Kind: Changed, Path: "/etc/3", Size: 5, IsFile: true}, {Kind: Added, Path: "/etc/own", Size: 1, IsFile: true}}
	if !reflect.DeepEqual(list, want) {
		t.Errorf("it has changed %+v", list)
	}
	var out bytes.Buffer
	must(t, l.Write(t.Context(), &out, []string{"/var/run/secrets"}))
	var names []string
	for r := tar.NewReader(&out); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		names = append(names, h.Name)
	}
	if want := []string{"etc/", "etc/.wh.110", "etc/3", "etc/own"}; !reflect.DeepEqual(names, want) {
		t.Errorf("it has %v", names)
	}
	few := Layer{Lower: l.Lower[:119]}
	list, err = Compare(t.Context(), few, Layer{Lower: l.Lower})
	if err != nil || len(list) != 1 || list[0].Path != "/etc/119" || list[0].Layer != 0 {
		t.Errorf("the images differ in %+v, %v", list, err)
	}
}

// TestWhatGoesWhileItIsReadIsNoError, and what can't be read for that is told of in words.
func TestWhatGoesWhileItIsReadIsNoError(t *testing.T) {
	l := Layer{Upper: t.TempDir()}
	w := containerd.NewChangeWriter(io.Discard, l.Upper)
	must(t, l.write(t.Context(), w, Change{Kind: Added, Path: "/gone", IsFile: true, Size: 3}))
	must(t, w.Close())
	err := whileWritten(fmt.Errorf("mount callback failed on /x: %w", &fs.PathError{Op: "lstat", Path: "/x/y", Err: unix.ENOENT}))
	if err == nil || !strings.Contains(err.Error(), "the container writes its files while they are read") {
		t.Error(err)
	}
	if other := errors.New("other"); whileWritten(other) != other || whileWritten(nil) != nil {
		t.Error("another error has become one")
	}
}

func TestResolve(t *testing.T) {
	links := map[string]string{"/var/run": "/run", "/opt/current": "releases/5", "/opt/releases/5/log": "../../shared", "/loop": "loop", "/up": "../../x"}
	link := func(at string) string { return links[at] }
	for at, want := range map[string]string{
		"/var/run/secrets/key": "/run/secrets/key", "/opt/current/log/a": "/opt/shared/a", "/a/b": "/a/b", "/": "/", "/up/y": "/x/y", "/loop/a": "/loop/a",
	} {
		if got := resolve(at, link); got != want {
			t.Errorf("%s is %s", at, got)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestWhatIsCopiedIntoALayerIsNoChange, nor what goes while it is read; an opaque directory
// takes the place of another.
func TestWhatIsCopiedIntoALayerIsNoChange(t *testing.T) {
	dir := t.TempDir()
	when := time.Unix(1_700_000_000, 0)
	for at, content := range map[string]string{"lower/a/same": "text", "upper/a/same": "text", "lower/a/other": "text", "upper/a/other": "texT", "lower/b/old": "x", "upper/b/new": "y"} {
		must(t, os.MkdirAll(dir+"/"+path.Dir(at), 0o755))
		must(t, os.WriteFile(dir+"/"+at, []byte(content), 0o644))
		must(t, os.Chtimes(dir+"/"+at, when, when))
	}
	for _, side := range []string{"lower", "upper"} {
		must(t, os.Symlink("x", dir+"/"+side+"/a/link"))
	}
	w := &walk{dir: dir + "/upper", upper: dir + "/upper", lower: dir + "/lower"}
	must(t, w.directory(t.Context(), "/"))
	must(t, w.directory(t.Context(), "/gone"))
	must(t, unlessGone(w.entry(t.Context(), "/a/gone")))
	slices.SortFunc(w.list, func(x, y Change) int { return strings.Compare(x.Path, y.Path) })
	w.list = slices.DeleteFunc(w.list, func(c Change) bool { return c.Path == "/a/link" }) // of its own time
	if want := []Change{{Kind: Changed, Path: "/a/other", Size: 4, IsFile: true}, {Kind: Added, Path: "/b/new", Size: 1, IsFile: true}}; !reflect.DeepEqual(w.list, want) {
		t.Errorf("it has changed %+v", w.list)
	}
	if unix.Setxattr(dir+"/upper/b", "user.overlay.opaque", []byte("y"), 0) != nil {
		return
	}
	w.list = nil
	must(t, w.entry(t.Context(), "/b"))
	slices.SortFunc(w.list, func(x, y Change) int { return strings.Compare(x.Path, y.Path) })
	if want := []Change{{Kind: Added, Path: "/b/new", Size: 1, IsFile: true}, {Kind: Deleted, Path: "/b/old"}}; !reflect.DeepEqual(w.list, want) {
		t.Errorf("the opaque one has changed %+v", w.list)
	}
}
