package rootfs

import (
	"golang.org/x/sys/unix"

	"github.com/orlop/orlop/api/archive"
)

// Tree is the root for archives of its files. It is to be closed, and before the root is.
func (c *Root) Tree() (*archive.Tree, error) {
	fd, err := unix.FcntlInt(uintptr(c.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	t := archive.Root(fd)
	t.UID, t.GID, t.As, t.Gone = c.users.uid, c.users.gid, c.users.do, c.volatile
	return t, nil
}
