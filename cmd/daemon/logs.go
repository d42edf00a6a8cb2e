package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/fsnotify/fsnotify"
)

// Logs shows the last lines of a log of the engine or its keeper, all if tail is
// negative, and follows it where that is asked.
func (d Daemon) Logs(ctx context.Context, path string, tail int, follow bool) error {
	ctx, cancel := d.Interruptible(ctx)
	defer cancel()
	f, err := os.Open(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no log at %s: the engine has never run with ORLOP_ROOT=%s", path, d.RootDir())
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("only root may read %s: run the command with sudo", path)
	case err != nil:
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(f)
	if err != nil {
		return fmt.Errorf("cannot read %s: %w", path, err)
	}
	if _, err := d.Stdout.Write(lastLines(text, tail)); err != nil || !follow {
		return err
	}
	return d.followFile(ctx, f, path)
}

// lastLines is the end of a text; negative is all of it.
func lastLines(text []byte, n int) []byte {
	if n < 0 {
		return text
	}
	at := len(text)
	for ; n > 0 && at > 0; n-- {
		at = bytes.LastIndexByte(text[:at-1], '\n') + 1
	}
	return text[at:]
}

// followFile passes on what is appended to a file, and goes on with its
// successor when it is rotated.
func (d Daemon) followFile(ctx context.Context, f *os.File, path string) error {
	watcher, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("cannot follow %s: %w", path, err)
	}
	defer watcher.Close()
	if err := watcher.Add(filepath.Dir(path)); err != nil {
		return fmt.Errorf("cannot follow %s: %w", path, err)
	}
	current, next := f, successor(f, path) // rotated before it was watched
	for {
		if _, err := io.Copy(d.Stdout, current); err != nil {
			return err
		}
		if next != nil {
			defer next.Close()
			current, next = next, nil
			continue
		}
		select {
		case e := <-watcher.Events:
			if e.Name == path && e.Has(fsnotify.Create) {
				next = successor(current, path)
			}
		case err := <-watcher.Errors:
			return fmt.Errorf("cannot follow %s: %w", path, err)
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// successor is the file that is at a path now, nil if that is still f, or if it was
// moved on already: its successor is announced too.
func successor(f *os.File, path string) *os.File {
	next, err := os.Open(path)
	if err != nil {
		return nil
	}
	old, errOld := f.Stat()
	now, errNow := next.Stat()
	if errOld == nil && errNow == nil && os.SameFile(old, now) {
		next.Close()
		return nil
	}
	return next
}
