package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api/archive"
)

// TestPlace holds the rules of docker cp for what is there and what is not.
func TestPlace(t *testing.T) {
	file, dir, contents := archive.SourceOf("/src/f", false), archive.SourceOf("/src/d", true), archive.SourceOf("/src/d/.", true)
	there := archive.Target{Path: "/t", Exists: true, IsDir: true}
	taken := archive.Target{Path: "/t", Exists: true}
	absent := archive.Target{Path: "/t"}
	slashed := func(t archive.Target) archive.Target { t.WantsDir = true; return t }
	for _, c := range []struct {
		name string
		s    archive.Source
		t    archive.Target
		want string
		err  error
	}{
		{"a file to a new path", file, absent, "/t", nil},
		{"a file to a new path that ends with a slash", file, slashed(absent), "", archive.ErrNoDirectory},
		{"a file over a file", file, taken, "/t", nil},
		{"a file over a file that is said to be a directory", file, slashed(taken), "", archive.ErrNotDirectory},
		{"a file into a directory", file, there, "/t/f", nil},
		{"a directory to a new path", dir, absent, "/t", nil},
		{"a directory to a new path that ends with a slash", dir, slashed(absent), "/t", nil},
		{"a directory over a file", dir, taken, "", archive.ErrDirOverFile},
		{"a directory into another", dir, there, "/t/d", nil},
		{"what is in a directory, to a new path", contents, absent, "/t", nil},
		{"what is in a directory, into another", contents, there, "/t", nil},
		{"what is in a directory, over a file", contents, taken, "", archive.ErrDirOverFile},
		{"all of a container", archive.SourceOf("/", true), there, "/t", nil},
	} {
		if got, err := archive.Place(c.s, c.t); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %q, %v", c.name, got, err)
		}
	}
	for at, want := range map[string]bool{"a": false, "a/": true, "a/.": true, ".": true, "..": true, "a/..": true, "/": true, "a.": false} {
		if archive.WantsDir(at) != want {
			t.Errorf("%q is taken for a directory: %t", at, !want)
		}
	}
}

// pack gives the archive of a path of a directory.
func pack(t *testing.T, tree *archive.Tree, at, name string) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	p := &archive.Packer{Tree: tree, Out: w}
	must(t, p.Pack(t.Context(), at, name, false))
	must(t, w.Close())
	return &out
}

// unpack puts an archive to a path of a directory that no link leads out of.
func unpack(t *testing.T, dir string, in io.Reader, change func(*archive.Unpacker)) error {
	t.Helper()
	tree, err := archive.Beneath(dir)
	must(t, err)
	defer tree.Close()
	u := &archive.Unpacker{Tree: tree, At: ".", Name: "."}
	if change != nil {
		change(u)
	}
	defer u.Close()
	return errors.Join(archive.Unpack(t.Context(), tar.NewReader(in), u), u.Err())
}

