//go:build cgo

// Package joiner has processes join a container of libcontainer's without a Go program that
// begins for each: what libcontainer decides in the process that becomes the program is
// decided here, once a container, and carried out in C (joiner.c). It is for plain containers and
// processes ([Of] and [Container.Join] refuse others), and knows no words for what can't be
// done: libcontainer does what it refuses, or says why not.
package joiner

import (
	"bytes"
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
type Joiner struct {
	program *os.File
	null    *os.File
}

// New makes the copy; scratch is a directory that is not the program's own. Where overlayfs is there, it
// takes no room.
func New(scratch string) (*Joiner, error) {
	program, err := exeseal.CloneSelfExe(scratch)
	if err != nil {
		return nil, err
	}
	null, err := os.Open(os.DevNull)
	if err != nil {
		program.Close()
		return nil, err
	}
	return &Joiner{program, null}, nil
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

// report is struct report in joiner.c: the number of a process, or what could not be done.
type report struct {
	IsError uint32
	Value   int32
	What    [24]byte
}

const reportSize = int(unsafe.Sizeof(report{}))

// Join starts a process that writes to output, and returns its number when it is the program, or
// has ended meanwhile; it is a child of ours to be waited for. It ends with the thread that has started it, of which
// Go ends none. To now it says which process is to be killed if this one is not wanted any more: a child that nobody has waited for yet, or 0.
//
// An error that is not a refusal is of a process of which nobody knows whether it has begun. What is left of it are
// children of ours.
func (j *Joiner) Join(c *Container, p *libcontainer.Process, output *os.File, now func(pid int)) (int, error) {
	asked, err := c.record(p)
	if err != nil {
		return 0, Refusal(err)
	}
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, Refusal(err)
	}
	mine := os.NewFile(uintptr(ends[0]), "socket of a process that joins")
	defer mine.Close()
	first, err := syscall.ForkExec("/proc/self/fd/4", []string{"orlop-exec", "join"}, &syscall.ProcAttr{
		Files: []uintptr{j.null.Fd(), output.Fd(), output.Fd(), uintptr(ends[1]), j.program.Fd(), c.init.Fd()},
	})
	unix.Close(ends[1])
	if err != nil {
		return 0, Refusal(err)
	}
	now(first)
	if _, err := mine.Write(asked); err != nil {
		_ = unix.Kill(first, unix.SIGKILL)
	}
	var pid int
	var failed error
	for {
		r, err := readReport(mine)
		if err != nil {
			break // they hold it no more
		}
		if r.IsError != 0 {
			what, _, _ := bytes.Cut(r.What[:], []byte{0})
			failed = fmt.Errorf("%s: %w", what, unix.Errno(r.Value))
			continue
		}
		pid = int(r.Value)
		now(pid)
		wait(first)
	}
	if pid != 0 && failed == nil {
		return pid, nil
	}
	now(0)
	if pid == 0 {
		wait(first)
	} else {
		wait(pid)
	}
	if failed == nil {
		return 0, errors.New("a process has ended half-way into the container")
	}
	return 0, Refusal(failed)
}

func readReport(from io.Reader) (r report, err error) {
	var text [reportSize]byte
	if _, err := io.ReadFull(from, text[:]); err != nil {
		return r, err
	}
	_, err = binary.Decode(text[:], binary.NativeEndian, &r)
	return r, err
}

func wait(pid int) {
	for {
		if _, err := unix.Wait4(pid, nil, 0, nil); err != unix.EINTR {
			return
		}
	}
}
