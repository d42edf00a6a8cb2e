// Package boltfile sets databases aside that are damaged, for a time. It knows nothing of
// what a database holds.
package boltfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// AsideLife is how long a database stays that was set aside: what it holds, values of
// environments among it, was removed for whoever looks at the engine.
const AsideLife = 7 * 24 * time.Hour

// infix is between the name of a database and the time at which it was set aside, in
// seconds.
const infix = ".damaged-"

// SetAside renames a damaged database, whose old name is free then, for root alone to
// read. "" if there is none. Of those that were set aside before the first stays, as the
// nearest to what was lost: each may be large.
func SetAside(path string, now time.Time) (string, error) {
	older, _ := filepath.Glob(path + infix + "*")
	aside := stamped(path, now)
	if err := os.Chmod(path, 0o600); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	err := os.Rename(path, aside)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for i, old := range older { // Glob sorts them, the first that was set aside comes first
		if old != aside && i > 0 {
			_ = os.Remove(old)
		}
	}
	return aside, nil
}

// stamped is a name, which nothing has, for a database that is set aside.
func stamped(path string, now time.Time) string {
	for seconds := now.Unix(); ; seconds++ {
		aside := path + infix + strconv.FormatInt(seconds, 10)
		if _, err := os.Lstat(aside); err != nil {
			return aside
		}
	}
}

// unstamped is what an older engine called a damaged index of the build cache.
const unstamped = "buildkit/cache.db.damaged"

// Asides are the databases below the engine's root that were set aside.
func Asides(root string) (list []string) {
	for _, pattern := range []string{"*" + infix + "*", "containerd/*/*" + infix + "*", "buildkit/*" + infix + "*", unstamped} {
		found, _ := filepath.Glob(filepath.Join(root, pattern))
		list = append(list, found...)
	}
	return list
}

// firstTime is before every time at which there was an engine: a clock that says less was
// not set yet.
var firstTime = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Expire removes those that were set aside longer ago than AsideLife, and says when the
// next is due; never, if none is. The life of one that was set aside by a clock that was
// not set, or was ahead when it was set aside, begins now; by a clock that is not set
// none is removed.
func Expire(root string, now time.Time) (due time.Time, err error) {
	var errs []error
	for _, path := range Asides(root) {
		since := asideSince(path)
		switch {
		case now.Before(firstTime):
			since = now
		case since.Before(firstTime) || since.After(now):
			name, _, _ := strings.Cut(filepath.Base(path), strings.TrimSuffix(infix, "-"))
			if err := os.Rename(path, stamped(filepath.Join(filepath.Dir(path), name), now)); err != nil {
				errs = append(errs, fmt.Errorf("cannot note since when a database is set aside: %w", err))
			}
			since = now
		case now.Sub(since) >= AsideLife:
			if err := os.Remove(path); err != nil {
				errs = append(errs, fmt.Errorf("cannot remove a database that was set aside: %w", err))
			}
			continue
		}
		if next := since.Add(AsideLife); due.IsZero() || next.Before(due) {
			due = next
		}
	}
	return due, errors.Join(errs...)
}

// KeepExpiring removes what was set aside as soon as it is due, until ctx ends. What is set
// aside is so when an engine starts, before this is called.
func KeepExpiring(ctx context.Context, root string, log *slog.Logger) {
	for {
		due, err := Expire(root, time.Now())
		if err != nil {
			log.Warn("what was damaged stays", "error", err)
		}
		if err != nil || due.IsZero() {
			return
		}
		select {
		case <-time.After(time.Until(due) + time.Second):
		case <-ctx.Done():
			return
		}
	}
}

// asideSince is the time in a name; the beginning of time if it has none.
func asideSince(path string) time.Time {
	_, stamp, _ := strings.Cut(filepath.Base(path), infix)
	seconds, _ := strconv.ParseInt(stamp, 10, 64)
	return time.Unix(seconds, 0)
}
