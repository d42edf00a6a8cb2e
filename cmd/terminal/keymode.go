package terminal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// GuardVerb is the hidden verb of the process that guards a terminal.
const GuardVerb = "guard-terminal"

// KeyMode has a terminal give each key as it is pressed, without showing it.
// A small process of our own gives the terminal back as it was: on release,
// or when this process is gone, whatever ended it. Ctrl-C and Ctrl-Z do what
// they always do.
func KeyMode(tty *os.File) (release func(), err error) {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	if err != nil || group != unix.Getpgrp() {
		return nil, errors.New("the terminal is another job's")
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, "/proc/self/exe", GuardVerb)
	c.ExtraFiles = []*os.File{tty}
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no signal of the terminal ends it
	hold, err := c.StdinPipe()
	if err == nil {
		var ready io.ReadCloser
		if ready, err = c.StdoutPipe(); err == nil {
			if err = c.Start(); err == nil {
				_, err = ready.Read(make([]byte, 1))
			}
		}
	}
	if err != nil {
		cancel()
		return nil, fmt.Errorf("cannot guard the terminal: %w", err)
	}
	signal.Ignore(unix.SIGTTIN, unix.SIGTTOU) // in the background keys are not ours, and that is all
	return func() {
		hold.Close()
		_ = c.Wait()
		cancel()
	}, nil
}

// Guard changes the terminal that is its file 3, waits until its input ends, and
// gives the terminal back unless somebody else has taken it meanwhile.
func Guard(in io.Reader, out io.Writer) error {
	const tty = 3
	before, err := unix.IoctlGetTermios(tty, unix.TCGETS)
	if err != nil {
		return err
	}
	ours := keyByKey(*before)
	if err := unix.IoctlSetTermios(tty, unix.TCSETS, &ours); err != nil {
		return err
	}
	fmt.Fprint(out, "\n")
	_, _ = io.Copy(io.Discard, in)
	if now, err := unix.IoctlGetTermios(tty, unix.TCGETS); err != nil || *now != ours {
		return nil
	}
	return unix.IoctlSetTermios(tty, unix.TCSETS, before)
}

// RenewKeyMode takes a terminal again that came back from another job.
func RenewKeyMode(tty *os.File) {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	if err != nil || group != unix.Getpgrp() {
		return
	}
	if mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS); err == nil {
		ours := keyByKey(*mode)
		_ = unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &ours)
	}
}

// keyByKey is the mode of a terminal in which keys come at once and unseen.
func keyByKey(mode unix.Termios) unix.Termios {
	mode.Lflag &^= unix.ICANON | unix.ECHO
	mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
	return mode
}
