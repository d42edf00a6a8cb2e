package sctp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

var native = binary.NativeEndian

// Conn is an association.
type Conn struct{ socket }

func newConn(fd int) (*Conn, error) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, largest) // the kernel refuses a message that is larger than it
	s, err := wait(fd, "sctp-association")
	return &Conn{s}, err
}

// Message is one message of an association.
type Message struct {
	Content  []byte
	Stream   uint16
	Protocol uint32 // the payload protocol identifier, as it is on the wire
	Rushes   bool   // it need not wait for those before it on its stream
}

const (
	chunk       = 64 << 10 // that is read at once
	largest     = 4 << 20  // message
	unordered   = 1        // SCTP_UNORDERED
	lenSendInfo = 16       // struct sctp_sndinfo
	lenRecvInfo = 28       // struct sctp_rcvinfo
)

// Read waits for the next message. The end of the association is io.EOF.
func (c *Conn) Read() (m Message, err error) {
	for isWhole := false; !isWhole; {
		var flags, n int
		part, info := make([]byte, chunk), make([]byte, unix.CmsgSpace(lenRecvInfo))
		var length int
		var failure error
		err := c.raw.Read(func(fd uintptr) bool {
			n, length, flags, _, failure = unix.Recvmsg(int(fd), part, info, 0)
			return !isBusy(failure)
		})
		switch {
		case err != nil:
			return m, err
		case failure != nil:
			return m, os.NewSyscallError("recvmsg", failure)
		case n == 0:
			return m, io.EOF
		case len(m.Content)+n > largest:
			return m, fmt.Errorf("a message is longer than %d bytes", largest)
		}
		if err := m.learn(info[:length]); err != nil {
			return m, err
		}
		m.Content = append(m.Content, part[:n]...)
		isWhole = flags&unix.MSG_EOR != 0
	}
	return m, nil
}

// learn reads what the kernel says of a message beside its content: struct sctp_rcvinfo.
func (m *Message) learn(info []byte) error {
	all, err := unix.ParseSocketControlMessage(info)
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Header.Level == unix.IPPROTO_SCTP && c.Header.Type == cmsgRecvInfo && len(c.Data) >= 12 {
			m.Stream, m.Rushes = native.Uint16(c.Data), native.Uint16(c.Data[4:])&unordered != 0
			m.Protocol = native.Uint32(c.Data[8:])
		}
	}
	return nil
}

// Write sends a message, once there is room for all of it.
func (c *Conn) Write(m Message) error {
	info := m.sendInfo()
	var failure error
	err := c.raw.Write(func(fd uintptr) bool {
		_, failure = unix.SendmsgN(int(fd), m.Content, info, nil, unix.MSG_NOSIGNAL)
		return !isBusy(failure)
	})
	if err == nil {
		err = os.NewSyscallError("sendmsg", failure)
	}
	return err
}

// sendInfo is struct sctp_sndinfo of a message, as ancillary data: stream, flags, protocol, two
// numbers that say nothing here.
func (m Message) sendInfo() []byte {
	b := make([]byte, unix.CmsgSpace(lenSendInfo))
	head := header(b)
	head.Level, head.Type = unix.IPPROTO_SCTP, cmsgSendInfo
	head.SetLen(unix.CmsgLen(lenSendInfo))
	data := b[unix.CmsgLen(0):]
	native.PutUint16(data, m.Stream)
	if m.Rushes {
		native.PutUint16(data[2:], unordered)
	}
	native.PutUint32(data[4:], m.Protocol)
	return b
}

func header(b []byte) *unix.Cmsghdr { return (*unix.Cmsghdr)(unsafe.Pointer(&b[0])) }

// Close ends the association once what was sent has arrived.
func (c *Conn) Close() error { return c.file.Close() }

// End tells the other side that nothing more comes. It ends the association, for SCTP has none
// that is open in one direction; what comes meanwhile can be read.
func (c *Conn) End() error {
	var failure error
	err := c.raw.Control(func(fd uintptr) { failure = unix.Shutdown(int(fd), unix.SHUT_WR) })
	return errors.Join(err, failure)
}

// Abort ends the association at once.
func (c *Conn) Abort() {
	// On one that has ended both fail, and nothing is left to do.
	_ = c.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptLinger(int(fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	})
	_ = c.file.Close()
}

// Pass passes messages on until one of the associations ends; then so does the other.
func Pass(to, from *Conn) {
	for {
		m, err := from.Read()
		if err == nil {
			err = to.Write(m)
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.End() // one that has ended already is no error
			return
		case err != nil:
			to.Abort()
			from.Abort()
			return
		}
	}
}
