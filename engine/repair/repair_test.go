package repair

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/metadata"
	bolterrors "go.etcd.io/bbolt/errors"
	"golang.org/x/sys/unix"
)

// damages are ways in which a file may be found: cut off, overwritten, torn.
func damages(whole []byte) map[string][]byte {
	all := map[string][]byte{"empty": {}, "no database": []byte(strings.Repeat("no database at all\n", 5000))}
	for i := range 40 {
		at := len(whole) * i / 40 &^ 511
		all[fmt.Sprintf("cut at %d", at)] = whole[:at]
	}
	for at := 0; at < len(whole); at += 4096 {
		text := bytes.Clone(whole)
		clear(text[at:min(at+4096, len(text))])
		all[fmt.Sprintf("page at %d of zeros", at)] = text
	}
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		text := bytes.Clone(whole)
		for range 1 + random.IntN(8) {
			text[random.IntN(len(text))] ^= byte(1 + random.IntN(255))
		}
		all[fmt.Sprintf("bytes flipped, %d", i)] = text
	}
	return all
}

// TestDamagedDatabasesAreRepaired: whatever is done to one of containerd's
// databases, containerd opens what is left, and a user is told if something was
// lost. It runs in this process: a panic of bbolt's would end it.
//
// Fault 15: a database of containerd is cut off, torn, or has bytes flipped
// Seen: one line that says what is lost, and where the damaged file is
// Kept: the engine starts; what the other database holds
func TestDamagedDatabasesAreRepaired(t *testing.T) {
	dir, stores := filled(t, 12)
	for name, path := range map[string]string{"metadata": stores.Metadata, "snapshotter": filepath.Join(stores.Snapshotter, snapshotterDB)} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for how, text := range damages(whole) {
			copied := copyTree(t, dir)
			if err := os.WriteFile(filepath.Join(copied, rel), text, 0o600); err != nil {
				t.Fatal(err)
			}
			if told := repaired(t, copied, name+", "+how); told != "" {
				seen++
			} else if len(text) < len(whole)/2 {
				t.Errorf("%s, %s: nobody is told", name, how)
			}
			os.RemoveAll(copied)
		}
		if seen < 35 {
			t.Errorf("%s: only %d damages were seen: the test can't fail", name, seen)
		}
	}
}

// repaired repairs and uses the stores in a directory, and gives what was told.
func repaired(t *testing.T, dir, what string) string {
	t.Helper()
	s := places(dir)
	found, err := s.Inspect()
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return ""
	}
	told, _, err := s.Repair(found)
	if err != nil {
		t.Errorf("%s: %v", what, err)
		return ""
	}
	if told != "" && !strings.Contains(told, "damaged") {
		t.Errorf("%s: a user is told %q", what, told)
	}
	err = guarded(func() error {
		sh, err := openShelf(s)
		if err != nil {
			return err
		}
		defer sh.close()
		return sh.use()
	})
	if err != nil {
		t.Errorf("%s: containerd can't use what is left: %v", what, err)
	}
	return told
}

func TestWholeDatabasesAreLeftAlone(t *testing.T) {
	dir, s := filled(t, 12)
	before, err := os.ReadFile(s.Metadata)
	if err != nil {
		t.Fatal(err)
	}
	found, err := s.Inspect()
	if err != nil || found.Metadata != nil || found.Snapshotter != nil || len(found.Known) != 12 {
		t.Fatalf("%+v, %v", found, err)
	}
	if told := repaired(t, copyTree(t, dir), "whole"); told != "" {
		t.Errorf("a user is told %q", told)
	}
	if after, err := os.ReadFile(s.Metadata); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the metadata was changed by being looked at: %v", err)
	}
	fresh := places(t.TempDir())
	if found, err := fresh.Inspect(); err != nil || found.Metadata != nil || found.Snapshotter != nil {
		t.Errorf("where nothing was: %+v, %v", found, err)
	}
}