func own(t *testing.T, dir string) *archive.Tree {
	t.Helper()
	tree, err := archive.Own(dir)
	must(t, err)
	t.Cleanup(tree.Close)
	return tree
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestACopyIsWhatItIsOf: kinds, modes, times, links, attributes and holes.
func TestACopyIsWhatItIsOf(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	when := time.Unix(1_700_000_000, 123_456_789)
	must(t, os.MkdirAll(from+"/d/deep", 0o755))
	must(t, os.WriteFile(from+"/d/f", []byte("text"), 0o640))
	must(t, os.Link(from+"/d/f", from+"/d/second"))
	must(t, os.Symlink("../f", from+"/d/deep/l"))
	must(t, unix.Mkfifo(from+"/d/pipe", 0o600))
	big, err := os.Create(from + "/d/holes")
	must(t, err)
	must(t, big.Truncate(8<<20))
	_, err = big.WriteAt([]byte("in between"), 3<<20+7)
	must(t, err)
	must(t, big.Close())
	hasAttributes := unix.Setxattr(from+"/d/f", "user.orlop", []byte("a\x00b"), 0) == nil
	must(t, os.Chtimes(from+"/d/f", when, when))
	must(t, os.Chmod(from+"/d/deep", 0o500))
	must(t, os.Chtimes(from+"/d/deep", when, when))
	defer os.Chmod(from+"/d/deep", 0o700)
	must(t, unpack(t, to, pack(t, own(t, from), "d", "d"), nil))
	defer os.Chmod(to+"/d/deep", 0o700)

	for _, name := range []string{"f", "second", "holes"} {
		want, err := os.ReadFile(from + "/d/" + name)
		must(t, err)
		got, err := os.ReadFile(to + "/d/" + name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is another: %v", name, err)
		}
	}
	for _, name := range []string{"f", "deep", "pipe", "deep/l"} {
		want, err := os.Lstat(from + "/d/" + name)
		must(t, err)
		got, err := os.Lstat(to + "/d/" + name)
		must(t, err)
		if got.Mode() != want.Mode() || !got.ModTime().Equal(want.ModTime()) {
			t.Errorf("%s is %s of %s, was %s of %s", name, got.Mode(), got.ModTime(), want.Mode(), want.ModTime())
		}
	}
	first, err := os.Stat(to + "/d/f")
	must(t, err)
	second, err := os.Stat(to + "/d/second")
	must(t, err)
	if !os.SameFile(first, second) {
		t.Error("a file of two names has become two files")
	}
	var st unix.Stat_t
	must(t, unix.Stat(to+"/d/holes", &st))
	if st.Blocks*512 > 1<<20 {
		t.Errorf("a file of holes takes %d bytes", st.Blocks*512)
	}
	if hasAttributes {
		value := make([]byte, 10)
		n, err := unix.Getxattr(to+"/d/f", "user.orlop", value)
		if err != nil || string(value[:max(n, 0)]) != "a\x00b" {
			t.Errorf("an attribute is %q, %v", value[:max(n, 0)], err)
		}
	}
	entries, err := os.ReadDir(to + "/d")
	must(t, err)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".orlop-") {
			t.Errorf("%s is left", e.Name())
		}
	}
}

// TestWhatIsInADirectoryKeepsItsPlace: the first name of a path is its own there.
func TestWhatIsInADirectoryKeepsItsPlace(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.MkdirAll(from+"/up/sub", 0o755))
	must(t, os.WriteFile(from+"/up/sub/f", []byte("text"), 0o644))
	must(t, unpack(t, to, pack(t, own(t, from), ".", "."), nil))
	if _, err := os.Stat(to + "/up/sub/f"); err != nil {
		t.Error(err)
	}
}

// entry is one of an archive that somebody else has made.
func entry(name string, kind byte, link, content string) tar.Header {
	return tar.Header{Name: name, Typeflag: kind, Linkname: link, Size: int64(len(content)), Mode: 0o755, Format: tar.FormatPAX, PAXRecords: map[string]string{"comment": content}}
}

func made(t *testing.T, entries ...tar.Header) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, h := range entries {
		content := h.PAXRecords["comment"]
		h.PAXRecords = nil
		must(t, w.WriteHeader(&h))
		_, err := io.WriteString(w, content)
		must(t, err)
	}
	must(t, w.Close())
	return &out
}

