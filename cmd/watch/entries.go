package watch

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"syscall"
)

// EntryKind says what an Entry does at its path.
type EntryKind uint8

// The kinds of entries.
const (
	File EntryKind = iota
	Directory
	Symlink
	Removal
	More // content goes on for the file before it
)

// Entry is one change of a container's files.
type Entry struct {
	Kind       EntryKind
	Path       string // absolute, in the container
	Mode       fs.FileMode
	Link       string
	Content    []byte
	Unfinished bool // more content follows
}

// pieceSize is how much of a file travels at once.
const pieceSize = 1 << 20

// send passes the files of a sync on as they are now, directories before what
// they hold, and gives those that could not be read.
func send(files map[string]delivery, put func(Entry) error) (unread map[string]error, err error) {
	unread = map[string]error{}
	targets := sortedPaths(files)
	slices.SortStableFunc(targets, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	for _, target := range targets {
		read, err := sendOne(target, files[target], put)
		if err != nil {
			return unread, err
		}
		if read != nil {
			unread[target] = read
		}
	}
	return unread, nil
}

// sendOne gives an error of reading the file apart from one of sending it.
func sendOne(target string, d delivery, put func(Entry) error) (read, sent error) {
	source, look := d.source, os.Lstat
	if source == d.rule.root {
		look = os.Stat // where a rule's own path leads is what the rule is about
	}
	info, err := look(source)
	switch {
	case errors.Is(err, fs.ErrNotExist), isNotDirectory(err):
		return nil, put(Entry{Kind: Removal, Path: target})
	case err != nil:
		return err, nil
	case info.IsDir():
		return nil, put(Entry{Kind: Directory, Path: target, Mode: info.Mode().Perm()})
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(source)
		if err != nil {
			return err, nil
		}
		return nil, put(Entry{Kind: Symlink, Path: target, Link: to})
	case !info.Mode().IsRegular():
		return nil, nil
	}
	return sendFile(target, source, info, put)
}

func sendFile(target, source string, info fs.FileInfo, put func(Entry) error) (read, sent error) {
	f, err := os.Open(source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, put(Entry{Kind: Removal, Path: target})
	}
	if err != nil {
		return err, nil
	}
	defer f.Close()
	e := Entry{Kind: File, Path: target, Mode: info.Mode().Perm()}
	for {
		// One byte more than the file has tells that it ends there.
		content := make([]byte, min(info.Size()+1, pieceSize))
		n, err := io.ReadFull(f, content)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !ended {
			return err, nil
		}
		e.Content, e.Unfinished = content[:n], !ended
		if err := put(e); err != nil || ended {
			return nil, err
		}
		e = Entry{Kind: More, Path: target}
	}
}

func isNotDirectory(err error) bool { return errors.Is(err, syscall.ENOTDIR) }
