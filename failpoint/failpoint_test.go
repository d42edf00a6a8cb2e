package failpoint

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// arm says what is to be done at a mark.
func arm(t *testing.T, dir, name, what string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, File(name)), []byte(what+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAMarkIsPassedOnce(t *testing.T) {
	dir := t.TempDir()
	arm(t, dir, "a/b", "error ENOSPC")
	if err := pass(dir, "a/other"); err != nil {
		t.Errorf("another mark: %v", err)
	}
	if err := pass(dir, "a/b"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("the mark: %v, want ENOSPC", err)
	}
	if err := pass(dir, "a/b"); err != nil {
		t.Errorf("the mark once more: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "a.b.hit")); err != nil {
		t.Errorf("nothing tells that it was passed: %v", err)
	}
}

func TestAMarkHoldsUntilThereIsAFile(t *testing.T) {
	dir := t.TempDir()
	gate := filepath.Join(dir, "gate")
	arm(t, dir, "a", "pause "+gate)
	passed := make(chan error)
	go func() { passed <- pass(dir, "a") }()
	select {
	case err := <-passed:
		t.Fatalf("passed without the file: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	if err := os.WriteFile(gate, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := <-passed; err != nil {
		t.Error(err)
	}
}

func TestMarksArePutOnRecord(t *testing.T) {
	dir := t.TempDir()
	if err := pass(dir, "before"); err != nil {
		t.Fatal(err)
	}
	trace := filepath.Join(dir, "trace")
	if err := os.WriteFile(trace, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a/b", "c"} {
		if err := pass(dir, name); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(trace); err != nil || string(text) != "a/b\nc\n" {
		t.Errorf("on record is %q, %v", text, err)
	}
}

func TestWhatNoMarkDoesIsAnError(t *testing.T) {
	dir := t.TempDir()
	for _, what := range []string{"explode", "error EWHAT", "delay soon"} {
		arm(t, dir, "a", what)
		if err := pass(dir, "a"); err == nil {
			t.Errorf("%q is done", what)
		}
	}
	if err := pass("", "a"); err != nil {
		t.Errorf("without a directory: %v", err)
	}
}

// A clock that is set goes on from there.
func TestAClockIsSet(t *testing.T) {
	dir := t.TempDir()
	if at, ok := clock(dir); ok {
		t.Errorf("without a file it is %s", at)
	}
	path := filepath.Join(dir, "clock")
	if err := os.WriteFile(path, []byte("2026-11-29T03:00:00Z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hourAgo := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, hourAgo, hourAgo); err != nil {
		t.Fatal(err)
	}
	want := time.Date(2026, 11, 29, 4, 0, 0, 0, time.UTC)
	if at, ok := clock(dir); !ok || at.Sub(want) < 0 || at.Sub(want) > time.Minute {
		t.Errorf("an hour later it is %s, %t", at, ok)
	}
	if err := os.WriteFile(path, []byte("soon"), 0o600); err != nil {
		t.Fatal(err)
	}
	if at, ok := clock(dir); ok {
		t.Errorf("of what is no time it is %s", at)
	}
}
