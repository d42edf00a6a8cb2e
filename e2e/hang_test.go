package e2e

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// hang: hang begin DIR mounts a file system there of which nothing but its root can
// be looked at: whoever opens a file waits, and not even SIGKILL ends that (process
// state D), as with a server of NFS that is gone. hang end DIR lets them fail.
func hang(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, 2, "hang begin|end DIR")
	dir := ts.MkAbs(args[1])
	if args[0] == "end" {
		ts.Check(unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH))
		return
	}
	ts.Check(os.MkdirAll(dir, 0o755))
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	ts.Check(err)
	data := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	ts.Check(unix.Mount("orlop-test", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, data))
	var served sync.WaitGroup
	served.Go(func() { serveHang(fd) })
	ts.Defer(func() {
		_ = unix.Unmount(dir, unix.MNT_FORCE|unix.MNT_DETACH) // the script may have
		served.Wait()
		unix.Close(fd)
	})
}

// Operations of FUSE (include/uapi/linux/fuse.h of the kernel) that are answered.
const (
	fuseGetattr = 3
	fuseStatfs  = 17
	fuseInit    = 26
)

// serveHang answers what a mount asks for, and nothing else, until it is aborted.
func serveHang(fd int) {
	buf := make([]byte, 1<<17)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n < 40:
			return // it was aborted
		}
		var body []byte
		switch binary.NativeEndian.Uint32(buf[4:]) {
		case fuseInit:
			body = make([]byte, 64)
			binary.NativeEndian.PutUint32(body[0:], 7)
			binary.NativeEndian.PutUint32(body[4:], 31)
			binary.NativeEndian.PutUint32(body[20:], 4096)
		case fuseGetattr:
			body = make([]byte, 104)
			binary.NativeEndian.PutUint64(body[0:], 3600) // how long it is known
			binary.NativeEndian.PutUint64(body[16:], 1)   // inode
			binary.NativeEndian.PutUint32(body[76:], unix.S_IFDIR|0o755)
			binary.NativeEndian.PutUint32(body[80:], 2) // links
		case fuseStatfs:
			body = make([]byte, 80)
		default:
			continue
		}
		head := make([]byte, 16)
		binary.NativeEndian.PutUint32(head[0:], uint32(16+len(body)))
		copy(head[8:], buf[8:16])
		if _, err := unix.Write(fd, append(head, body...)); err != nil {
			return
		}
	}
}
