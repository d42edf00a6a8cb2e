package display

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ReplaceFile puts a text in a file's place in one step: a reader sees the old
// one or the new one.
func ReplaceFile(path, text string) error {
	return ReplaceWith(path, 0o644, func(out io.Writer) error {
		_, err := io.WriteString(out, text)
		return err
	})
}

// ReplaceWith does so with what write writes. It writes where symbolic links lead, and
// refuses what is no regular file. Mode is that of a file that is not there yet, but for
// what the process's umask takes of it.
func ReplaceWith(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	target := path
	now, err := os.Stat(path)
	switch link, dangling := os.Lstat(path); {
	case err == nil:
		switch {
		case now.IsDir():
			return fmt.Errorf("cannot write %s: it is a directory", path)
		case !now.Mode().IsRegular():
			return fmt.Errorf("cannot write %s: it is no regular file: use a shell's > for that", path)
		}
		mode = now.Mode().Perm()
		if target, err = filepath.EvalSymlinks(path); err != nil {
			return fmt.Errorf("cannot write %s: %w", path, err)
		}
	case dangling == nil && link.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("cannot write %s: it is a symbolic link to nothing", path)
	default:
		mode &^= umask()
	}
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	var why *fs.PathError
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("cannot write %s: there is no directory %s: make it first", path, filepath.Dir(target))
	case errors.As(err, &why):
		return fmt.Errorf("cannot write %s: %w", path, why.Err)
	case err != nil:
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		f.Close()
		return err
	}
	if err = errors.Join(f.Chmod(mode), f.Close()); err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", path, err)
	}
	return nil
}

// umask is the process's.
func umask() fs.FileMode {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "\nUmask:")
	word, _, _ := strings.Cut(strings.TrimSpace(rest), "\n")
	mask, err := strconv.ParseUint(strings.TrimSpace(word), 8, 32)
	if err != nil {
		return 0
	}
	return fs.FileMode(mask)
}
