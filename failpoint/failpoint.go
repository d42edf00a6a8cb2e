// Package failpoint marks the places in the engine and its keeper where the order
// of side effects matters, so that a test can kill, hold up or fail them exactly
// there. In what users get the marks are nothing: only programs that are built
// with the tag failpoints look at them. A test holds that.
//
// A mark has a name, "volume/made". A program with the tag does what the file of
// that name, a "." for each "/", in the directory ORLOP_FAILPOINTS says: once,
// for the file is renamed to NAME.hit first.
//
//	kill           SIGKILL to the program itself
//	delay 300ms    waits
//	pause FILE     waits until there is such a file
//	error ENOSPC   fails, or with EIO, where the mark is one that may
//
// The file "clock", where there is one, sets the time of day of schedules: to what it says,
// as in RFC 3339, at the moment when it was written.
//
// The file "trace", where there is one, gets the name of each mark that is passed.
package failpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Variable is the environment variable that names the directory.
const Variable = "ORLOP_FAILPOINTS"

// File is the name of the file of a mark.
func File(name string) string { return strings.ReplaceAll(name, "/", ".") }

// pass does at a mark what the directory says.
func pass(dir, name string) error {
	if dir == "" {
		return nil
	}
	if f, err := os.OpenFile(filepath.Join(dir, "trace"), os.O_WRONLY|os.O_APPEND, 0); err == nil {
		_, _ = f.WriteString(name + "\n")
		f.Close()
	}
	path := filepath.Join(dir, File(name))
	text, err := os.ReadFile(path)
	if err != nil || os.Rename(path, path+".hit") != nil {
		return nil // nothing is to be done here, or somebody else does it
	}
	if err := act(strings.TrimSpace(string(text))); err != nil {
		return fmt.Errorf("failpoint %s: %w", name, err)
	}
	return nil
}

func act(what string) error {
	verb, argument, _ := strings.Cut(what, " ")
	switch verb {
	case "kill":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // it comes in a moment
	case "delay":
		wait, err := time.ParseDuration(argument)
		time.Sleep(wait)
		return err
	case "pause":
		for {
			if _, err := os.Stat(argument); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
			time.Sleep(5 * time.Millisecond)
		}
	case "error":
		if errno, known := map[string]syscall.Errno{"ENOSPC": syscall.ENOSPC, "EIO": syscall.EIO}[argument]; known {
			return errno
		}
	}
	return fmt.Errorf("no failpoint does %q", what)
}

// clock is the time of day that the directory sets.
func clock(dir string) (time.Time, bool) {
	if dir == "" {
		return time.Time{}, false
	}
	path := filepath.Join(dir, "clock")
	for range 100 { // it may be about to be written
		text, err := os.ReadFile(path)
		st, serr := os.Stat(path)
		if errors.Join(err, serr) != nil {
			break
		}
		if at, err := time.Parse(time.RFC3339, strings.TrimSpace(string(text))); err == nil {
			return at.Add(time.Since(st.ModTime())), true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return time.Time{}, false
}
