package rootfs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// syncInto is a sync into directories that stand for the roots of containers.
func syncInto(t *testing.T, dirs ...string) *Batch {
	t.Helper()
	l := &lane{}
	for i, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.roots = append(l.roots, &Root{name: fmt.Sprint(i), fd: fd, dirFD: -1, uid: os.Getuid(), gid: os.Getgid()})
	}
	s := &Batch{lanes: []*lane{l}}
	t.Cleanup(s.Close)
	return s
}

func holdsFile(t *testing.T, path, want string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != want {
		t.Errorf("%s holds %.40q (%v), want %.40q", path, got, err, want)
	}
}

func TestManyFilesComeIntoEveryContainerWhole(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	s := syncInto(t, a, b)
	var entries []Entry
	for i := range 1000 {
		entries = append(entries, Entry{Kind: EntryFile, Path: fmt.Sprintf("/app/%d/f%d", i/100, i), Mode: 0o640, Content: []byte(fmt.Sprint(i))})
	}
	s.Apply(entries)
	if s.Files != 1000 || len(s.Failures) > 0 || s.Containers() != 2 {
		t.Fatalf("%d files in %d containers, failures %v", s.Files, s.Containers(), s.Failures)
	}
	for _, dir := range []string{a, b} {
		for i := range 1000 {
			holdsFile(t, fmt.Sprintf("%s/app/%d/f%d", dir, i/100, i), fmt.Sprint(i))
		}
		if left, _ := filepath.Glob(dir + "/app/*/.orlop-*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
	s.Apply(entries)
	if s.Files != 1000 {
		t.Errorf("files that are there already are counted: %d", s.Files)
	}
}

func TestAnOrderOfEntriesIsKeptAroundPieces(t *testing.T) {
	dir := t.TempDir()
	s := syncInto(t, dir)
	long := strings.Repeat("x", 100)
	s.Apply([]Entry{
		{Kind: EntryFile, Path: "/a", Mode: 0o600, Content: []byte("half"), Unfinished: true},
		{Kind: EntryFile, Path: "/b", Mode: 0o600, Content: []byte(long), Unfinished: true},
		{Kind: EntryMore, Path: "/b", Content: []byte("end")},
		{Kind: EntryDirectory, Path: "/d", Mode: 0o755},
		{Kind: EntryFile, Path: "/d/x", Mode: 0o600, Content: []byte("x")},
		{Kind: EntrySymlink, Path: "/l", Link: "d/x"},
		{Kind: EntryRemove, Path: "/d/x"},
		{Kind: EntryRemove, Path: "/never"},
	})
	if len(s.Failures) > 0 || s.Removed != 1 {
		t.Errorf("removed %d, failures %v", s.Removed, s.Failures)
	}
	holdsFile(t, dir+"/b", long+"end")
	if _, err := os.Lstat(dir + "/a"); err == nil {
		t.Error("half a file is in its place")
	}
	if to, _ := os.Readlink(dir + "/l"); to != "d/x" {
		t.Errorf("the link leads to %q", to)
	}
}

func TestNoPathLeadsOutOfAContainer(t *testing.T) {
	dir, outside := t.TempDir(), t.TempDir()
	for _, link := range []struct{ to, name string }{{outside, "abs"}, {"../../../../../../../.." + outside, "up"}} {
		if err := os.Symlink(link.to, filepath.Join(dir, link.name)); err != nil {
			t.Fatal(err)
		}
	}
	s := syncInto(t, dir)
	s.Apply([]Entry{
		{Kind: EntryFile, Path: "/abs/x", Mode: 0o600, Content: []byte("x")},
		{Kind: EntryFile, Path: "/up/y", Mode: 0o600, Content: []byte("y")},
		{Kind: EntryFile, Path: "/../../z", Mode: 0o600, Content: []byte("z")},
		{Kind: EntryRemove, Path: "/"},
		{Kind: EntryDirectory, Path: "/", Mode: 0o700},
		{Kind: EntrySymlink, Path: "/", Link: outside},
	})
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("outside there is %v", left)
	}
	holdsFile(t, dir+"/z", "z")
	if n := len(s.Failures); n != 3 || s.Failures[2].Path != "/" || s.Removed > 0 {
		t.Errorf("removed %d, failures %v", s.Removed, s.Failures)
	}
}

func inode(t *testing.T, path string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// TestFilesAreWrittenInPlaceOrReplaced: as it was done on the caller's side.
func TestFilesAreWrittenInPlaceOrReplaced(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) { must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600)) }
	put("same", "old and longer")
	put("other", "old")
	put("pieces", "old")
	put("real", "old")
	must(t, os.Symlink("real", dir+"/link"))
	must(t, os.Symlink("real", dir+"/cut"))
	must(t, os.Link(dir+"/same", dir+"/hard"))
	same, other, pieces := inode(t, dir+"/same"), inode(t, dir+"/other"), inode(t, dir+"/pieces")
	follower, err := os.Open(dir + "/same")
	must(t, err)
	defer follower.Close()

	s := syncInto(t, dir)
	s.Apply([]Entry{
		{Kind: EntryFile, Path: "/same", Mode: 0o640, Content: []byte("new"), InPlace: true},
		{Kind: EntryFile, Path: "/other", Mode: 0o600, Content: []byte("new")},
		{Kind: EntryFile, Path: "/pieces", Mode: 0o600, Content: []byte("one "), Unfinished: true, InPlace: true},
		{Kind: EntryMore, Path: "/pieces", Content: []byte("two"), Unfinished: false},
		{Kind: EntryFile, Path: "/link", Mode: 0o600, Content: []byte("through"), InPlace: true},
		{Kind: EntryFile, Path: "/cut", Mode: 0o600, Content: []byte("own")},
		{Kind: EntryFile, Path: "/fresh", Mode: 0o600, Content: []byte("fresh"), InPlace: true},
	})
	if len(s.Failures) > 0 {
		t.Fatal(s.Failures)
	}
	for name, want := range map[string]string{
		"same": "new", "hard": "new", "other": "new", "pieces": "one two", "real": "through", "link": "through", "cut": "own", "fresh": "fresh",
	} {
		holdsFile(t, dir+"/"+name, want)
	}
	if inode(t, dir+"/same") != same || inode(t, dir+"/pieces") != pieces {
		t.Error("a file that was written in place is another one")
	}
	if inode(t, dir+"/other") == other {
		t.Error("a file that was replaced is the same one")
	}
	if info, _ := os.Lstat(dir + "/same"); info.Mode().Perm() != 0o640 {
		t.Errorf("its mode is %v", info.Mode())
	}
	if info, _ := os.Lstat(dir + "/link"); info.Mode()&os.ModeSymlink == 0 {
		t.Error("the link was replaced by a file that was written through it")
	}
	text := make([]byte, 3)
	if _, err := follower.ReadAt(text, 0); err != nil || string(text) != "new" {
		t.Errorf("a program that has it open reads %q (%v)", text, err)
	}
}

