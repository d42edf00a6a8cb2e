package keeper

import (
	"context"
	"net"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzFrame holds that no bytes on the control connection panic, take more memory
// than a frame may have, or leave a descriptor behind. What listens is left out:
// it would take ports of the machine.
func FuzzFrame(f *testing.F) {
	for _, body := range []string{`{"op":"ports","id":1}`, `{"op":"route","key":"x","route":{}}`, `{"op":"keep","key":"k"}`, `{"op":"take","key":"k"}`, `{`, `{"op":"status"}`, `null`} {
		f.Add(append([]byte{0, 0, 0, byte(len(body))}, body...))
	}
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0x80, 0, 0, '{'})
	f.Fuzz(func(t *testing.T, data []byte) {
		ours, theirs := pair(t)
		defer ours.Close()
		if len(data) > 1<<16 {
			t.Skip() // more than the socket takes without a reader
		}
		if _, err := theirs.Write(data); err != nil {
			t.Fatal(err)
		}
		theirs.Close()
		h := InProcess()
		defer h.Release()
		for {
			var req request
			files, err := readFrame(ours, &req)
			if err != nil {
				return
			}
			if req.Op == opListen || req.Op == opDrain {
				closeFiles(files)
				continue
			}
			_, lent := handle(context.Background(), h, Wishes{}, req, files)
			closeFiles(files)
			closeFiles(lent)
		}
	})
}

func pair(t *testing.T) (*net.UnixConn, *net.UnixConn) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var conns [2]*net.UnixConn
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "pair")
		c, err := net.FileConn(file)
		file.Close()
		if err != nil {
			t.Fatal(err)
		}
		conns[i] = c.(*net.UnixConn)
	}
	return conns[0], conns[1]
}
