package seccomp

import (
	"sync"

	"golang.org/x/sys/unix"
)

// GetLibraryVersion is the version of libseccomp whose table of system calls and
// whose verdicts these are.
func GetLibraryVersion() (major, minor, micro uint) { return 2, 5, 4 }

// The levels of what a kernel can: seccomp_api_get(3).
const (
	levelFilter uint = 1 + iota
	levelThreadSync
	levelLog
	levelSpecAllow
	levelNotify
	levelThreadSyncNotify
	levelWaitKillable
)

// VersionError is of what this kernel can't.
type VersionError struct{ what string }

func (e *VersionError) Error() string { return "this kernel has no seccomp filters with " + e.what }

// GetAPI is the level of what this kernel can.
func GetAPI() (uint, error) { return level(), nil }

var level = sync.OnceValue(func() uint {
	can := levelFilter
	for _, next := range []struct {
		level uint
		flags uintptr
	}{
		{levelThreadSync, unix.SECCOMP_FILTER_FLAG_TSYNC},
		{levelLog, unix.SECCOMP_FILTER_FLAG_LOG},
		{levelSpecAllow, unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW},
		{levelNotify, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER},
		{levelThreadSyncNotify, unix.SECCOMP_FILTER_FLAG_TSYNC | unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_TSYNC_ESRCH},
		{levelWaitKillable, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
	} {
		// The kernel looks at the flags before it looks for the program, which is nowhere.
		_, _, err := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, next.flags, 0)
		if err != unix.EFAULT {
			break
		}
		can = next.level
	}
	return can
})
