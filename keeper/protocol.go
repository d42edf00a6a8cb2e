package keeper

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// The protocol between the engine and its keeper.
//
// They share one stream socket, which the engine inherits as descriptor
// [ControlFD]. Both send frames: four bytes of length, big-endian, then that
// many bytes of JSON. The engine sends requests; each has an id and gets
// exactly one reply with that id. Requests may be pipelined and are begun in
// the order in which they were sent; all but drain are carried out at once. Descriptors travel as SCM_RIGHTS
// beside the four bytes of length of the frame that they belong to.
//
//	op      carries            reply
//	listen  port               bound: what is listened on; or portError
//	route   key, route
//	drain   key, patience      busy: when nothing is under way any more, or patience is over
//	close   key
//	ports                      ports
//	keep    key, descriptors
//	take    key                descriptors: copies, the keeper keeps its own
//	drop    key
//	kept                       keys
//	status                     status
//	quit                       the keeper leaves once the engine has exited
//	reexec                     the next exit of the engine is an upgrade
//
// The end of the stream means to the keeper that the engine has died, and to
// the engine that it is no longer kept and must leave.
const (
	opListen = "listen"
	opRoute  = "route"
	opDrain  = "drain"
	opClose  = "close"
	opPorts  = "ports"
	opKeep   = "keep"
	opTake   = "take"
	opDrop   = "drop"
	opKept   = "kept"
	opStatus = "status"
	opQuit   = "quit"
	opReexec = "reexec"
)

// Descriptors that the engine inherits from its keeper.
const (
	// APIFD is the listening API socket.
	APIFD = 3
	// ControlFD is the engine's end of the control connection.
	ControlFD = 4
)

const (
	maxFrame = 8 << 20
	// maxFiles is the kernel's limit (SCM_MAX_FD) for one message.
	maxFiles = 253
)

type request struct {
	ID    uint64 `json:"id"`
	Op    string `json:"op"`
	Key   string `json:"key,omitempty"`
	Port  *Port  `json:"port,omitempty"`
	Route *Route `json:"route,omitempty"`
	// Patience is that of a drain.
	Patience Patience `json:"patience,omitzero"`
}

type reply struct {
	ID        uint64      `json:"id"`
	Error     string      `json:"error,omitempty"`
	PortError *PortError  `json:"portError,omitempty"`
	Bound     string      `json:"bound,omitempty"`
	Ports     []PortState `json:"ports,omitempty"`
	Keys      []string    `json:"keys,omitempty"`
	Status    *Status     `json:"status,omitempty"`
	Busy      int         `json:"busy,omitempty"`
}

func (r *reply) err() error {
	if r.PortError != nil {
		return r.PortError
	}
	if r.Error != "" {
		return errors.New(r.Error)
	}
	return nil
}

func (r *reply) fail(err error) {
	if pe, ok := errors.AsType[*PortError](err); ok {
		r.PortError = pe
		return
	}
	r.Error = err.Error()
}

// writeFrame sends one message with its descriptors. The caller serializes.
func writeFrame(c *net.UnixConn, msg any, files []*os.File) error {
	body, err := json.Marshal(msg)
	if err != nil {
		return fmt.Errorf("internal error: keeper message: %w", err)
	}
	if len(body) > maxFrame || len(files) > maxFiles {
		return fmt.Errorf("message to the keeper is too large: %d bytes, %d descriptors", len(body), len(files))
	}
	var oob []byte
	if len(files) > 0 {
		fds, release, err := rawFDs(files)
		defer release()
		if err != nil {
			return err
		}
		oob = unix.UnixRights(fds...)
	}
	head := binary.BigEndian.AppendUint32(make([]byte, 0, 4), uint32(len(body)))
	if oob == nil {
		_, err = c.Write(append(head, body...))
		return err
	}
	if _, _, err := c.WriteMsgUnix(head, oob, nil); err != nil {
		return err
	}
	_, err = c.Write(body)
	return err
}

// rawFDs duplicates the files' descriptors, which keeps them valid until
// release and leaves their blocking mode as it is (File.Fd would change it).
func rawFDs(files []*os.File) (fds []int, release func(), err error) {
	release = func() {
		for _, fd := range fds {
			unix.Close(fd)
		}
	}
	for _, f := range files {
		fd, err := dupFD(f)
		if err != nil {
			return fds, release, fmt.Errorf("cannot pass %s on: %w", f.Name(), err)
		}
		fds = append(fds, fd)
	}
	return fds, release, nil
}

func dupFD(f syscall.Conn) (int, error) {
	rc, err := f.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, dupErr := -1, error(nil)
	if err := rc.Control(func(raw uintptr) {
		fd, dupErr = unix.FcntlInt(raw, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, err
	}
	return fd, dupErr
}

// readFrame receives one message into msg, with its descriptors.
func readFrame(c *net.UnixConn, msg any) ([]*os.File, error) {
	head := make([]byte, 4)
	oob := make([]byte, unix.CmsgSpace(4*maxFiles))
	n, oobn, flags, _, err := c.ReadMsgUnix(head, oob)
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, io.EOF
	}
	files, err := parseRights(oob[:oobn])
	if err != nil {
		return nil, err
	}
	if flags&unix.MSG_CTRUNC != 0 {
		closeFiles(files)
		return nil, errors.New("descriptors were lost on the way: the limit of open files is reached")
	}
	if err := readBody(c, head, n, msg); err != nil {
		closeFiles(files)
		return nil, err
	}
	return files, nil
}

func readBody(c *net.UnixConn, head []byte, n int, msg any) error {
	if _, err := io.ReadFull(c, head[n:]); err != nil {
		return err
	}
	size := binary.BigEndian.Uint32(head)
	if size > maxFrame {
		return fmt.Errorf("frame of %d bytes on the control connection", size)
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(c, body); err != nil {
		return err
	}
	return json.Unmarshal(body, msg)
}

func parseRights(oob []byte) ([]*os.File, error) {
	if len(oob) == 0 {
		return nil, nil
	}
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "kept"))
		}
	}
	return files, nil
}

func closeFiles(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
