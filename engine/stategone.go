package engine

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// errStateGone is the cause of the end of an engine whose state directory somebody
// has removed: no command reaches it any more, and it would be in the way of the next.
var errStateGone = errors.New("the state directory was removed: the engine ends, and the next one starts as after a reboot")

// watchState ends the engine, and its keeper, when the socket that commands find it
// by is removed.
func (e *Engine) watchState() {
	if err := awaitRemoval(filepath.Join(e.cfg.State, "orlop.sock"), e.ctx.Done()); err != nil {
		e.log.Warn("whether the state directory is there is not watched", "error", err)
		return
	}
	if e.ctx.Err() != nil {
		return
	}
	e.log.Error(errStateGone.Error(), "path", e.cfg.State)
	if e.cfg.Keeper != nil {
		if err := e.cfg.Keeper.Quit(e.ctx); err != nil {
			e.log.Warn("the keeper does not end", "error", err)
		}
	}
	e.cancel(errStateGone)
}

// awaitRemoval returns when a file is removed or its directory unmounted, or when
// done is closed.
func awaitRemoval(path string, done <-chan struct{}) error {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return fmt.Errorf("cannot watch %s: %w", path, err)
	}
	events := os.NewFile(uintptr(fd), "inotify") // the poller wakes its reader when it is closed
	defer events.Close()
	// The number of its links changes with the removal; that it is gone is told only
	// once nobody has it open.
	if _, err := unix.InotifyAddWatch(fd, path, unix.IN_ATTRIB|unix.IN_DELETE_SELF|unix.IN_MOVE_SELF); err != nil {
		return fmt.Errorf("cannot watch %s: %w", path, err)
	}
	ended := make(chan struct{})
	defer func() { <-ended }()
	stop := make(chan struct{})
	defer close(stop)
	go func() {
		defer close(ended)
		select {
		case <-done:
			events.Close()
		case <-stop:
		}
	}()
	buf := make([]byte, 4096)
	for {
		if _, err := os.Lstat(path); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if _, err := events.Read(buf); err != nil {
			return nil
		}
	}
}