// TestNoArchiveWritesOutside: not by "..", not by absolute names, and by no link, be it of
// the archive or of what was there.
func TestNoArchiveWritesOutside(t *testing.T) {
	for name, entries := range map[string][]tar.Header{
		"up":                    {entry("../evil", tar.TypeReg, "", "x")},
		"up within":             {entry("a/../../evil", tar.TypeReg, "", "x")},
		"through a link":        {entry("l", tar.TypeSymlink, "..", ""), entry("l/evil", tar.TypeReg, "", "x")},
		"through an absolute":   {entry("l", tar.TypeSymlink, "OUTSIDE", ""), entry("l/evil", tar.TypeReg, "", "x")},
		"through two links":     {entry("a", tar.TypeSymlink, "b", ""), entry("b", tar.TypeSymlink, "..", ""), entry("a/evil", tar.TypeReg, "", "x")},
		"a directory on a link": {entry("l", tar.TypeSymlink, "..", ""), entry("l", tar.TypeDir, "", ""), entry("l/evil", tar.TypeReg, "", "x")},
		"a hard link":           {entry("h", tar.TypeLink, "../secret", "")},
		"a hard link by a link": {entry("l", tar.TypeSymlink, "..", ""), entry("h", tar.TypeLink, "l/secret", "")},
		"through what is there": {entry("there/evil", tar.TypeReg, "", "x")},
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			outside := t.TempDir()
			must(t, os.WriteFile(outside+"/secret", []byte("secret"), 0o600))
			dir := outside + "/to"
			must(t, os.Mkdir(dir, 0o755))
			must(t, os.Symlink("..", dir+"/there"))
			for i := range entries {
				entries[i].Linkname = strings.Replace(entries[i].Linkname, "OUTSIDE", outside, 1)
			}
			if err := unpack(t, dir, made(t, entries...), nil); err == nil {
				t.Error("nobody refuses it")
			}
			names, err := os.ReadDir(outside)
			must(t, err)
			if len(names) != 2 {
				t.Errorf("there is more outside: %v", names)
			}
			if info, err := os.Lstat(dir + "/h"); err == nil {
				t.Errorf("%s was linked", info.Name())
			}
		})
	}
	// An absolute name is one below the directory.
	dir := t.TempDir()
	must(t, unpack(t, dir, made(t, entry("/abs/f", tar.TypeReg, "", "x")), nil))
	if _, err := os.Stat(dir + "/abs/f"); err != nil {
		t.Error(err)
	}
}

// TestALinkOfAContainerLeadsInsideOfIt: an absolute one begins at its root directory.
func TestALinkOfAContainerLeadsInsideOfIt(t *testing.T) {
	outside := t.TempDir()
	must(t, os.MkdirAll(outside+"/root/real", 0o755))
	must(t, os.Symlink("/real", outside+"/root/l"))
	must(t, os.Symlink("../../..", outside+"/root/up"))
	fd, err := unix.Open(outside+"/root", unix.O_PATH, 0)
	must(t, err)
	tree := archive.Root(fd)
	defer tree.Close()
	if os.Geteuid() != 0 {
		tree.UID, tree.GID = os.Getuid(), os.Getgid()
	}
	u := &archive.Unpacker{Tree: tree, At: "/", Name: "."}
	defer u.Close()
	in := made(t, entry("l/f", tar.TypeReg, "", "x"), entry("up/g", tar.TypeReg, "", "x"))
	must(t, errors.Join(archive.Unpack(t.Context(), tar.NewReader(in), u), u.Err()))
	for _, at := range []string{"/real/f", "/g"} {
		if _, err := os.Stat(outside + "/root" + at); err != nil {
			t.Error(err)
		}
	}
	at, info, err := tree.Follow("/l")
	if at != "/real" || err != nil || !info.Mode.IsDir() {
		t.Errorf("the link leads to %s, %v", at, err)
	}
}

// TestNothingTakesThePlaceOfAnotherKind, and what is left of a file that did not come whole is nothing.
func TestNothingTakesThePlaceOfAnotherKind(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/d", 0o755))
	must(t, os.WriteFile(dir+"/f", []byte("old"), 0o644))
	if err := unpack(t, dir, made(t, entry("d", tar.TypeReg, "", "x")), nil); !errors.Is(err, archive.ErrFileOverDir) {
		t.Error(err)
	}
	if err := unpack(t, dir, made(t, entry("f", tar.TypeDir, "", "")), nil); !errors.Is(err, archive.ErrDirOverFile) {
		t.Error(err)
	}
	cut := made(t, entry("f", tar.TypeReg, "", strings.Repeat("new", 1000)))
	cut.Truncate(1500)
	if err := unpack(t, dir, cut, nil); err == nil {
		t.Error("an archive that is cut is whole")
	}
	text, err := os.ReadFile(dir + "/f")
	must(t, err)
	names, err := filepath.Glob(dir + "/.*")
	if string(text) != "old" || err != nil || len(names) > 0 {
		t.Errorf("the file is %q, and there are %v", text, names)
	}
	if err := unpack(t, dir, strings.NewReader(strings.Repeat("no archive ", 100)), nil); err == nil || !strings.Contains(err.Error(), "no tar archive") {
		t.Error(err)
	}
}

