package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	startLockName = "orlopd.start"
	readyWord     = "ready\n"
	// RunningWord is what a keeper tells whoever started it when another one
	// has the state directory.
	RunningWord = "running\n"
)

// StartOptions say which keeper to start, and for which directories.
type StartOptions struct {
	// Path is the file of orlopd.
	Path string
	// Root and State are the engine's two directories.
	Root, State string
}

// Start makes sure that a keeper runs for the state directory, and returns when
// its API socket accepts connections. The keeper is fully detached: a session
// of its own, no inherited descriptors, / as its directory. The error of a
// keeper that does not come up carries the end of its log.
func Start(ctx context.Context, o StartOptions) error {
	if err := os.MkdirAll(o.State, 0o700); err != nil {
		return fmt.Errorf("cannot make the state directory of the engine: %w", err)
	}
	logDir := filepath.Join(o.Root, "log")
	if err := os.MkdirAll(logDir, 0o700); err != nil {
		return fmt.Errorf("cannot make the log directory of the engine: %w", err)
	}
	// Two commands may find nothing running at the same time: the second waits
	// until the first has started it, and then finds it.
	unlock, err := lockStart(ctx, filepath.Join(o.Root, startLockName))
	if err != nil {
		return err
	}
	defer unlock()
	if err := mountState(o.State); err != nil {
		return fmt.Errorf("cannot look at the state directory of the engine: %w", err)
	}
	for {
		// An engine whose keeper was killed accepts for a moment, too.
		if _, running := Running(o.State); running && accepts(filepath.Join(o.State, socketName)) {
			return nil
		}
		err := launch(ctx, o, filepath.Join(logDir, "keeper.log"))
		if _, leaving := errors.AsType[*RunningError](err); !leaving {
			return err
		}
		// One has the lock but does not listen: it is on its way out, or only
		// just on its way in.
		if err := awaitLock(ctx, o.State); err != nil {
			return err
		}
	}
}

// awaitLock waits until the keeper of a state directory has left, or has had
// the time to become ready.
func awaitLock(ctx context.Context, state string) error {
	const timeToBeReady = time.Second
	f, err := os.OpenFile(filepath.Join(state, lockName), os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("cannot wait for the last keeper to leave: %w", err)
	}
	bounded, cancel := context.WithTimeout(ctx, timeToBeReady)
	defer cancel()
	release, err := acquire(bounded, f, func() error {
		return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLKW, wholeFile())
	})
	switch {
	case err == nil:
		release()
	case bounded.Err() == nil:
		return err
	}
	return context.Cause(ctx)
}

// lockStart waits for its turn to start a keeper.
func lockStart(ctx context.Context, path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("cannot take the lock to start the engine: %w", err)
	}
	return acquire(ctx, f, func() error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) })
}

// acquire calls lock, which blocks and locks f, until it is through or ctx
// ends. Closing f releases the lock; when ctx ends first, that is done as soon
// as the lock is got.
func acquire(ctx context.Context, f *os.File, lock func() error) (release func(), err error) {
	got := make(chan error, 1)
	go func() {
		err := error(unix.EINTR)
		for errors.Is(err, unix.EINTR) {
			err = lock()
		}
		got <- err
	}()
	select {
	case err := <-got:
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("cannot lock %s: %w", f.Name(), err)
		}
		return func() { f.Close() }, nil
	case <-ctx.Done():
		go func() { <-got; f.Close() }()
		return nil, context.Cause(ctx)
	}
}

func accepts(socket string) bool {
	c, err := net.Dial("unix", socket)
	if err != nil {
		return false
	}
	c.Close()
	return true
}

// lasting is what a keeper, its engine and their shims get of the environment of
// who starts them first: they outlive that session, with its directories and its
// secrets. What is not here was never needed by them. TMPDIR is left out on
// purpose: a session's own is removed with it.
func lasting(environ []string) []string {
	return slices.DeleteFunc(slices.Clone(environ), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		switch strings.ToUpper(name) {
		case "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY":
			return false
		}
		switch name {
		case "PATH", "HOME", "LANG", "TZ", "SSL_CERT_FILE", "SSL_CERT_DIR":
			return false
		}
		return !strings.HasPrefix(name, "LC_") && !strings.HasPrefix(name, "ORLOP_")
	})
}

func launch(ctx context.Context, o StartOptions, logPath string) error {
	log, err := openLog(logPath)
	if err != nil {
		return fmt.Errorf("cannot open the keeper's log: %w", err)
	}
	defer log.Close()
	before := endOf(log)
	ready, theirs, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("cannot start the keeper: %w", err)
	}
	defer ready.Close()
	cmd := exec.Command(o.Path, "--state", o.State, "--root", o.Root, "--ready-fd", "3")
	cmd.Dir, cmd.Env = "/", lasting(os.Environ())
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{theirs}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return fmt.Errorf("cannot start the keeper: %w", err)
	}
	// The keeper outlives us; while we live, somebody must collect it.
	go func() { _ = cmd.Wait() }()
	stop := context.AfterFunc(ctx, func() { ready.Close() })
	defer stop()
	word, err := io.ReadAll(io.LimitReader(ready, 4096))
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("the keeper did not become ready: %w", context.Cause(ctx))
	case err != nil:
		return fmt.Errorf("cannot hear from the keeper: %w", err)
	case string(word) == readyWord:
		return nil
	case string(word) == RunningWord:
		return &RunningError{State: o.State}
	}
	return startError(word, logPath, before)
}

// startError prefers the keeper's own word on why it left, and adds what its
// log got meanwhile.
func startError(word []byte, logPath string, before int64) error {
	text := strings.TrimSpace(string(word))
	if text == "" {
		text = "it left without a word"
	}
	if tail := tailFrom(logPath, before); tail != "" {
		text += "\n" + tail
	}
	return fmt.Errorf("cannot start the keeper: %s\nSee: %s", text, logPath)
}

func endOf(f *os.File) int64 {
	fi, err := f.Stat()
	if err != nil {
		return 0
	}
	return fi.Size()
}

// tailFrom returns the last lines that a file got since it was of size from.
func tailFrom(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 2 << 10
	if end := endOf(f); end-from > most {
		from = end - most
	}
	text, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// CloseInherited closes every descriptor that the process inherited, but the
// standard three and keep. Called first in main, it finds them by what they
// lack: whatever Go opens itself is marked to be closed on exec.
func CloseInherited(keep int) error {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("cannot list the open descriptors: %w", err)
	}
	for _, e := range entries {
		var fd int
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil || fd < 3 || fd == keep {
			continue
		}
		flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
		if err == nil && flags&unix.FD_CLOEXEC == 0 {
			unix.Close(fd)
		}
	}
	return nil
}

func isEnd(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}
