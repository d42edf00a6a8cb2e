package loop

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf8"

	"github.com/orlop/orlop/spec/userfile"
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
	InPlace    bool // of a File: the same file was written here, too
	Anew       bool // something of another kind was there before
}

// pieceSize is how much of a file travels at once.
const pieceSize = 1 << 20

// send passes the files of a sync on as they are now, directories before what
// they hold. It notes in files what was sent, and gives those that could not be
// read.
func send(files map[string]delivery, put func(Entry) error) (unread map[string]error, err error) {
	unread = map[string]error{}
	targets := slices.Sorted(maps.Keys(files))
	slices.SortStableFunc(targets, func(a, b string) int { return strings.Count(a, "/") - strings.Count(b, "/") })
	for _, target := range targets {
		d := files[target]
		read, err := sendOne(target, &d, put)
		files[target] = d
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
func sendOne(target string, d *delivery, put func(Entry) error) (read, sent error) {
	source, look := d.source, os.Lstat
	d.sent = origin{}
	now := time.Now()
	if source == d.rule.root {
		look = os.Stat // where a rule's own path leads is what the rule is about
	}
	if !utf8.ValidString(target) {
		return fmt.Errorf("cannot sync %q: its name is not UTF-8 text; rename it, or name it in ignore", source), nil
	}
	info, err := look(source)
	e := Entry{Path: target}
	if err == nil {
		d.sent = originOf(source, info, now)
		e.Mode, e.Anew = info.Mode().Perm(), !d.base.isNothing() && d.base.kind != d.sent.kind
	}
	switch {
	case errors.Is(err, fs.ErrNotExist), isNotDirectory(err):
		return nil, put(Entry{Kind: Removal, Path: target})
	case err != nil:
		return err, nil
	case info.IsDir():
		e.Kind = Directory
		return nil, put(e)
	case info.Mode()&fs.ModeSymlink != 0:
		to, err := os.Readlink(source)
		if err != nil {
			return err, nil
		}
		if !utf8.ValidString(to) {
			return fmt.Errorf("cannot sync %s: it is a link to %q, which is not UTF-8 text; name it in ignore", source, to), nil
		}
		e.Kind, e.Link, e.Mode = Symlink, to, 0
		return nil, put(e)
	case !info.Mode().IsRegular():
		return nil, nil
	}
	e.Kind, e.InPlace = File, d.base.wrote(d.sent)
	return sendFile(e, source, info, put)
}

func sendFile(e Entry, source string, info fs.FileInfo, put func(Entry) error) (read, sent error) {
	target := e.Path
	f, err := userfile.Open(source)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, put(Entry{Kind: Removal, Path: target})
	}
	if err != nil {
		return err, nil
	}
	defer f.Close()
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
