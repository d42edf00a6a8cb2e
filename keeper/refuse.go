package keeper

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// An engine that can't start is not started again and again while its callers
// wait: once it has failed twice in a row, they are told why, and the next try is
// made for the next caller, who hears of that one.

const (
	// fewFailures is how often in a row an engine may fail before its callers
	// are told.
	fewFailures = 2
	// longestPause is the longest time between two tries that nobody asked for.
	longestPause = time.Minute
	// soundLife is the life of an engine after which its end counts as no failure
	// to start.
	soundLife = 10 * time.Second
	// refusalTime bounds what one caller may take to hear.
	refusalTime = 5 * time.Second
	// mostCallers are told at a time; the others hear of the next try.
	mostCallers = 256
	// longestReason bounds what a caller is told, in bytes.
	longestReason = 2 << 10
)

// failures counts how often in a row engines ended by themselves.
type failures struct{ count int }

// note notes how an engine ended and says whether callers are to be told. One
// that was killed by a signal did not fail.
func (f *failures) note(err error, lived time.Duration) bool {
	if err == nil || lived >= soundLife || isKilled(err) {
		f.count = 0
		return false
	}
	f.count++
	return f.count >= fewFailures
}

func isKilled(err error) bool {
	ee, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return false
	}
	ws, ok := ee.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled()
}

// pause is the time to the next try that nobody asks for.
func (f *failures) pause() time.Duration {
	return min(time.Second<<min(f.count, 10), longestPause)
}

// reasonIn finds in what an engine wrote why it ended.
func reasonIn(text string, err error) string {
	reason := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if said, ok := strings.CutPrefix(line, "orlop-engine: "); ok {
			reason = said
		} else if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			reason = "internal error: " + line
			break
		}
	}
	if reason == "" {
		reason = exitText(err)
	}
	return reason[:min(len(reason), longestReason)]
}

// refuse tells all callers that wait that the engine can't start, and why. It
// returns when there is a new one, or the pause is over, or ctx ends.
func refuse(ctx context.Context, api *os.File, reason string, pause time.Duration) error {
	rc, err := api.SyscallConn()
	if err != nil {
		return err
	}
	callers, err := acceptWaiting(ctx, rc)
	var told sync.WaitGroup
	defer told.Wait()
	for _, c := range callers {
		told.Go(func() {
			defer c.Close()
			_ = tellCaller(c, reason) // it may be gone
		})
	}
	if err != nil {
		return err
	}
	_, err = awaitCaller(ctx, rc, pause)
	return err
}

// acceptWaiting accepts the callers that wait, all of them before one is told: whoever
// has heard why may have mended it, and calls for another try.
func acceptWaiting(ctx context.Context, rc syscall.RawConn) ([]net.Conn, error) {
	var callers []net.Conn
	for len(callers) < mostCallers {
		ready, err := awaitCaller(ctx, rc, 0)
		if err != nil || !ready {
			break
		}
		c, err := acceptCaller(rc)
		if err != nil {
			return callers, err
		}
		callers = append(callers, c)
	}
	return callers, nil
}

// awaitCaller waits until a caller waits to be accepted.
func awaitCaller(ctx context.Context, rc syscall.RawConn, limit time.Duration) (ready bool, err error) {
	wake, theirs, err := os.Pipe()
	if err != nil {
		return false, err
	}
	defer wake.Close()
	stop := context.AfterFunc(ctx, func() { theirs.Close() })
	defer func() {
		if stop() {
			theirs.Close()
		}
	}()
	wakeFD, err := dupFD(wake)
	if err != nil {
		return false, err
	}
	defer unix.Close(wakeFD)
	end := time.Now().Add(limit)
	cerr := rc.Control(func(fd uintptr) {
		for {
			fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(wakeFD), Events: unix.POLLIN}}
			_, err = unix.Poll(fds, int(max(0, time.Until(end).Milliseconds())))
			if !errors.Is(err, unix.EINTR) {
				ready = err == nil && fds[0].Revents&unix.POLLIN != 0
				return
			}
		}
	})
	return ready, errors.Join(cerr, err)
}