// TestWhoRunsAProgramOfAContainerStaysWhoHeIs: set-user-ID is kept with the owner alone.
func TestWhoRunsAProgramOfAContainerStaysWhoHeIs(t *testing.T) {
	dir := t.TempDir()
	h := entry("su", tar.TypeReg, "", "x")
	h.Mode, h.Uid, h.Gid = 0o4755, os.Getuid(), os.Getgid()
	must(t, unpack(t, dir, made(t, h), nil))
	mode := func() fs.FileMode {
		info, err := os.Stat(dir + "/su")
		must(t, err)
		return info.Mode()
	}
	if m := mode(); m&fs.ModeSetuid != 0 {
		t.Errorf("its mode is %s", m)
	}
	must(t, unpack(t, dir, made(t, h), func(u *archive.Unpacker) { u.Owners = true }))
	if m := mode(); m&fs.ModeSetuid == 0 {
		t.Errorf("with its owner its mode is %s", m)
	}
}

// TestADirectoryThatIsThereStaysAsItIs, and one that is made is as it was.
func TestADirectoryThatIsThereStaysAsItIs(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(dir+"/d", 0o711))
	h := entry("d", tar.TypeDir, "", "")
	h.Mode = 0o770
	must(t, unpack(t, dir, made(t, h), nil))
	if info, err := os.Stat(dir + "/d"); err != nil || info.Mode().Perm() != 0o711 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	to := t.TempDir()
	h.Name = "src"
	must(t, unpack(t, to, made(t, h), func(u *archive.Unpacker) { u.Name, u.Made = "src", true }))
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o770 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestOneThatTakesNoMoreKeepsNoOther: what can't be written to one place still is to others.
func TestOneThatTakesNoMoreKeepsNoOther(t *testing.T) {
	var to []*archive.Unpacker
	dirs := []string{t.TempDir(), t.TempDir()}
	for _, dir := range dirs {
		tree, err := archive.Beneath(dir)
		must(t, err)
		defer tree.Close()
		u := &archive.Unpacker{Tree: tree, At: ".", Name: "."}
		defer u.Close()
		to = append(to, u)
	}
	must(t, os.Mkdir(dirs[0]+"/f", 0o755))
	must(t, archive.Unpack(t.Context(), tar.NewReader(made(t, entry("f", tar.TypeReg, "", "text"))), to...))
	text, err := os.ReadFile(dirs[1] + "/f")
	if to[0].Err() == nil || to[1].Err() != nil || err != nil || string(text) != "text" {
		t.Errorf("%v, %v, %q, %v", to[0].Err(), to[1].Err(), text, err)
	}
}

