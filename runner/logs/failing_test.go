package logs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// failing is a log whose directory is missing behind a link, and what the
// engine's log says of it. repair takes the link away.
func failing(t *testing.T) (w *Log, clock *manual, said *bytes.Buffer, repair func()) {
	t.Helper()
	clock, said = newManual(), &bytes.Buffer{}
	path := filepath.Join(t.TempDir(), "log")
	if err := os.Symlink(filepath.Join(t.TempDir(), "missing", "log"), path); err != nil {
		t.Fatal(err)
	}
	w = New(Config{Path: path, Origin: Origin{Container: "shop-web-1"}, Now: clock.now, Log: slog.New(slog.NewTextHandler(said, nil))})
	t.Cleanup(w.Close)
	return w, clock, said, func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALogThatCannotBeWrittenSaysSoOnce(t *testing.T) {
	w, clock, said, repair := failing(t)
	for range 5 {
		w.Write(false, []byte("lost\n"))
		clock.move(2 * retryAfter)
	}
	if got := said.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "shop-web-1") || !strings.Contains(got, "no such file or directory") {
		t.Errorf("the engine's log says %q", got)
	}
	want := "!orlop: 5 lines are lost: the log cannot be written: no such file or directory"
	if got := texts(past(t, w, all)); got != want {
		t.Errorf("a reader is told %q, want %q", got, want)
	}
	repair()
	w.Write(false, []byte("kept\n"))
	if got := texts(past(t, w, all)); got != want+"|kept" {
		t.Errorf("once it can be written again, a reader is told %q", got)
	}
	w.Write(false, []byte("more\n"))
	if got := texts(past(t, w, all)); got != want+"|kept|more" {
		t.Errorf("later, a reader is told %q", got)
	}
}

// A line that the failure has cut is ended, so that what comes after it is not
// taken for its rest.
func TestALineThatWasCutByAFailureIsEnded(t *testing.T) {
	clock := newManual()
	path := filepath.Join(t.TempDir(), "log")
	w := logAt(path, clock)
	defer w.Close()
	w.Write(false, []byte("begun"))
	w.showLine(false)
	if err := os.Rename(path, path+".aside"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(t.TempDir(), "missing", "log"), path); err != nil {
		t.Fatal(err)
	}
	w.file.Close() // the next write opens what is there
	w.file = nil
	w.Write(false, []byte(" and ended\nlost\n"))
	if err := os.Rename(path+".aside", path); err != nil {
		t.Fatal(err)
	}
	clock.move(2 * retryAfter)
	w.Write(false, []byte("next\n"))
	if got, want := texts(past(t, w, all)), "begun+||!orlop: 2 lines are lost: the log cannot be written: no such file or directory|next"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestWhoFollowsALogIsToldThatItCannotBeWritten(t *testing.T) {
	w, clock, _, repair := failing(t)
	lines := make(chan string, 16)
	done := make(chan error, 1)
	go func() {
		done <- w.Follow(t.Context(), all, Position{}, func(l Line) error { lines <- texts([]Line{l}); return nil }, nil)
	}()
	w.Write(false, []byte("lost\n"))
	if got := <-lines; got != "!orlop: the log cannot be written, and what is printed from here on is lost: no such file or directory" {
		t.Errorf("first comes %q", got)
	}
	w.Write(false, []byte("lost\n"))
	repair()
	clock.move(2 * retryAfter)
	w.Write(false, []byte("kept\n"))
	if got := <-lines; got != "!orlop: 2 lines are lost: the log cannot be written: no such file or directory" {
		t.Errorf("then comes %q", got)
	}
	if got := <-lines; got != "kept" {
		t.Errorf("at last comes %q", got)
	}
	w.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// The program of a removed log goes on printing: it has a log again with its
// next line.
func TestALogThatWasRemovedIsBegunAnew(t *testing.T) {
	w, clock := logged(t)
	w.Write(false, []byte("one\n"))
	lines := make(chan string, 16)
	go func() {
		_ = w.Follow(t.Context(), all, Position{}, func(l Line) error { lines <- string(l.Text); return nil }, nil)
	}()
	if got := <-lines; got != "one" {
		t.Fatalf("first comes %q", got)
	}
	if err := os.RemoveAll(filepath.Dir(w.path)); err != nil {
		t.Fatal(err)
	}
	clock.move(time.Second)
	w.Write(false, []byte("two\n"))
	if got := texts(past(t, w, all)); got != "two" {
		t.Errorf("it has %q", got)
	}
	select {
	case got := <-lines:
		if got != "two" {
			t.Errorf("who follows it is given %q", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("who follows it is given nothing")
	}
}

// On a disk that is full, what was written in part stays readable, and the lines
// after it come again when there is room.
func TestALogOnAFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: needs root: it mounts a tmpfs")
	}
	dir := t.TempDir()
	if err := unix.Mount("logs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 40<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	clock := newManual()
	w := logAt(filepath.Join(dir, "log"), clock)
	defer w.Close()
	const each = 100
	for i := range 400 {
		w.Write(false, fmt.Appendf(nil, "%04d %s\n", i, strings.Repeat("x", each)))
		clock.move(10 * time.Millisecond)
	}
	if err := w.Failure(); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("the disk is not full: %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	clock.move(2 * retryAfter)
	w.Write(false, []byte("again\n"))
	lines := past(t, w, all)
	kept, lost := 0, 0
	for _, l := range lines {
		var n int
		if _, err := fmt.Sscanf(string(l.Text), "orlop: %d lines are lost", &n); err == nil {
			lost += n
		} else if len(l.Text) == 5+each {
			kept++
		}
	}
	if kept == 0 || lost == 0 || kept+lost != 400 || string(lines[len(lines)-1].Text) != "again" {
		t.Errorf("%d lines are kept and %d lost, of 400; the last is %q", kept, lost, lines[len(lines)-1].Text)
	}
}
