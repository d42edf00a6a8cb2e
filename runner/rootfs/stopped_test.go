package rootfs

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("SKIPPED: needs root: it mounts a container's layers")
	}
}

// stopped is a container that does not run, whose layers are a directory.
func stopped(t *testing.T, files map[string]string, mounts ...specs.Mount) (dir string, layers []mount.Mount, doc *specs.Spec) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, []byte(text), 0o644))
	}
	doc = &specs.Spec{Process: &specs.Process{Cwd: "/app", User: specs.User{UID: 1000, GID: 100}}, Mounts: mounts}
	return dir, []mount.Mount{{Type: "bind", Source: dir, Options: []string{"rbind", "rw"}}}, doc
}

// What is written into a container that doesn't run is where its next start will
// have it: in its layers, or in the volume that is mounted over them.
func TestFilesOfAContainerThatDoesNotRun(t *testing.T) {
	needRoot(t)
	volume, config, readonly := t.TempDir(), filepath.Join(t.TempDir(), "config"), t.TempDir()
	must(t, os.WriteFile(config, []byte("old"), 0o644))
	dir, layers, doc := stopped(t, map[string]string{"app/main": "old"},
		specs.Mount{Destination: "/app/data", Type: "bind", Source: volume, Options: []string{"rbind", "rw"}},
		specs.Mount{Destination: "/etc/app/config", Type: "bind", Source: config, Options: []string{"bind"}},
		specs.Mount{Destination: "/ro", Type: "bind", Source: readonly, Options: []string{"rbind", "ro"}},
		specs.Mount{Destination: "/gone", Type: "bind", Source: "/nosuch/source", Options: []string{"rbind"}},
		specs.Mount{Destination: "/tmp", Type: "tmpfs", Source: "tmpfs"},
		specs.Mount{Destination: "/proc", Type: "proc", Source: "proc"},
	)
	place := filepath.Join(t.TempDir(), "roots", "c1")
	root, err := OpenStopped("web-1", layers, doc, place)
	must(t, err)
	b := NewBatch()
	b.Add(root)
	file := func(path string) Entry {
		return Entry{Kind: EntryFile, Path: path, Mode: 0o644, Content: []byte("new")}
	}
	b.Apply([]Entry{file("/app/main"), file("/app/data/x"), file("/etc/app/config"), file("/ro/x"), file("/tmp/x")})
	b.Close()
	must(t, Unmount(place))
	holdsFile(t, dir+"/app/main", "new")
	holdsFile(t, volume+"/x", "new")
	holdsFile(t, config, "new")
	if b.Files != 3 || len(b.Failures) != 2 || b.Failures[0].Path != "/ro/x" || !strings.Contains(b.Failures[1].Err.Error(), "/tmp is a tmpfs") {
		t.Errorf("%d files, failures %v", b.Files, b.Failures)
	}
	if _, err := os.Stat(dir + "/app/data/x"); err == nil {
		t.Error("it is below the volume, too")
	}
	st, err := os.Stat(dir + "/etc/app")
	must(t, err)
	if st.Mode().Perm() != 0o755 {
		t.Errorf("what a start would make has the mode %v", st.Mode())
	}
	if _, err := os.Stat(place); err == nil {
		t.Error("its place is still there")
	}
	must(t, Unmount(place)) // once more is once
}

func TestAContainerWithoutLayersIsNotOpened(t *testing.T) {
	needRoot(t)
	place := filepath.Join(t.TempDir(), "c1")
	_, _, doc := stopped(t, nil)
	if _, err := OpenStopped("web-1", []mount.Mount{{Type: "bind", Source: "/nosuch", Options: []string{"rbind"}}}, doc, place); err == nil {
		t.Error("it is opened")
	}
	if _, err := os.Stat(place); err == nil {
		t.Error("its place is still there")
	}
	if _, err := Open("web-1", "/nosuch", doc); err == nil {
		t.Error("a directory that is not there is opened")
	}
}

