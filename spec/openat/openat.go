// Package openat opens files below a directory by openat2(2).
package openat

import (
	"errors"

	"golang.org/x/sys/unix"
)

// mostTries is how often the kernel is asked again. What comes in between are single calls of others, each of which takes
// longer than a try.
const mostTries = 1000

// Open is openat2(2). Where a path is to stay below a directory and leads upwards on its way, the kernel gives
// up with EAGAIN when anything on the machine was renamed or mounted meanwhile, and wants to be asked again.
func Open(dir int, path string, how *unix.OpenHow) (fd int, err error) {
	for range mostTries {
		fd, err = unix.Openat2(dir, path, how)
		if !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EINTR) {
			break
		}
	}
	return fd, err
}
