package machine

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// The protocol by which a machine reaches its disk (the NBD protocol, its
// fixed newstyle handshake and simple replies).
const (
	nbdMagic      = 0x4e42444d41474943 // "NBDMAGIC"
	optionMagic   = 0x49484156454f5054 // "IHAVEOPT"
	optionReply   = 0x3e889045565a9
	requestMagic  = 0x25609513
	simpleReply   = 0x67446698
	optionAbort   = 2
	optionGo      = 7
	replyAck      = 1
	replyInfo     = 3
	replyUnknown  = 1<<31 + 1
	canFlush      = 1 | 1<<2 // the flags are valid; flush
	commandRead   = 0
	commandWrite  = 1
	commandLeave  = 2
	commandFlush  = 3
	invalid       = 22 // EINVAL
	inputOutput   = 5  // EIO
	longestOption = 4096
	longestData   = 64 << 20
)

var order = binary.BigEndian

// serve answers one connection until it ends.
func (d *Disk) serve(c net.Conn) error {
	rw := bufio.NewReadWriter(bufio.NewReaderSize(c, 1<<20), bufio.NewWriterSize(c, 1<<20))
	if err := d.handshake(rw); err != nil {
		return err
	}
	for {
		if err := d.answer(rw); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
	}
}

func send(w *bufio.ReadWriter, values ...any) error {
	for _, v := range values {
		if err := binary.Write(w, order, v); err != nil {
			return err
		}
	}
	return w.Flush()
}

func (d *Disk) handshake(rw *bufio.ReadWriter) error {
	if err := send(rw, uint64(nbdMagic), uint64(optionMagic), uint16(3)); err != nil {
		return err
	}
	var flags uint32
	if err := binary.Read(rw, order, &flags); err != nil {
		return err
	}
	for {
		var option struct {
			Magic        uint64
			Kind, Length uint32
		}
		if err := binary.Read(rw, order, &option); err != nil {
			return err
		}
		if option.Magic != optionMagic || option.Length > longestOption {
			return errors.New("the machine sends no options of the NBD protocol")
		}
		if _, err := io.CopyN(io.Discard, rw, int64(option.Length)); err != nil {
			return err
		}
		switch option.Kind {
		case optionGo:
			info := []any{uint64(optionReply), option.Kind, uint32(replyInfo), uint32(12), uint16(0), uint64(d.size), uint16(canFlush)}
			return send(rw, append(info, uint64(optionReply), option.Kind, uint32(replyAck), uint32(0))...)
		case optionAbort:
			return io.EOF
		}
		if err := send(rw, uint64(optionReply), option.Kind, uint32(replyUnknown), uint32(0)); err != nil {
			return err
		}
	}
}

func (d *Disk) answer(rw *bufio.ReadWriter) error {
	var r struct {
		Magic         uint32
		Flags, Kind   uint16
		Handle, Place uint64
		Length        uint32
	}
	if err := binary.Read(rw, order, &r); err != nil {
		return err
	}
	if r.Magic != requestMagic || r.Length > longestData {
		return fmt.Errorf("the machine sends no request of the NBD protocol")
	}
	var data []byte
	var code uint32
	var err error
	switch r.Kind {
	case commandRead:
		data = make([]byte, r.Length)
		err = d.readAt(data, int64(r.Place))
	case commandWrite:
		content := make([]byte, r.Length)
		if _, err := io.ReadFull(rw, content); err != nil {
			return err
		}
		err = d.writeAt(content, int64(r.Place))
	case commandFlush:
		err = d.flush()
	case commandLeave:
		return io.EOF
	default:
		code = invalid
	}
	if err != nil {
		code, data = inputOutput, nil
	}
	return send(rw, uint32(simpleReply), code, r.Handle, data)
}