// A pattern without a slash begins at the working directory; a path inside of a
// volume is read where it is.
func TestFilesAreReadFromTheLayers(t *testing.T) {
	needRoot(t)
	volume := t.TempDir()
	must(t, os.MkdirAll(volume+"/in", 0o755))
	must(t, os.WriteFile(volume+"/in/b.xml", []byte("b"), 0o644))
	_, layers, doc := stopped(t, map[string]string{"app/a.xml": "a", "app/a.txt": "t", "other.xml": "o"})
	var got []string
	err := Read(t.Context(), "web-1", layers, doc, []Inside{{Target: "/sub/", Dir: volume, Path: "in"}, {Target: "/lost", Dir: volume, Path: "nosuch"}},
		[]string{"*.xml", "/sub/*.xml", "/lost/*"}, func(name string, content io.Reader) error {
			text, err := io.ReadAll(content)
			got = append(got, name+"="+string(text))
			return err
		})
	if want := []string{"/app/a.xml=a", "/sub/b.xml=b"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("read are %v, %v; want %v", got, err, want)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Read(ctx, "web-1", layers, doc, nil, []string{"/**"}, nil); err == nil || !strings.Contains(err.Error(), "cannot read /** of web-1") {
		t.Errorf("the caller is gone: %v", err)
	}
}

// TestEntriesOfAllKinds: what each makes of what was there before.
func TestEntriesOfAllKinds(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/was/dir/deep", 0o755))
	must(t, os.WriteFile(dir+"/was/file", []byte("old"), 0o600))
	must(t, os.Symlink("dir", dir+"/was/link"))
	s := syncInto(t, dir)
	text := []byte("new")
	s.Apply([]Entry{
		{Kind: EntryDirectory, Path: "/was/file", Mode: 0o700},
		{Kind: EntryDirectory, Path: "/was/link", Mode: 0o700},             // a link to a directory is one
		{Kind: EntryDirectory, Path: "/was/link", Mode: 0o700, Anew: true}, // but not where there was something else
		{Kind: EntryFile, Path: "/was/dir", Mode: 0o640, Content: text},
		{Kind: EntrySymlink, Path: "/a/new/link", Link: "../../was"},
		{Kind: EntrySymlink, Path: "/a/new/link", Link: "../../was"}, // as it is
		{Kind: EntryRemove, Path: "/nosuch/file"},
		{Kind: EntryFile, Path: "/", Mode: 0o600, Content: text},
		{Kind: EntryDirectory, Path: "/"},
		{Kind: EntryMore, Content: text}, // of a file whose beginning failed
	})
	if len(s.Failures) != 1 || s.Failures[0].Path != "/" || s.Removed != 0 || s.Files != 4 {
		t.Errorf("%d files, %d removed, failures %v", s.Files, s.Removed, s.Failures)
	}
	for name, want := range map[string]string{"was/file": "d", "was/link": "d", "was/dir": "-", "a/new/link": "L"} {
		st, err := os.Lstat(filepath.Join(dir, name))
		if err != nil || st.Mode().String()[:1] != want {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	s.Apply([]Entry{{Kind: EntryRemove, Path: "/was"}})
	if _, err := os.Lstat(dir + "/was"); err == nil || s.Removed != 1 {
		t.Errorf("%d are removed, %v", s.Removed, err)
	}
}

// A file that did not come whole leaves nothing, and no reader sees half of it.
func TestAFileThatIsCutShortIsDropped(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/f", []byte("old"), 0o600))
	s := syncInto(t, dir)
	s.Apply([]Entry{{Kind: EntryFile, Path: "/f", Mode: 0o600, Content: []byte("half"), Unfinished: true}})
	holdsFile(t, dir+"/f", "old")
	s.Close()
	holdsFile(t, dir+"/f", "old")
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left are %v", left)
	}
}

// A service's files come into each of its containers, and each says for itself
// what it could not take.
func TestEachContainerAnswersForItself(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	must(t, os.WriteFile(b+"/app", nil, 0o600)) // a file where a directory is to be
	s := syncInto(t, a, b)
	s.Apply([]Entry{{Kind: EntryFile, Path: "/app/x", Mode: 0o600, Content: []byte("x")}, {Kind: EntryFile, Path: "/y", Mode: 0o600, Content: []byte("y")}})
	holdsFile(t, a+"/app/x", "x")
	holdsFile(t, b+"/y", "y")
	if len(s.Failures) != 1 || s.Failures[0].Container != "1" || s.Failures[0].Path != "/app/x" || s.Files != 2 || s.Containers() != 2 {
		t.Errorf("%d files in %d containers, failures %v", s.Files, s.Containers(), s.Failures)
	}
	// What one of them has already is written for the other.
	must(t, os.Remove(a+"/y"))
	s.Apply([]Entry{{Kind: EntryFile, Path: "/y", Mode: 0o600, Content: []byte("y")}})
	holdsFile(t, a+"/y", "y")
	if s.Files != 3 {
		t.Errorf("%d files are counted", s.Files)
	}
}
