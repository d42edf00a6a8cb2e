package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// small gives a directory on a file system of so many megabytes.
func small(t *testing.T, megabytes int) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("test", dir, "tmpfs", 0, fmt.Sprintf("size=%dm", megabytes)); err != nil {
		t.Skip("SKIPPED: needs root to make a small disk: ", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill writes until nothing more can be.
func fill(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Create(filepath.Join(dir, "big"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; block = block[:len(block)/2] {
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
		if !IsFull(err) {
			t.Fatal(err)
		}
	}
}

func TestRoomIsKeptBackGivenAndTakenAgain(t *testing.T) {
	dir := small(t, 64)
	r, err := Keep(dir)
	if err != nil {
		t.Fatal(err)
	}
	held := func() int64 {
		st, err := os.Stat(filepath.Join(dir, reserveName))
		if err != nil {
			return 0
		}
		return st.Size()
	}
	if held() != Spare {
		t.Fatalf("%d bytes are kept back", held())
	}
	if err := r.GiveIfFull(); err != nil || held() == 0 {
		t.Errorf("it is given up while there is room: %v", err)
	}
	fill(t, dir)
	if err := os.WriteFile(filepath.Join(dir, "more"), make([]byte, 1<<20), 0o600); !IsFull(err) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := r.GiveIfFull(); err != nil || held() != 0 {
		t.Errorf("it is not given up: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "more"), make([]byte, 1<<20), 0o600); err != nil {
		t.Errorf("what makes room has none: %v", err)
	}
	if err := r.Take(); err != nil || held() != 0 {
		t.Errorf("the last room is taken: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "big")); err != nil {
		t.Fatal(err)
	}
	if err := r.Take(); err != nil || held() != Spare {
		t.Errorf("it is not taken again: %v", err)
	}
}

func TestAnErrorSaysHowMuchRoomThereIs(t *testing.T) {
	dir := small(t, 64)
	text := errors.New("rpc: write /x: no space left on device")
	if got := Explain(text, dir, 200e6).Error(); !strings.HasPrefix(got, text.Error()+" (no space: 200.0 MB needed, 67.1 MB free at "+dir) {
		t.Errorf("it says %q", got)
	}
	if got := Explain(unix.EDQUOT, dir, 0); !strings.Contains(got.Error(), "no space: 67.1 MB free") || !errors.Is(got, unix.EDQUOT) || Explain(got, dir, 0) != got {
		t.Errorf("it says %q", got)
	}
	if err := errors.New("another"); Explain(err, dir, 0) != err || Explain(nil, dir, 0) != nil {
		t.Error("other errors are changed")
	}
	if err := Need(dir, 1<<20); err != nil {
		t.Error(err)
	}
	if err := Need(dir, 1<<40); err == nil || !strings.HasPrefix(err.Error(), "no space: 1099.5 GB needed") {
		t.Errorf("it says %v", err)
	}
	var none *Reserve
	if err := errors.Join(none.Take(), none.Give(), none.GiveIfFull()); err != nil {
		t.Error(err)
	}
}

// TestOnlyAFullDiskIsTold: the kernel has no space left on other things too, such as
// watches and cpusets.
func TestOnlyAFullDiskIsTold(t *testing.T) {
	dir := t.TempDir()
	if free, _, err := Room(dir); err != nil || free <= plenty {
		t.Skip("SKIPPED: the disk of the test is full itself: ", free, err)
	}
	if err := Explain(unix.ENOSPC, dir, 0); err != unix.ENOSPC {
		t.Errorf("with room on the disk: %v", err)
	}
	if err := Explain(unix.ENOSPC, dir, 1<<60); err == unix.ENOSPC {
		t.Error("what needs more than there is, is not told of")
	}
}