// TestLinksOfTheContainerStay: a link to a directory is one, unless there was a
// link on the caller's side, too, and is none any more.
func TestLinksOfTheContainerStay(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(dir+"/releases/1", 0o700))
	for _, name := range []string{"current", "was"} {
		must(t, os.Symlink("releases/1", filepath.Join(dir, name)))
	}
	must(t, os.Symlink("nowhere", dir+"/dangling"))
	s := syncInto(t, dir)
	s.Apply([]Entry{
		{Kind: EntryDirectory, Path: "/current", Mode: 0o755},
		{Kind: EntryFile, Path: "/current/page", Mode: 0o600, Content: []byte("page")},
		{Kind: EntryDirectory, Path: "/was", Mode: 0o755, Anew: true},
		{Kind: EntryFile, Path: "/was/page", Mode: 0o600, Content: []byte("own")},
		{Kind: EntryDirectory, Path: "/dangling", Mode: 0o755},
	})
	if len(s.Failures) > 0 {
		t.Fatal(s.Failures)
	}
	holdsFile(t, dir+"/releases/1/page", "page")
	holdsFile(t, dir+"/was/page", "own")
	for name, link := range map[string]bool{"current": true, "was": false, "dangling": false} {
		if info, err := os.Lstat(filepath.Join(dir, name)); err != nil || info.Mode()&os.ModeSymlink != 0 != link {
			t.Errorf("%s: a link is %t, %v", name, link, err)
		}
	}
}