// acceptCaller accepts a caller that waits.
func acceptCaller(rc syscall.RawConn) (net.Conn, error) {
	fd, err := -1, error(nil)
	if cerr := rc.Control(func(listener uintptr) {
		fd, _, err = unix.Accept4(int(listener), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
	}); cerr != nil {
		return nil, cerr
	}
	if err != nil {
		return nil, fmt.Errorf("cannot accept a caller: %w", err)
	}
	f := os.NewFile(uintptr(fd), "caller")
	defer f.Close()
	return net.FileConn(f)
}

// What is needed of HTTP/2 (RFC 9113) to answer a call of gRPC with its status.
const (
	http2Preface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	frameHeaders  = 0x1
	frameSettings = 0x4
	flagAck       = 0x1
	flagsWhole    = 0x1 | 0x4 // END_STREAM, END_HEADERS
	largestFrame  = 1 << 20
	// cannotStart is the code of the answer, which package api reads (gRPC's
	// DATA_LOSS: no engine gives it).
	cannotStart = "15"
)

// tellCaller answers the first call of a client of gRPC, whatever it is, with
// an error.
func tellCaller(c net.Conn, reason string) error {
	if err := c.SetDeadline(time.Now().Add(refusalTime)); err != nil {
		return err
	}
	if err := writeHTTP2(c, frameSettings, 0, 0, nil); err != nil {
		return err
	}
	preface := make([]byte, len(http2Preface))
	if _, err := io.ReadFull(c, preface); err != nil || string(preface) != http2Preface {
		return errors.Join(err, errors.New("the caller does not speak HTTP/2"))
	}
	for {
		head := make([]byte, 9)
		if _, err := io.ReadFull(c, head); err != nil {
			return err
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if size > largestFrame {
			return errors.New("the caller sends a frame that is too large")
		}
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			return err
		}
		switch kind, flags := head[3], head[4]; {
		case kind == frameSettings && flags&flagAck == 0:
			if err := writeHTTP2(c, frameSettings, flagAck, 0, nil); err != nil {
				return err
			}
		case kind == frameHeaders:
			if err := writeHTTP2(c, frameHeaders, flagsWhole, binary.BigEndian.Uint32(head[5:]), refusal(reason)); err != nil {
				return err
			}
			_, err := io.Copy(io.Discard, c) // until it has heard, and leaves
			return err
		}
	}
}

func writeHTTP2(w io.Writer, kind, flags byte, stream uint32, body []byte) error {
	frame := []byte{byte(len(body) >> 16), byte(len(body) >> 8), byte(len(body)), kind, flags}
	_, err := w.Write(append(binary.BigEndian.AppendUint32(frame, stream), body...))
	return err
}

// refusal are the header fields (RFC 7541, literals that are not indexed) of an
// answer of gRPC that is its status alone.
func refusal(reason string) []byte {
	block := []byte{0x88} // ":status: 200" of the static table
	for _, field := range [][2]string{{"content-type", "application/grpc"}, {"grpc-status", cannotStart}, {"grpc-message", percentEncoded(reason)}} {
		block = append(block, 0)
		for _, text := range field {
			block = append(appendLength(block, len(text)), text...)
		}
	}
	return block
}

// appendLength appends a number with a prefix of seven bits (RFC 7541, 5.1).
func appendLength(b []byte, n int) []byte {
	const full = 1<<7 - 1
	if n < full {
		return append(b, byte(n))
	}
	b = append(b, full)
	for n -= full; n >= 1<<7; n >>= 7 {
		b = append(b, byte(n)|1<<7)
	}
	return append(b, byte(n))
}

// percentEncoded is a text as gRPC has it in a header field.
func percentEncoded(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '%' {
			fmt.Fprintf(&b, "%%%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}
