package archive_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api/archive"
)

// large writes a file with content, a hole, and content at its end.
func large(t *testing.T, path string) []byte {
	t.Helper()
	content := make([]byte, 3*archive.Large+17)
	random := rand.NewChaCha8([32]byte{})
	_, _ = random.Read(content[:archive.Large])
	_, _ = random.Read(content[2*archive.Large:])
	f, err := os.Create(path)
	must(t, err)
	defer f.Close()
	_, err = f.Write(content[:archive.Large])
	must(t, err)
	_, err = f.WriteAt(content[2*archive.Large:], 2*archive.Large)
	must(t, err)
	return content
}

func blocks(t *testing.T, path string) int64 {
	t.Helper()
	var st unix.Stat_t
	must(t, unix.Stat(path, &st))
	return st.Blocks
}

// TestALargeFileIsCopiedByTheKernel: to each place, with its holes, whatever file system that is on.
func TestALargeFileIsCopiedByTheKernel(t *testing.T) {
	from, to := t.TempDir(), []string{t.TempDir(), t.TempDir()}
	if shm, err := os.MkdirTemp("/dev/shm", "archive"); err == nil {
		defer os.RemoveAll(shm)
		to = append(to, shm)
	}
	content := large(t, filepath.Join(from, "f"))
	must(t, os.Chmod(filepath.Join(from, "f"), 0o640))
	h, f, err := (&archive.Packer{Tree: own(t, from)}).OpenLarge("f", "f", false)
	must(t, err)
	defer f.Close()
	var all []*archive.Unpacker
	for _, dir := range to {
		u := &archive.Unpacker{Tree: own(t, dir), At: "copy", Name: "f"}
		defer u.Close()
		all = append(all, u)
	}
	must(t, os.Mkdir(filepath.Join(to[1], "copy"), 0o755)) // takes no file
	must(t, archive.UnpackFile(t.Context(), h, f, all...))
	for i, dir := range to {
		if i == 1 {
			if err := all[i].Err(); !errors.Is(err, archive.ErrFileOverDir) {
				t.Errorf("over a directory: %v", err)
			}
			continue
		}
		must(t, all[i].Err())
		path := filepath.Join(dir, "copy")
		got, err := os.ReadFile(path)
		must(t, err)
		info, err := os.Stat(path)
		must(t, err)
		if !bytes.Equal(got, content) || info.Mode() != 0o640 || !info.ModTime().Equal(h.ModTime) {
			t.Errorf("in %s is another file: %d bytes, %v", dir, len(got), info.Mode())
		}
		if blocks(t, path) > blocks(t, filepath.Join(from, "f"))+16 {
			t.Errorf("in %s its hole takes room", dir)
		}
	}
	if at, err := f.Seek(0, io.SeekCurrent); err != nil || at != h.Size {
		t.Errorf("it is at %d of %d: %v", at, h.Size, err)
	}
}

// TestWhatIsNotLargeIsNoCaseForTheKernel has it packed as ever.
func TestWhatIsNotLargeIsNoCaseForTheKernel(t *testing.T) {
	dir := t.TempDir()
	large(t, filepath.Join(dir, "f"))
	must(t, os.WriteFile(filepath.Join(dir, "small"), []byte("x"), 0o644))
	must(t, os.Symlink("f", filepath.Join(dir, "link")))
	p := &archive.Packer{Tree: own(t, dir)}
	for _, name := range []string{"small", "link", "."} {
		if _, f, err := p.OpenLarge(name, name, false); f != nil || err != nil {
			t.Errorf("%s: %v, %v", name, f, err)
		}
	}
	if _, f, err := p.OpenLarge("link", "link", true); f == nil || err != nil {
		t.Errorf("what the link leads to: %v, %v", f, err)
	}
}

