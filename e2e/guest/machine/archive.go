package machine

import (
	"fmt"
	"io"
)

// archive writes what the kernel unpacks first (the "newc" form of cpio, see
// the kernel's Documentation/driver-api/early-userspace/buffer-format.rst).
type archive struct {
	w      io.Writer
	inodes int
	err    error
}

const (
	modeDirectory = 0o040755
	modeProgram   = 0o100755
	modeDevice    = 0o020600
	trailer       = "TRAILER!!!"
)

func (a *archive) directory(name string)                { a.entry(name, modeDirectory, 0, 0, nil) }
func (a *archive) program(name string, data []byte)     { a.entry(name, modeProgram, 0, 0, data) }
func (a *archive) device(name string, major, minor int) { a.entry(name, modeDevice, major, minor, nil) }

// close ends the archive.
func (a *archive) close() error {
	a.entry(trailer, 0, 0, 0, nil)
	return a.err
}

func (a *archive) entry(name string, mode, major, minor int, data []byte) {
	if a.err != nil {
		return
	}
	a.inodes++
	// Magic, inode, mode, owner, group, links, time, size, device, device that it is, length of the name, checksum.
	header := fmt.Sprintf("070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
		a.inodes, mode, 0, 0, 1, 0, len(data), 0, 0, major, minor, len(name)+1, 0)
	head := header + name + "\x00"
	_, a.err = io.WriteString(a.w, head+padding(len(head)))
	if a.err == nil {
		_, a.err = a.w.Write(data)
	}
	if a.err == nil {
		_, a.err = io.WriteString(a.w, padding(len(data)))
	}
}

// padding fills up to a multiple of four.
func padding(n int) string { return "\x00\x00\x00"[:(4-n%4)%4] }
