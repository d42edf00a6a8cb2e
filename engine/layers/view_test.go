package layers

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func testStore(t *testing.T) *store {
	t.Helper()
	root := t.TempDir()
	files, err := local.NewStore(root)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStore(files, filepath.Join(root, viewsDir))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// layer makes the directory of a snapshot with files, and gives an archive of it.
func layer(t *testing.T, files map[string]string) (dir string, archive []byte) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "7", "fs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(files[name]), 0o644)); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		h := &tar.Header{
			Typeflag: tar.TypeReg, Name: name, Size: info.Size(), Mode: 0o644, ModTime: info.ModTime().Truncate(time.Second), Format: tar.FormatPAX,
			PAXRecords: map[string]string{"SCHILY.xattr.security.capability": "c"},
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	links := []*tar.Header{
		{Typeflag: tar.TypeSymlink, Name: "symlink", Linkname: "/etc/passwd"}, {Typeflag: tar.TypeDir, Name: "empty/", Mode: 0o755},
		{Typeflag: tar.TypeReg, Name: "gone/.wh.file"}, {Typeflag: tar.TypeLink, Name: "hard", Linkname: "a"},
	}
	for _, h := range links {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, b.Bytes()
}

// keep writes an archive as a view of a directory.
func keep(s *store, dir string, archive []byte) error {
	w, err := s.Writer(MadeOf(context.Background(), dir), content.WithRef("layer"))
	if err != nil {
		return err
	}
	defer w.Close()
	if err := w.Truncate(0); err != nil {
		return err
	}
	for rest := archive; len(rest) > 0; {
		n := min(len(rest), 1+mathrand.IntN(100_000))
		if _, err := w.Write(rest[:n]); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return w.Commit(context.Background(), int64(len(archive)), digest.FromBytes(archive))
}

func descOf(archive []byte) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromBytes(archive), Size: int64(len(archive))}
}

func someFiles() map[string]string {
	files := map[string]string{
		"a": "x", "none": "", "block": strings.Repeat("b", 512), "large": strings.Repeat("0123456789", 200_000),
		"dir/" + strings.Repeat("long/", 60) + "name": "deep", "größe": "umlaut",
	}
	for i := range 500 {
		files[fmt.Sprintf("many/%d", i)] = strings.Repeat("m", i)
	}
	return files
}

// A view reads as the archive that it was made from, all of it and any part, and takes a fraction of it.
func TestViewIsTheArchive(t *testing.T) {
	s := testStore(t)
	dir, archive := layer(t, someFiles())
	if err := keep(s, dir, archive); err != nil {
		t.Fatal(err)
	}
	ra, err := s.ReaderAt(context.Background(), descOf(archive))
	if err != nil {
		t.Fatal(err)
	}
	defer ra.Close()
	if ra.Size() != int64(len(archive)) {
		t.Fatalf("it has %d bytes, not %d", ra.Size(), len(archive))
	}
	all, err := io.ReadAll(content.NewReader(ra))
	if err != nil || !bytes.Equal(all, archive) {
		t.Fatalf("it has other bytes: %v", err)
	}
	for range 2000 {
		off := mathrand.IntN(len(archive))
		b := make([]byte, mathrand.IntN(min(len(archive)-off, 3000))+1)
		if n, err := ra.ReadAt(b, int64(off)); n != len(b) || err != nil || !bytes.Equal(b, archive[off:off+len(b)]) {
			t.Fatalf("%d bytes at %d are not what they were: %d, %v", len(b), off, n, err)
		}
	}
	if n, err := ra.ReadAt(make([]byte, 100), int64(len(archive)-10)); n != 10 || err != io.EOF {
		t.Errorf("at the end are %d bytes, and %v", n, err)
	}
	info, err := os.Stat(s.viewsOf(digest.FromBytes(archive))[0])
	if err != nil || info.Size() > int64(len(archive))/50 {
		t.Errorf("a view of %d bytes takes %d: %v", len(archive), info.Size(), err)
	}
}

// A file that is not what it was is never read as if it were.
func TestViewOfChangedFilesIsAnError(t *testing.T) {
	for what, change := range map[string]func(path string) error{
		"gone":    os.Remove,
		"shorter": func(path string) error { return os.Truncate(path, 10) },
		"newer":   func(path string) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) },
		"a link": func(path string) error {
			return errors.Join(os.Remove(path), os.Symlink("many/1", path))
		},
	} {
		t.Run(what, func(t *testing.T) {
			s := testStore(t)
			dir, archive := layer(t, someFiles())
			if err := keep(s, dir, archive); err != nil {
				t.Fatal(err)
			}
			if err := change(filepath.Join(dir, "large")); err != nil {
				t.Fatal(err)
			}
			ra, err := s.ReaderAt(context.Background(), descOf(archive))
			if err != nil {
				t.Fatal(err)
			}
			defer ra.Close()
			if _, err := io.ReadAll(content.NewReader(ra)); err == nil || !strings.Contains(err.Error(), "build the image again") {
				t.Errorf("it is read with %v", err)
			}
		})
	}
}