// TestALostDatabaseIsDamage: what only it could name would stay for ever.
func TestALostDatabaseIsDamage(t *testing.T) {
	dir, s := filled(t, 3)
	for _, path := range []string{s.Metadata, filepath.Join(s.Snapshotter, snapshotterDB)} {
		copied := copyTree(t, dir)
		rel, _ := filepath.Rel(dir, path)
		if err := os.Remove(filepath.Join(copied, rel)); err != nil {
			t.Fatal(err)
		}
		if told := repaired(t, copied, rel+" is gone"); !strings.Contains(told, "it is gone") {
			t.Errorf("a user is told %q", told)
		}
	}
}

// TestImagesOutliveTheSnapshotsDatabase: they are unpacked again.
func TestImagesOutliveTheSnapshotsDatabase(t *testing.T) {
	_, s := filled(t, 3)
	if err := os.Truncate(filepath.Join(s.Snapshotter, snapshotterDB), 5000); err != nil {
		t.Fatal(err)
	}
	found, err := s.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	if _, cacheLost, err := s.Repair(found); err != nil || !cacheLost {
		t.Fatal(cacheLost, err)
	}
	sh, err := openShelf(s)
	if err != nil {
		t.Fatal(err)
	}
	defer sh.close()
	images, err := metadata.NewImageStore(sh.meta).List(sh.ctx)
	if err != nil || len(images) != 3 {
		t.Errorf("%d images, %v", len(images), err)
	}
	if _, err := sh.meta.Snapshotter("overlayfs").Prepare(sh.ctx, "layer-0", ""); err != nil {
		t.Errorf("what was unpacked can't be unpacked again: %v", err)
	}
}

// TestAHalfMadeSnapshotIsNoObstacle: an engine was killed after it had renamed
// the snapshot's directory and before it had written the record.
//
// Fault 2: the engine is killed between the two halves of a snapshot
// Seen: nothing: the next container is made
// Kept: all other snapshots; the directory of the half goes
func TestAHalfMadeSnapshotIsNoObstacle(t *testing.T) {
	_, s := filled(t, 3)
	for next := 1; next < 20; next++ {
		if err := os.MkdirAll(filepath.Join(s.Snapshotter, "snapshots", fmt.Sprint(next), "fs"), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
			t.Fatal(err)
		}
	}
	sh, err := openShelf(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := sh.use(); err == nil {
		t.Fatal("what was half made is no obstacle: the test can't fail")
	}
	sh.close()
	found, err := s.Inspect()
	if err != nil {
		t.Fatal(err)
	}
	if told, _, err := s.Repair(found); err != nil || told != "" {
		t.Fatal(told, err)
	}
	if sh, err = openShelf(s); err != nil {
		t.Fatal(err)
	}
	defer sh.close()
	if err := sh.use(); err != nil {
		t.Error(err)
	}
	if err := s.RemoveStrays(t.Context()); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(s.Snapshotter, "snapshots", "*")); len(left) != 7 {
		t.Errorf("there are %v, want the six, and the one more", left)
	}
}

// TestWhatCannotBeReadIsNotDamaged: the kernel's failures say nothing about what is
// in a file, and what is damaged is set aside with all that depends on it.
func TestWhatCannotBeReadIsNotDamaged(t *testing.T) {
	for _, err := range []error{
		&fs.PathError{Op: "read", Path: "meta.db", Err: unix.EIO}, &fs.PathError{Op: "open", Path: "meta.db", Err: unix.EMFILE},
		fmt.Errorf("mmap: %w", unix.ENOMEM), bolterrors.ErrTimeout,
	} {
		if IsDamage(err) {
			t.Errorf("%v is taken for damage", err)
		}
	}
	for _, err := range []error{bolterrors.ErrInvalid, bolterrors.ErrChecksum, errors.New("page 7 is used twice"), io.ErrUnexpectedEOF} {
		if !IsDamage(err) {
			t.Errorf("%v is not taken for damage", err)
		}
	}
}
