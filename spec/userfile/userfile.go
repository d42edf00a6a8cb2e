// Package userfile reads the files that users name: none of them may make a
// program wait for ever or take all memory. A file is regular and of bounded
// size; what a user names on the command line may also be a pipe, which is
// read once and can be interrupted. It knows nothing of what the files say.
package userfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// MaxText is the limit, in bytes, of every file that people write: stack files,
// environment files, Dockerfiles, ignore files, settings, secrets.
const MaxText = 8 << 20

// ErrNotRegular is what is wrong with a pipe, a socket or a device where a file
// is asked for. A directory is EISDIR.
var ErrNotRegular = errors.New("not a regular file")

// TooLarge is what is wrong with a file above its limit.
type TooLarge struct{ Limit int64 }

func (e *TooLarge) Error() string {
	if e.Limit < 1<<20 {
		return fmt.Sprintf("it is larger than %d KB", e.Limit>>10)
	}
	return fmt.Sprintf("it is larger than %d MB", e.Limit>>20)
}

// Read reads a regular file of at most MaxText bytes.
func Read(path string) ([]byte, error) { return ReadLimited(path, MaxText) }

// ReadLimited reads a regular file of at most limit bytes. /dev/null is an empty
// one. Every error is a *fs.PathError.
func ReadLimited(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, &fs.PathError{Op: "read", Path: path, Err: &TooLarge{limit}}
	}
	return readSized(f, path, limit, info.Size())
}

// Open opens a regular file, or /dev/null. It waits for nobody: neither for the
// other end of a pipe nor for a device.
func Open(path string) (*os.File, error) {
	// O_NONBLOCK: else opening a pipe waits for who writes into it.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		if errors.Is(err, unix.ENXIO) { // a socket, or a device that is not there
			err = &fs.PathError{Op: "open", Path: path, Err: &irregular{"a socket"}}
		}
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		err = mustBeRegular(path, info)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func mustBeRegular(path string, info fs.FileInfo) error {
	mode := info.Mode()
	what := "a device"
	switch {
	case mode.IsRegular() || isNull(info):
		return nil
	case mode.IsDir():
		return &fs.PathError{Op: "read", Path: path, Err: unix.EISDIR}
	case mode&fs.ModeNamedPipe != 0:
		what = "a pipe"
	case mode&fs.ModeSocket != 0:
		what = "a socket"
	}
	return &fs.PathError{Op: "read", Path: path, Err: &irregular{what}}
}

// isNull says that a file is the null device, by which users name no file.
func isNull(info fs.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && info.Mode()&fs.ModeCharDevice != 0 && os.SameFile(info, null)
}

// irregular is ErrNotRegular with what it is instead.
type irregular struct{ what string }

func (e *irregular) Error() string        { return "it is " + e.what + ", " + ErrNotRegular.Error() }
func (e *irregular) Is(target error) bool { return target == ErrNotRegular }

func readAll(in io.Reader, path string, limit int64) ([]byte, error) {
	return readSized(in, path, limit, 0)
}

// readSized reads what has some size, as far as somebody knows: it is read whole anyway.
func readSized(in io.Reader, path string, limit, size int64) ([]byte, error) {
	var text bytes.Buffer
	text.Grow(int(size) + bytes.MinRead)
	_, err := text.ReadFrom(io.LimitReader(in, limit+1))
	data := text.Bytes()
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > limit:
		return nil, &fs.PathError{Op: "read", Path: path, Err: &TooLarge{limit}}
	}
	return data, nil
}
