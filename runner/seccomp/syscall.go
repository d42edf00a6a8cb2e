package seccomp

import (
	"errors"
	"slices"
	"strings"
	"sync"
)

// ScmpSyscall is the number of a system call on an architecture, or a negative
// one that stands for a system call which the architecture has not, or has
// within another (socketcall, ipc).
type ScmpSyscall int32

// ErrSyscallDoesNotExist is of a name that no architecture has.
var ErrSyscallDoesNotExist = errors.New("no architecture has a system call of this name")

// entry is a system call: its number on each architecture, -1 where it has none.
type entry struct {
	name   string
	number [columns]int32
}

// absent is the number of a system call that an architecture lacks, less its place in the table.
const absent = -10000

// GetSyscallFromName is the number of a system call on this program's architecture.
func GetSyscallFromName(name string) (ScmpSyscall, error) {
	native, err := GetNativeArch()
	if err != nil {
		return 0, err
	}
	return GetSyscallFromNameByArch(name, native)
}

// GetSyscallFromNameByArch is the number of a system call on an architecture.
func GetSyscallFromNameByArch(name string, arch ScmpArch) (ScmpSyscall, error) {
	if arch == ArchNative {
		return GetSyscallFromName(name)
	}
	m, known := machineOf(arch)
	at, found := slices.BinarySearchFunc(table[:], name, func(e entry, name string) int { return strings.Compare(e.name, name) })
	switch {
	case !known || !found:
		return 0, ErrSyscallDoesNotExist
	case table[at].number[m.column] < 0:
		return ScmpSyscall(absent - at), nil
	}
	if _, within := subcallOf(m, name); within {
		return ScmpSyscall(absent - at), nil
	}
	return ScmpSyscall(table[at].number[m.column]), nil
}

// byNumber finds the system calls of this program's architecture by their numbers.
var byNumber = sync.OnceValue(func() map[ScmpSyscall]int {
	found := map[ScmpSyscall]int{}
	native, err := GetNativeArch()
	if err != nil {
		return found
	}
	m, _ := machineOf(native)
	for i, e := range table {
		if n := e.number[m.column]; n >= 0 {
			found[ScmpSyscall(n)] = i
		}
	}
	return found
})

// entryOf is the place in the table of a system call that has this number on
// this program's architecture.
func entryOf(call ScmpSyscall) (int, bool) {
	if call <= absent && int(absent-call) < len(table) {
		return int(absent - call), true
	}
	at, ok := byNumber()[call]
	return at, ok
}

// subcall is a system call that is also made through another one, with its own
// number as the first argument.
type subcall struct {
	name   string
	call   int32
	number uint64
}

// subcalls are those of 32-bit x86: linux/net.h and linux/ipc.h.
var subcalls = [...]subcall{
	{"socket", socketcall, 1}, {"bind", socketcall, 2}, {"connect", socketcall, 3}, {"listen", socketcall, 4},
	{"accept", socketcall, 5}, {"getsockname", socketcall, 6}, {"getpeername", socketcall, 7}, {"socketpair", socketcall, 8},
	{"send", socketcall, 9}, {"recv", socketcall, 10}, {"sendto", socketcall, 11}, {"recvfrom", socketcall, 12},
	{"shutdown", socketcall, 13}, {"setsockopt", socketcall, 14}, {"getsockopt", socketcall, 15}, {"sendmsg", socketcall, 16},
	{"recvmsg", socketcall, 17}, {"accept4", socketcall, 18}, {"recvmmsg", socketcall, 19}, {"sendmmsg", socketcall, 20},
	{"semop", ipc, 1}, {"semget", ipc, 2}, {"semctl", ipc, 3}, {"semtimedop", ipc, 4},
	{"msgsnd", ipc, 11}, {"msgrcv", ipc, 12}, {"msgget", ipc, 13}, {"msgctl", ipc, 14},
	{"shmat", ipc, 21}, {"shmdt", ipc, 22}, {"shmget", ipc, 23}, {"shmctl", ipc, 24},
}

const (
	socketcall = 102
	ipc        = 117
)

func subcallOf(m machine, name string) (subcall, bool) {
	if m.arch != ArchX86 {
		return subcall{}, false
	}
	for _, s := range subcalls {
		if s.name == name {
			return s, true
		}
	}
	return subcall{}, false
}
