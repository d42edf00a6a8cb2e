package e2e

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// filterOfContainer: filter CONTAINER CALL=VERDICT... asks the seccomp filter that the kernel has
// of a container's first process what becomes of system calls without arguments: a number of x86-64,
// or one of another architecture (x86:20, x32:39). A verdict is allow, kill or errno and its number.
func filterOfContainer(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, args, 2, -1, "filter CONTAINER CALL=VERDICT...")
	ts.Check(ts.Exec("orlop", "container", "inspect", args[0]))
	var found []struct{ State struct{ Pid int } }
	ts.Check(json.Unmarshal([]byte(ts.ReadFile("stdout")), &found))
	filter, err := filterOf(found[0].State.Pid)
	ts.Check(err)
	for _, arg := range args[1:] {
		call, want, _ := strings.Cut(arg, "=")
		got, err := filter.verdict(call)
		ts.Check(err)
		if got != want {
			ts.Fatalf("%s is %s, want %s", call, got, want)
		}
	}
}

// filter is a program as the kernel has it.
type filter []unix.SockFilter

// filterOf reads the only filter of a process.
func filterOf(pid int) (f filter, err error) {
	runtime.LockOSThread() // whom the kernel takes for the tracer
	defer runtime.UnlockOSThread()
	if err := unix.PtraceSeize(pid); err != nil {
		return nil, fmt.Errorf("cannot trace process %d: %w", pid, err)
	}
	defer func() { _ = unix.PtraceDetach(pid) }()
	if err := unix.PtraceInterrupt(pid); err != nil {
		return nil, err
	}
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		return nil, err
	}
	f = make(filter, 4096)
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0, uintptr(unsafe.Pointer(&f[0])), 0, 0)
	if errno != 0 {
		return nil, fmt.Errorf("cannot read the filter of process %d: %w", pid, errno)
	}
	return f[:n], nil
}

// verdict runs the filter for a call without arguments.
func (f filter) verdict(call string) (string, error) {
	arch, number, ok := strings.Cut(call, ":")
	if !ok {
		arch, number = "x86-64", call
	}
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return "", err
	}
	var data [64]byte // struct seccomp_data
	token := map[string]uint32{"x86-64": unix.AUDIT_ARCH_X86_64, "x32": unix.AUDIT_ARCH_X86_64, "x86": unix.AUDIT_ARCH_I386}[arch]
	if arch == "x32" {
		n |= 1 << 30
	}
	binary.NativeEndian.PutUint32(data[0:], uint32(n))
	binary.NativeEndian.PutUint32(data[4:], token)
	var a uint32
	for at := 0; at < len(f); at++ {
		in := f[at]
		var yes bool
		switch in.Code {
		case unix.BPF_LD | unix.BPF_W | unix.BPF_ABS:
			a = binary.NativeEndian.Uint32(data[in.K:])
			continue
		case unix.BPF_ALU | unix.BPF_AND | unix.BPF_K:
			a &= in.K
			continue
		case unix.BPF_JMP | unix.BPF_JA:
			at += int(in.K)
			continue
		case unix.BPF_RET | unix.BPF_K:
			switch in.K & unix.SECCOMP_RET_ACTION_FULL {
			case unix.SECCOMP_RET_ALLOW:
				return "allow", nil
			case unix.SECCOMP_RET_KILL_THREAD:
				return "kill", nil
			case unix.SECCOMP_RET_ERRNO:
				return fmt.Sprint("errno", in.K&unix.SECCOMP_RET_DATA), nil
			}
			return fmt.Sprintf("%#x", in.K), nil
		case unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K:
			yes = a == in.K
		case unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K:
			yes = a > in.K
		case unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K:
			yes = a >= in.K
		case unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K:
			yes = a&in.K != 0
		default:
			return "", fmt.Errorf("instruction %d is %#x", at, in.Code)
		}
		if yes {
			at += int(in.Jt)
		} else {
			at += int(in.Jf)
		}
	}
	return "", fmt.Errorf("the filter has no end")
}
