// Package lent takes descriptors of the processes that are connected to the engine's socket,
// so that the content of files need not go through it. A caller lends what it has itself, and
// nobody else's: the process is the one that the kernel names of the connection. What can't be
// taken is no mistake: then the content comes by the connection.
package lent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
	"google.golang.org/grpc/peer"

	"github.com/orlop/orlop/api"
)

// Listener has the connections that it accepts known to Take.
func Listener(l net.Listener) net.Listener { return &listener{l} }

type listener struct{ net.Listener }

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if unixConn, is := c.(*net.UnixConn); is && err == nil {
		return &conn{unixConn}, nil
	}
	return c, err
}

type conn struct{ *net.UnixConn }

func (c *conn) RemoteAddr() net.Addr { return &addr{c.UnixConn.RemoteAddr(), c.UnixConn} }

// addr is the address of a caller, by which a call knows its connection.
type addr struct {
	net.Addr
	conn *net.UnixConn
}

// Use is what is done with a file that is taken.
type Use int

// The uses.
const (
	Read  Use = iota
	Write     // it must be empty
)

// Take takes a plain file that the caller of a call has open for what is to be done with it.
func Take(ctx context.Context, l *api.Lent, use Use) (*os.File, error) {
	p, _ := peer.FromContext(ctx)
	if p == nil {
		return nil, errors.New("the call comes by no connection")
	}
	of, is := p.Addr.(*addr)
	if !is {
		return nil, errors.New("the caller is not connected by a socket of this machine")
	}
	process, err := processOf(of.conn)
	if err != nil {
		return nil, fmt.Errorf("the caller's process: %w", err)
	}
	defer unix.Close(process)
	fd, err := unix.PidfdGetfd(process, int(l.GetNumber()), 0)
	if err != nil {
		return nil, fmt.Errorf("its descriptor %d: %w", l.GetNumber(), err)
	}
	if err := check(fd, l, use); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), ""), nil
}

// processOf is a descriptor of the process that has made a connection.
func processOf(c *net.UnixConn) (fd int, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, err
	}
	var failed error
	err = raw.Control(func(socket uintptr) {
		if fd, failed = unix.GetsockoptInt(int(socket), unix.SOL_SOCKET, unix.SO_PEERPIDFD); !errors.Is(failed, unix.ENOPROTOOPT) {
			return
		}
		cred, err := unix.GetsockoptUcred(int(socket), unix.SOL_SOCKET, unix.SO_PEERCRED) // before Linux 6.5
		if failed = err; err == nil {
			fd, failed = unix.PidfdOpen(int(cred.Pid), 0)
		}
	})
	return fd, errors.Join(err, failed)
}

// check is an error where a descriptor is not what was said, or may not be used so.
func check(fd int, l *api.Lent, use Use) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	mode := flags & (unix.O_ACCMODE | unix.O_PATH)
	switch {
	case st.Dev != l.GetDevice() || st.Ino != l.GetInode():
		return errors.New("it is another file than was said")
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		return errors.New("it is no plain file")
	case use == Read && mode != unix.O_RDONLY && mode != unix.O_RDWR:
		return errors.New("it is not open for reading")
	case use == Write && (mode != unix.O_WRONLY && mode != unix.O_RDWR || flags&unix.O_APPEND != 0 || st.Size != 0):
		return errors.New("it is not open for writing from its beginning on")
	}
	return nil
}
