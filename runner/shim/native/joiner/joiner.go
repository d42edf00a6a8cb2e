//go:build cgo

// Package joiner has processes join a container of libcontainer's without a Go program that
// begins for each: what libcontainer decides in the process that becomes the program is
// decided here, once a container, and carried out in C (joiner.c). It is for plain containers and
// processes ([Of] and [Container.Join] refuse others), and knows no words for what can't be
// done: libcontainer does what it refuses, or says why not.
package joiner

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"unsafe"

	"github.com/opencontainers/runc/libcontainer"
	"github.com/opencontainers/runc/libcontainer/exeseal"
	"golang.org/x/sys/unix"
)

// Joiner starts processes from a copy of this program which nobody can write to.
type Joiner struct{ program *os.File }

// New makes the copy; scratch is a directory that is not the program's own. Where overlayfs is there, it
// takes no room.
func New(scratch string) (*Joiner, error) {
	program, err := exeseal.CloneSelfExe(scratch)
	if err != nil {
		return nil, err
	}
	return &Joiner{program}, nil
}

// errRefused is of a process that was not begun: nothing was executed.
var errRefused = errors.New("refused")

// IsRefused says that a process was not begun, and may be begun by libcontainer.
func IsRefused(err error) bool { return errors.Is(err, errRefused) }

// Refusal is the error of a process that is not to be begun in this way.
func Refusal(err error) error {
	if IsRefused(err) {
		return err
	}
	return fmt.Errorf("%w: %w", errRefused, err)
}

// Join starts a process that writes to output, and returns its number when it is the program, or
// has ended meanwhile; it is a child of ours to be waited for. It ends with the thread that has started it, of which
// Go ends none.
//
// Two processes follow each other on the way. now is called with the number of each before it does anything: that is the one to be
// killed when the process is given up. It is called with 0 when there is none any more.
//
// An error that is not a refusal is of a process of which nobody knows whether it has begun. What is left of it are
// children of ours.
func (j *Joiner) Join(c *Container, p *libcontainer.Process, output *os.File, now func(pid int)) (int, error) {
	asked, err := c.record(p)
	if err != nil {
		return 0, Refusal(err)
	}
	first, socket, err := j.start(c, output)
	if err != nil {
		return 0, Refusal(err)
	}
	defer socket.Close()
	now(first)
	if _, err := socket.Write(asked); err != nil {
		_ = unix.Kill(first, unix.SIGKILL)
	}
	second, failed := listen(socket, func(second int) {
		now(second)
		wait(first) // it ends by itself, or has been killed
	})
	if second != 0 && failed == nil {
		return second, nil
	}
	now(0)
	wait(cmp.Or(second, first))
	if failed == nil {
		return 0, errors.New("a process has ended half-way into the container")
	}
	return 0, Refusal(failed)
}

// start begins the first process; it is told what it is to do by the socket.
func (j *Joiner) start(c *Container, output *os.File) (pid int, socket *os.File, err error) {
	null, err := os.Open(os.DevNull) // one for each: what shares an open file shares its locks
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, err
	}
	defer unix.Close(ends[1])
	attr := syscall.ProcAttr{
		Files: []uintptr{null.Fd(), output.Fd(), output.Fd(), uintptr(ends[1]), j.program.Fd(), c.init.Fd()},
	}
	err = unix.SetsockoptInt(ends[0], unix.SOL_SOCKET, unix.SO_PASSCRED, 1)
	if err == nil && c.isCgroup2 {
		var dir int
		dir, err = unix.Open(c.cgroups[0], unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		defer unix.Close(dir)
		attr.Sys = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: dir}
	}
	if err == nil {
		pid, err = syscall.ForkExec("/proc/self/fd/4", []string{"orlop-exec", "join"}, &attr)
	}
	if err != nil {
		unix.Close(ends[0])
		return 0, nil, err
	}
	return pid, os.NewFile(uintptr(ends[0]), "socket of a process that joins"), nil
}

// report is struct report in joiner.c: that its sender is there, or what could not be done.
type report struct {
	IsError uint32
	Value   int32
	What    [24]byte
}

// listen returns when no process holds the other end of the socket any more: the second one, if it has told that it is there, and what
// could not be done. The second one goes on when here has returned.
func listen(socket *os.File, here func(second int)) (second int, failed error) {
	for {
		r, from, err := receive(int(socket.Fd()))
		switch {
		case err != nil:
			return second, failed
		case r.IsError != 0:
			what, _, _ := bytes.Cut(r.What[:], []byte{0})
			failed = fmt.Errorf("%s: %w", what, unix.Errno(r.Value))
		default:
			second = from
			here(second)
			_, _ = socket.Write([]byte{1}) // one that has ended needs none
		}
	}
}

// receive reads one report, which is written at once, and the number that its sender has here: that which it has in its
// container is another.
func receive(socket int) (r report, from int, err error) {
	var text [unsafe.Sizeof(r)]byte
	control := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		n, size, _, _, err := unix.Recvmsg(socket, text[:], control, unix.MSG_WAITALL|unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err == nil && n < len(text) {
			err = io.EOF
		}
		if err != nil {
			return r, 0, err
		}
		messages, err := unix.ParseSocketControlMessage(control[:size])
		if err != nil {
			return r, 0, err
		}
		for i := range messages {
			if sender, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
				from = int(sender.Pid)
			}
		}
		_, err = binary.Decode(text[:], binary.NativeEndian, &r)
		return r, from, err
	}
}

func wait(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}
