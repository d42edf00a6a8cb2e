package fifos

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWhatWasPrintedLastIsKept until its pipes are let go: a reader who comes after the writer has ended has it all, and its end.
func TestWhatWasPrintedLastIsKept(t *testing.T) {
	dir := t.TempDir()
	pipe, plain := filepath.Join(dir, "stdout"), filepath.Join(dir, "file")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held := Hold("", pipe, plain, filepath.Join(dir, "none"), "binary:///bin/logger")
	if len(held) != 1 {
		t.Fatalf("%d are held", len(held))
	}
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.WriteString("last words\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	r, err := os.OpenFile(pipe, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "last words\n" {
		t.Errorf("read are %q, %v", text, err)
	}
	held.Close()
}
