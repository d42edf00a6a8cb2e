package runner

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// syncInto is a sync into directories that stand for the roots of containers.
func syncInto(t *testing.T, dirs ...string) *Sync {
	t.Helper()
	l := &lane{}
	for i, dir := range dirs {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		l.roots = append(l.roots, &containerRoot{name: fmt.Sprint(i), fd: fd, dirFD: -1, uid: os.Getuid(), gid: os.Getgid()})
	}
	s := &Sync{lanes: []*lane{l}}
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