// Of several directories that a layer can be read out of, one is enough; without any it says what to do.
func TestViewsOfSeveralDirectories(t *testing.T) {
	s := testStore(t)
	dir, archive := layer(t, map[string]string{"a": "one"})
	second := filepath.Join(t.TempDir(), "8", "fs")
	info, err := os.Stat(filepath.Join(dir, "a"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(second, 0o755), os.WriteFile(filepath.Join(second, "a"), []byte("one"), 0o644),
		os.Chtimes(filepath.Join(second, "a"), time.Time{}, info.ModTime())); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(keep(s, dir, archive), keep(s, second, archive), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	text, err := content.ReadBlob(context.Background(), s, descOf(archive))
	if err != nil || !bytes.Equal(text, archive) {
		t.Errorf("it can't be read out of the other: %v", err)
	}
	if err := os.RemoveAll(second); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReaderAt(context.Background(), descOf(archive)); err == nil || !strings.Contains(err.Error(), "build the image again") {
		t.Errorf("without directories there is %v", err)
	}
}

// What can't be read out of the directory later is not kept as a view, and leaves nothing.
func TestNoViewOf(t *testing.T) {
	dir, archive := layer(t, map[string]string{"a": "one"})
	other, _ := layer(t, map[string]string{"b": "one"})
	empty := filepath.Join(t.TempDir(), "9", "fs")
	for what, kept := range map[string]struct {
		dir     string
		archive []byte
	}{
		"other files": {other, archive}, "no directory": {empty, archive}, "half an archive": {dir, archive[:3*512+1]}, "no archive": {dir, make([]byte, 700)},
	} {
		t.Run(what, func(t *testing.T) {
			s := testStore(t)
			if what == "no archive" {
				_, _ = rand.Read(kept.archive)
			}
			if err := keep(s, kept.dir, kept.archive); err == nil {
				t.Error("it was kept")
			}
			if left, _ := os.ReadDir(s.views); len(left) > 0 {
				t.Errorf("there is %s", left[0].Name())
			}
			if len(s.open) > 0 {
				t.Error("its reference is taken for good")
			}
		})
	}
	s := testStore(t)
	w, err := s.Writer(MadeOf(context.Background(), dir), content.WithRef("layer"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Writer(MadeOf(context.Background(), dir), content.WithRef("layer")); !errdefs.IsUnavailable(err) {
		t.Errorf("it is written twice at once: %v", err)
	}
	if _, err := w.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(context.Background(), 0, digest.FromString("another")); !errdefs.IsFailedPrecondition(err) {
		t.Errorf("with another digest there is %v", err)
	}
}

// Views are blobs to who collects them: walked, deleted, and what an engine left that was killed is gone.
func TestViewsAreCollected(t *testing.T) {
	ctx := context.Background()
	s := testStore(t)
	dir, archive := layer(t, map[string]string{"a": "one"})
	if err := keep(s, dir, archive); err != nil {
		t.Fatal(err)
	}
	plain := []byte("no view")
	if err := content.WriteBlob(ctx, s, "plain", bytes.NewReader(plain), descOf(plain)); err != nil {
		t.Fatal(err)
	}
	var seen []digest.Digest
	if err := s.Walk(ctx, func(info content.Info) error { seen = append(seen, info.Digest); return nil }); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(seen, descOf(archive).Digest) || !slices.Contains(seen, descOf(plain).Digest) || len(seen) != 2 {
		t.Errorf("there are %v", seen)
	}
	if err := s.Delete(ctx, descOf(archive).Digest); err != nil {
		t.Fatal(err)
	}
	if _, err := s.ReaderAt(ctx, descOf(archive)); !errdefs.IsNotFound(err) {
		t.Errorf("a deleted one is read with %v", err)
	}
	left := filepath.Join(s.views, newView+"1")
	if err := os.WriteFile(left, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newStore(s.Store, s.views); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was never finished stays: %v", err)
	}
}

// Views become files before the directories that they are of are removed.
func TestViewsAreWrittenOut(t *testing.T) {
	ctx := context.Background()
	s := testStore(t)
	dir, archive := layer(t, someFiles())
	lost, other := layer(t, map[string]string{"lost": "x"})
	if err := errors.Join(keep(s, dir, archive), keep(s, lost, other), os.RemoveAll(lost)); err != nil {
		t.Fatal(err)
	}
	if err := WriteOut(ctx, filepath.Dir(s.views)); err == nil || !strings.Contains(err.Error(), descOf(other).Digest.String()) {
		t.Errorf("of a layer that can't be read it says %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	text, err := content.ReadBlob(ctx, s, descOf(archive))
	if err != nil || !bytes.Equal(text, archive) {
		t.Errorf("it can't be read: %v", err)
	}
	if err := WriteOut(ctx, t.TempDir()); err != nil {
		t.Errorf("where there are none there is %v", err)
	}
}

// Whatever is in the file of a view, reading it ends, and without a panic.
func FuzzView(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "7", "fs")
	if err := errors.Join(os.MkdirAll(dir, 0o755), os.WriteFile(filepath.Join(dir, "a"), []byte("abc"), 0o644)); err != nil {
		f.Fatal(err)
	}
	var parts bytes.Buffer
	put(&parts, 512)
	putString(&parts, "a")
	put(&parts, 3)
	put(&parts, 0)
	f.Add(encode(dir, 1024, []int64{100}, 1, parts.Bytes()), int64(len(viewMagic)+100))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, text []byte, end int64) {
		var tab table
		if tab.decode(text, end) != nil {
			return
		}
		r := &reader{table: tab}
		if tab.size < tab.rest || len(tab.frames) == 0 {
			t.Errorf("a table of %d bytes, %d of the rest, %d frames", tab.size, tab.rest, len(tab.frames))
		}
		for _, p := range r.parts {
			if p.at < 0 || p.rest > tab.rest || p.at+p.size > tab.size {
				t.Errorf("a part at %d of %d", p.at, tab.size)
			}
		}
	})
}
