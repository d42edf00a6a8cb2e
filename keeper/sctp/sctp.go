// Package sctp is sockets of SCTP (RFC 9260) of one association each, as RFC 6458
// section 4 has them: listened on, connected, and their messages passed on. Package net
// knows none of it. What the messages say is not its business.
package sctp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options and ancillary data of the kernel (linux/sctp.h).
const (
	optInit       = 2  // SCTP_INITMSG
	optNoDelay    = 3  // SCTP_NODELAY
	optRecvInfo   = 32 // SCTP_RECVRCVINFO
	cmsgSendInfo  = 2  // SCTP_SNDINFO
	cmsgRecvInfo  = 3  // SCTP_RCVINFO
	streams       = 1024
	backlog       = 4096
	initAttempts  = 3 // of an association that nobody answers
	initTimeoutMS = 1000
)

// ErrMissing says that the kernel has no SCTP.
var ErrMissing = errors.New("this kernel has no SCTP: load the module sctp (modprobe sctp), and list it in /etc/modules-load.d/orlop.conf")

// Check is ErrMissing where the kernel has none.
func Check() error {
	fd, err := open(unix.AF_INET)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// open makes a socket. Go's runtime must not wait for it yet.
func open(family int) (int, error) {
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_SCTP)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.ESOCKTNOSUPPORT) {
		return -1, ErrMissing
	}
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	// struct sctp_initmsg: streams out, at most in, attempts, milliseconds.
	init := [4]uint16{streams, streams, initAttempts, initTimeoutMS}
	err = errors.Join(setOption(fd, optInit, init[:]), setFlag(fd, optNoDelay), setFlag(fd, optRecvInfo))
	if err != nil {
		unix.Close(fd)
		return -1, os.NewSyscallError("setsockopt", err)
	}
	return fd, nil
}

func setFlag(fd, option int) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_SCTP, option, 1)
}

func setOption(fd, option int, words []uint16) error {
	b := make([]byte, 0, 2*len(words))
	for _, w := range words {
		b = native.AppendUint16(b, w)
	}
	return unix.SetsockoptString(fd, unix.IPPROTO_SCTP, option, string(b))
}

func sockaddr(at netip.AddrPort) (family int, to unix.Sockaddr) {
	if addr := at.Addr().Unmap(); addr.Is4() {
		return unix.AF_INET, &unix.SockaddrInet4{Port: int(at.Port()), Addr: addr.As4()}
	}
	return unix.AF_INET6, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// socket is a descriptor that Go's runtime waits for.
type socket struct {
	file *os.File
	raw  syscall.RawConn
}

func wait(fd int, name string) (socket, error) {
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return socket{}, err
	}
	f := os.NewFile(uintptr(fd), name)
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
	}
	return socket{f, raw}, err
}

// Listener is a port that is listened on.
type Listener struct {
	socket
	bound netip.AddrPort
}

// Listen listens on an address; without one on all of the machine's, of both families.
// Port 0 is any that is free.
func Listen(addr netip.Addr, port uint16) (*Listener, error) {
	if addr.IsValid() {
		return listen(netip.AddrPortFrom(addr.Unmap(), port), 1)
	}
	l, err := listen(netip.AddrPortFrom(netip.IPv6Unspecified(), port), 0)
	if errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EADDRNOTAVAIL) { // the machine has no IPv6
		return listen(netip.AddrPortFrom(netip.IPv4Unspecified(), port), 0)
	}
	return l, err
}

func listen(at netip.AddrPort, ofOneFamily int) (*Listener, error) {
	family, sa := sockaddr(at)
	fd, err := open(family)
	if err != nil {
		return nil, err
	}
	if family == unix.AF_INET6 {
		err = unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, ofOneFamily)
	}
	// Associations that live on must not keep the port from being listened on again.
	err = errors.Join(err, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEADDR, 1))
	if err == nil {
		err = unix.Bind(fd, sa)
	}
	if err == nil {
		err = unix.Listen(fd, backlog)
	}
	if err == nil {
		sa, err = unix.Getsockname(fd)
	}
	if err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	s, err := wait(fd, "sctp-listener")
	return &Listener{s, addrPort(sa)}, err
}

// Bound is what is listened on.
func (l *Listener) Bound() netip.AddrPort { return l.bound }

// Close stops listening.
func (l *Listener) Close() error { return l.file.Close() }

// Accept waits for an association. Once the listener is closed it is net.ErrClosed.
func (l *Listener) Accept() (*Conn, error) {
	fd, failure := -1, error(nil)
	err := l.raw.Read(func(listening uintptr) bool {
		fd, _, failure = unix.Accept4(int(listening), unix.SOCK_CLOEXEC)
		return !isBusy(failure)
	})
	switch {
	case err != nil:
		return nil, net.ErrClosed
	case failure != nil:
		return nil, os.NewSyscallError("accept", failure)
	}
	return newConn(fd)
}

func isBusy(err error) bool { return errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) }

// dialing bounds the threads that wait for an association: nothing but a thread waits for
// one, and the program may have ten thousand.
var dialing = make(chan struct{}, 256)

// Dial makes an association with an address within a time.
func Dial(to netip.AddrPort, within time.Duration) (*Conn, error) {
	select {
	case dialing <- struct{}{}:
		defer func() { <-dialing }()
	case <-time.After(within):
		return nil, fmt.Errorf("cannot reach %s: too many others are being reached", to)
	}
	for end := time.Now().Add(within); ; {
		c, err := dial(to, max(time.Until(end), time.Millisecond))
		if !errors.Is(err, unix.EINTR) { // a signal, as of a child that has ended
			return c, err
		}
	}
}

func dial(to netip.AddrPort, within time.Duration) (*Conn, error) {
	family, sa := sockaddr(to)
	fd, err := open(family)
	if err != nil {
		return nil, err
	}
	// The kernel calls a socket writable that is still being connected, so it is waited for here.
	limit := unix.NsecToTimeval(within.Nanoseconds())
	err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit)
	if err == nil {
		err = unix.Connect(fd, sa)
	}
	if err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("cannot reach %s: %w", to, os.NewSyscallError("connect", err))
	}
	return newConn(fd)
}

// DialAny is Dial of the first of some addresses that answers.
func DialAny(order []netip.AddrPort, within time.Duration) (c *Conn, at netip.AddrPort, err error) {
	for _, at = range order {
		if c, err = Dial(at, within); err == nil {
			return c, at, nil
		}
	}
	return nil, netip.AddrPort{}, err
}