func TestWhatCantBeCopiedIsToldOf(t *testing.T) {
	dir := t.TempDir()
	l, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(t, err)
	defer unix.Close(l)
	must(t, unix.Bind(l, &unix.SockaddrUnix{Name: dir + "/sock"}))
	var told []string
	p := &archive.Packer{Tree: own(t, dir), Out: tar.NewWriter(io.Discard), Note: func(at, why string) { told = append(told, at+": "+why) }}
	must(t, p.Pack(t.Context(), ".", ".", false))
	if !slices.Equal(told, []string{"/sock: a socket, left out"}) {
		t.Errorf("told of %q", told)
	}
	if err := p.Pack(t.Context(), "sock", "sock", false); err == nil || !strings.Contains(err.Error(), "it is a socket") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.Pack(ctx, ".", ".", false); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestPiecesAreWhatWasWritten(t *testing.T) {
	var sent [][]byte
	w := &archive.Pieces{Send: func(p []byte) error { sent = append(sent, bytes.Clone(p)); return nil }}
	all := bytes.Repeat([]byte("0123456789abcdef"), 3*archive.MessageSize/16)
	for rest := all; len(rest) > 0; {
		n := min(len(rest), 1+len(rest)/3)
		_, err := w.Write(rest[:n])
		must(t, err)
		rest = rest[n:]
	}
	must(t, w.Flush())
	if !bytes.Equal(bytes.Join(sent, nil), all) || len(sent) > 5 {
		t.Errorf("%d pieces", len(sent))
	}
}

// TestACopyThatEndsEarlyLeavesDirectoriesAsTheyAre: in its middle, and at what can't be written.
func TestACopyThatEndsEarlyLeavesDirectoriesAsTheyAre(t *testing.T) {
	d := entry("d", tar.TypeDir, "", "")
	d.ModTime = time.Unix(1_700_000_000, 0)
	cut := made(t, d, entry("d/f", tar.TypeReg, "", strings.Repeat("new", 1000)))
	cut.Truncate(2000)
	for name, in := range map[string]io.Reader{"cut": cut, "refused": made(t, d, entry("../evil", tar.TypeReg, "", "x"))} {
		dir := t.TempDir()
		if err := unpack(t, dir, in, nil); err == nil {
			t.Errorf("%s: it is whole", name)
		}
		info, err := os.Stat(dir + "/d")
		if err != nil || info.Mode().Perm() != 0o755 || !info.ModTime().Equal(d.ModTime) {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

// TestAnEngineThatIsKilledLeavesNoHalfOfACopy: neither a file nor a directory that is closed.
func TestAnEngineThatIsKilledLeavesNoHalfOfACopy(t *testing.T) {
	dir := t.TempDir()
	tree, err := archive.Beneath(dir)
	must(t, err)
	defer tree.Close()
	u := &archive.Unpacker{Tree: tree, At: ".", Name: "."}
	defer u.Close()
	in := made(t, entry("d", tar.TypeDir, "", ""), entry("d/f", tar.TypeReg, "", strings.Repeat("new", 1000)), entry("d/g", tar.TypeReg, "", "x")).Bytes()
	looked := false
	from := &watched{in: bytes.NewReader(in), at: 2048, look: func() { // all of d, and the begin of d/f
		looked = true
		info, err := os.Stat(dir + "/d")
		if err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("%v, %v", info, err)
		}
		names, err := os.ReadDir(dir + "/d")
		if fd, no := unix.Open(dir, unix.O_TMPFILE|unix.O_WRONLY, 0o600); no == nil {
			unix.Close(fd)
			if err != nil || len(names) > 0 {
				t.Errorf("there are %v, %v", names, err)
			}
		}
	}}
	must(t, errors.Join(archive.Unpack(t.Context(), tar.NewReader(from), u), u.Err()))
	if !looked {
		t.Error("nobody has looked")
	}
}

// watched is a reader with a place at which somebody looks.
type watched struct {
	in   *bytes.Reader
	at   int64
	look func()
}

func (w *watched) Read(p []byte) (int, error) {
	read := w.in.Size() - int64(w.in.Len())
	if read < w.at {
		return w.in.Read(p[:min(int64(len(p)), w.at-read)])
	}
	if w.look != nil {
		w.look()
		w.look = nil
	}
	return w.in.Read(p)
}

// TestAttributesOfADirectoryAreKept, and one that no archive can have ends no copy.
func TestAttributesOfADirectoryAreKept(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.Mkdir(from+"/d", 0o700))
	must(t, os.WriteFile(from+"/d/f", []byte("text"), 0o400))
	for _, at := range []string{"/d", "/d/f"} {
		for _, name := range []string{"user.orlop", "user.a=b"} {
			if unix.Setxattr(from+at, name, []byte("x"), 0) != nil && name == "user.orlop" {
				t.Skip("SKIPPED: the file system has no attributes")
			}
		}
	}
	must(t, os.Chmod(from+"/d", 0o500))
	t.Cleanup(func() { os.Chmod(from+"/d", 0o700); os.Chmod(to+"/d", 0o700) })
	var out bytes.Buffer
	var told []string
	w := tar.NewWriter(&out)
	p := &archive.Packer{Tree: own(t, from), Out: w, Note: func(at, why string) { told = append(told, at+": "+why) }}
	must(t, p.Pack(t.Context(), "d", "d", false))
	must(t, w.Close())
	if len(told) != 2 || !strings.HasPrefix(told[0], `/d: its extended attribute "user.a=b", left out`) {
		t.Errorf("told of %q", told)
	}
	must(t, unpack(t, to, &out, nil))
	for _, at := range []string{"/d", "/d/f"} {
		value := make([]byte, 10)
		if n, err := unix.Getxattr(to+at, "user.orlop", value); err != nil || string(value[:max(n, 0)]) != "x" {
			t.Errorf("%s: %q, %v", at, value[:max(n, 0)], err)
		}
	}
}

// TestALinkBehindALinkedDirectoryLeadsWhereTheKernelSays: ".." is of where it is, not of its text.
func TestALinkBehindALinkedDirectoryLeadsWhereTheKernelSays(t *testing.T) {
	root := t.TempDir()
	must(t, os.MkdirAll(root+"/opt/app/releases/5", 0o755))
	must(t, os.MkdirAll(root+"/opt/app/shared/log", 0o755))
	must(t, os.MkdirAll(root+"/opt/shared/log", 0o755)) // where the text leads
	must(t, os.Symlink("releases/5", root+"/opt/app/current"))
	must(t, os.Symlink("../../shared/log", root+"/opt/app/releases/5/log"))
	must(t, os.Symlink("../../shared/new", root+"/opt/app/releases/5/new"))
	must(t, os.Symlink("../../../../../../../up", root+"/opt/out"))
	must(t, os.Symlink("loop", root+"/loop"))
	fd, err := unix.Open(root, unix.O_PATH, 0)
	must(t, err)
	tree := archive.Root(fd)
	defer tree.Close()
	for at, want := range map[string]string{
		"/opt/app/current/log": "/opt/app/shared/log", "/opt/app/current/new": "/opt/app/shared/new", "/opt/app/current/x/y": "/opt/app/releases/5/x/y",
		"/opt/out": "/up", "/opt/out/../../x": "/x", "/": "/", "/loop": "", "/opt/app/current/..": "/opt/app/releases",
	} {
		if got, err := tree.Plain(at); got != want || (err != nil) != (want == "") {
			t.Errorf("%s is %s, %v", at, got, err)
		}
	}
}

// TestADirectoryThatIsMadeForItIsAsItWas, with its attributes and, of a tree where users mean
// the same, the access control lists.
func TestADirectoryThatIsMadeForItIsAsItWas(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	must(t, os.Mkdir(filepath.Join(from, "sub"), 0o750))
	must(t, os.WriteFile(filepath.Join(from, "sub", "file"), []byte("x"), 0o600))
	must(t, os.Chmod(from, 0o710))
	for _, at := range []string{".", "sub", "sub/file"} {
		if err := unix.Setxattr(filepath.Join(from, at), "user.note", []byte(at), 0); errors.Is(err, unix.ENOTSUP) {
			t.Skip("SKIPPED: the file system of the test has no attributes")
		} else {
			must(t, err)
		}
	}
	// Version 2: the owner rwx, user 1234 rwx, the group r-x, the mask rwx, others none.
	acl := "\x02\x00\x00\x00" + "\x01\x00\x07\x00\xff\xff\xff\xff" + "\x02\x00\x07\x00\xd2\x04\x00\x00" +
		"\x04\x00\x05\x00\xff\xff\xff\xff" + "\x10\x00\x07\x00\xff\xff\xff\xff" + "\x20\x00\x00\x00\xff\xff\xff\xff"
	const access = "system.posix_acl_access"
	hasACL := unix.Setxattr(filepath.Join(from, "sub"), access, []byte(acl), 0) == nil
	tree, err := archive.Beneath(from)
	must(t, err)
	defer tree.Close()
	get := func(at, name string) string {
		value := make([]byte, 200)
		n, err := unix.Getxattr(filepath.Join(to, at), name, value)
		if err != nil {
			return err.Error()
		}
		return string(value[:n])
	}
	for _, has := range []bool{false, true} {
		tree.ACLs = has
		must(t, unpack(t, to, pack(t, tree, ".", "."), func(u *archive.Unpacker) { u.Made, u.Tree.ACLs, u.Owners = true, has, os.Getuid() == 0 }))
		if got := get("sub", access) == acl; hasACL && got != has {
			t.Errorf("it has the access control list: %t, want %t", got, has)
		}
	}
	for _, at := range []string{".", "sub", "sub/file"} {
		if got := get(at, "user.note"); got != at {
			t.Errorf("%s: %q", at, got)
		}
	}
	info, err := os.Stat(to)
	must(t, err)
	if info.Mode().Perm() != 0o710 {
		t.Errorf("mode %v", info.Mode())
	}
}