// TestAFileThatIsFilledByAnotherTakesItsPlaceWhole: nothing is there before.
func TestAFileThatIsFilledByAnotherTakesItsPlaceWhole(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	content := large(t, filepath.Join(from, "f"))
	var notes []string
	p := &archive.Packer{Tree: own(t, from), Note: func(_, why string) { notes = append(notes, why) }}
	h, f, err := p.OpenLarge("f", "f", false)
	must(t, err)
	defer f.Close()
	u := &archive.Unpacker{Tree: own(t, to), At: "copy", Name: "f"}
	defer u.Close()
	empty, err := u.Ahead()
	must(t, err)
	must(t, os.Truncate(filepath.Join(from, "f"), archive.Large+5)) // while it is read
	must(t, p.Fill(t.Context(), "f", empty, f, h.Size))
	if names, err := os.ReadDir(to); err != nil || len(names) > 0 {
		t.Errorf("there is %v before it is whole: %v", names, err)
	}
	u.Filled(h)
	must(t, u.Err())
	got, err := os.ReadFile(filepath.Join(to, "copy"))
	must(t, err)
	clear(content[archive.Large:])
	if !bytes.Equal(got, content) {
		t.Errorf("%d bytes, others than those of the file", len(got))
	}
	if text := strings.Join(notes, "\n"); !strings.Contains(text, "it became shorter") {
		t.Errorf("it is told: %q", text)
	}
}

// TestACopyByTheKernelEnds when its context does, and leaves nothing.
func TestACopyByTheKernelEnds(t *testing.T) {
	from, to := t.TempDir(), t.TempDir()
	large(t, filepath.Join(from, "f"))
	h, f, err := (&archive.Packer{Tree: own(t, from)}).OpenLarge("f", "f", false)
	must(t, err)
	defer f.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errWanted)
	u := &archive.Unpacker{Tree: own(t, to), At: "copy", Name: "f"}
	if err := archive.UnpackFile(ctx, h, f, u); !errors.Is(err, errWanted) {
		t.Errorf("it ends with %v", err)
	}
	u.Close()
	if names, err := os.ReadDir(to); err != nil || len(names) > 0 {
		t.Errorf("there is %v: %v", names, err)
	}
}

var errWanted = errors.New("wanted")

// TestAFileBegunAheadIsTheArchives where its content comes by the archive after all.
func TestAFileBegunAheadIsTheArchives(t *testing.T) {
	to := t.TempDir()
	u := &archive.Unpacker{Tree: own(t, to), At: "copy", Name: "f"}
	defer u.Close()
	_, err := u.Ahead()
	must(t, err)
	must(t, archive.Unpack(t.Context(), tar.NewReader(made(t, entry("f", tar.TypeReg, "", "content"))), u))
	must(t, u.Err())
	if got, err := os.ReadFile(filepath.Join(to, "copy")); err != nil || string(got) != "content" {
		t.Errorf("%q, %v", got, err)
	}
}

// TestAFullDiskIsOfItsPlaceAlone: the others get the file whole, and what was there before stays on the full one.
func TestAFullDiskIsOfItsPlaceAlone(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root to mount a small file system")
	}
	from, full, good := t.TempDir(), t.TempDir(), t.TempDir()
	must(t, unix.Mount("tmpfs", full, "tmpfs", 0, "size=1m"))
	t.Cleanup(func() { must(t, unix.Unmount(full, unix.MNT_DETACH)) })
	must(t, os.WriteFile(filepath.Join(full, "copy"), []byte("before"), 0o600))
	content := large(t, filepath.Join(from, "f"))
	h, f, err := (&archive.Packer{Tree: own(t, from)}).OpenLarge("f", "f", false)
	must(t, err)
	defer f.Close()
	var all []*archive.Unpacker
	for _, dir := range []string{full, good} {
		u := &archive.Unpacker{Tree: own(t, dir), At: "copy", Name: "f", Note: func(at, why string) { t.Errorf("in %s, of %s is told: %s", dir, at, why) }}
		defer u.Close()
		all = append(all, u)
	}
	must(t, archive.UnpackFile(t.Context(), h, f, all...))
	if err := all[0].Err(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("of the full one: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(full, "copy")); err != nil || string(got) != "before" {
		t.Errorf("on the full one is %q, %v", got[:min(len(got), 20)], err)
	}
	must(t, all[1].Err())
	if got, err := os.ReadFile(filepath.Join(good, "copy")); err != nil || !bytes.Equal(got, content) {
		t.Errorf("the other one has %d bytes, and others: %v", len(got), err)
	}
}
