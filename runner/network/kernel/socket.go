package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a subscription of netlink that several may read: what was told is taken in
// by whoever comes first, and was taken in when another has come through.
type socket struct {
	file *os.File
	deaf error // it hears of what happens here alone

	mu     sync.Mutex // held while messages are taken from it and are dealt with
	buffer []byte     // guarded by mu
	failed error      // guarded by mu: some were lost
}

// concerns says of a message of netlink whether it is of interest.
type concerns func(in Namespace, header syscall.NlMsghdr, data []byte) bool

// mostTold is the longest that the kernel sends at once.
const mostTold = 64 << 10

// subscribe joins groups of a netlink protocol.
func subscribe(protocol int, groups ...int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "netlink")
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	for _, group := range groups {
		if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_ADD_MEMBERSHIP, group); err != nil {
			return nil, errors.Join(err, file.Close())
		}
	}
	s := &socket{file: file, buffer: make([]byte, mostTold)}
	if err := unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_LISTEN_ALL_NSID, 1); err != nil {
		s.deaf = fmt.Errorf("cannot hear of other network namespaces: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 1<<20) // else it is overrun sooner
	return s, nil
}

// hear takes in what there is, and fails where that may not be all.
func (s *socket) hear(of concerns, changed func()) error {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = s.takeAll(int(fd), of, changed) })
	return errors.Join(err, failed, s.deaf)
}

// listen takes in what comes, until the socket is closed or has failed.
func (s *socket) listen(of concerns, changed func()) {
	raw, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool { return s.takeAll(int(fd), of, changed) != nil })
}

// takeAll deals with messages until there are none. An error stays: who has not heard
// all hears no more.
func (s *socket) takeAll(fd int, of concerns, changed func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	control := make([]byte, unix.CmsgSpace(4))
	for s.failed == nil {
		n, c, _, _, err := unix.Recvmsg(fd, s.buffer, control, 0)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return nil
		case err != nil: // ENOBUFS: the kernel has left some out
			s.failed = err
			return err
		}
		messages, err := syscall.ParseNetlinkMessage(s.buffer[:n])
		if err != nil {
			s.failed = err
			return err
		}
		in := namespaceOf(control[:c])
		for _, m := range messages {
			if of(in, m.Header, m.Data) {
				changed()
			}
		}
	}
	return s.failed
}

// namespaceOf is where a message comes from, which the kernel says of all but those
// from here.
func namespaceOf(control []byte) Namespace {
	all, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return Here
	}
	for _, c := range all {
		if c.Header.Level == unix.SOL_NETLINK && c.Header.Type == unix.NETLINK_LISTEN_ALL_NSID && len(c.Data) >= 4 {
			return Namespace(binary.NativeEndian.Uint32(c.Data))
		}
	}
	return Here
}