// TestAFileThatIsAMountIsWritten: nothing can take its place.
func TestAFileThatIsAMountIsWritten(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: it mounts a file")
	}
	dir, source := t.TempDir(), filepath.Join(t.TempDir(), "f")
	must(t, os.WriteFile(source, []byte("old and longer"), 0o600))
	must(t, os.WriteFile(dir+"/f", nil, 0o600))
	must(t, unix.Mount(source, dir+"/f", "", unix.MS_BIND, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir+"/f", unix.MNT_DETACH)) })
	s := syncInto(t, dir)
	s.Apply([]Entry{{Kind: EntryFile, Path: "/f", Mode: 0o600, Content: []byte("new")}})
	if len(s.Failures) > 0 {
		t.Fatal(s.Failures)
	}
	holdsFile(t, source, "new")
	if left, _ := filepath.Glob(dir + "/.orlop-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestNothingIsWrittenToTheKernel: a link of a container's must not make a sync
// write what only the host's root may.
func TestNothingIsWrittenToTheKernel(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/proc", 0o700))
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: it mounts the kernel's files")
	}
	must(t, unix.Mount("proc", dir+"/proc", "proc", 0, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir+"/proc", unix.MNT_DETACH)) })
	must(t, os.Symlink("/proc/self/comm", dir+"/x"))
	was, err := os.ReadFile("/proc/self/comm")
	must(t, err)
	s := syncInto(t, dir)
	s.Apply([]Entry{{Kind: EntryFile, Path: "/x", Mode: 0o600, Content: []byte("taken"), InPlace: true}})
	holdsFile(t, "/proc/self/comm", string(was))
	holdsFile(t, dir+"/x", "taken")
}

// TestWhatAStartMakesAnewIsNoPlace: a file below a tmpfs would be lost.
func TestWhatAStartMakesAnewIsNoPlace(t *testing.T) {
	dir := t.TempDir()
	s := syncInto(t, dir)
	s.lanes[0].roots[0].volatile = []string{"/run"}
	s.Apply([]Entry{
		{Kind: EntryFile, Path: "/run/x", Mode: 0o600, Content: []byte("x")},
		{Kind: EntryFile, Path: "/runner/x", Mode: 0o600, Content: []byte("x")},
	})
	if len(s.Failures) != 1 || s.Failures[0].Path != "/run/x" {
		t.Errorf("failures are %v", s.Failures)
	}
	holdsFile(t, dir+"/runner/x", "x")
}

// TestNothingIsOpenedThatIsNoFile: a pipe would keep the sync waiting, a device
// could do anything.
func TestNothingIsOpenedThatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	must(t, unix.Mkfifo(dir+"/pipe", 0o600))
	must(t, os.Symlink("pipe", dir+"/link"))
	s := syncInto(t, dir)
	s.Apply([]Entry{
		{Kind: EntryFile, Path: "/link", Mode: 0o600, Content: []byte("one"), InPlace: true},
		{Kind: EntryFile, Path: "/pipe", Mode: 0o600, Content: []byte("two"), InPlace: true},
	})
	if len(s.Failures) > 0 {
		t.Fatal(s.Failures)
	}
	holdsFile(t, dir+"/link", "one")
	holdsFile(t, dir+"/pipe", "two")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
