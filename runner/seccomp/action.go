package seccomp

import "fmt"

// ScmpAction is what becomes of a system call: one of the actions below in its
// lower half, and for [ActErrno] and [ActTrace] a code in its upper half.
type ScmpAction uint

// The actions of seccomp(2).
const (
	ActInvalid ScmpAction = iota
	ActKillThread
	ActTrap
	ActNotify
	ActErrno
	ActTrace
	ActAllow
	ActLog
	ActKillProcess
	ActKill = ActKillThread
)

const actionMask = 0xffff

// SetReturnCode is the action with this error number, or number for the tracer.
// Actions that have none stay as they are.
func (a ScmpAction) SetReturnCode(code int16) ScmpAction {
	switch kind := a & actionMask; kind {
	case ActErrno, ActTrace:
		return kind | ScmpAction(uint16(code))<<16
	default:
		return a
	}
}

// verdict is what a filter returns to the kernel: SECCOMP_RET_* of linux/seccomp.h.
type verdict uint32

const (
	killProcess verdict = 0x80000000
	killThread  verdict = 0x00000000
	trap        verdict = 0x00030000
	errno       verdict = 0x00050000
	notify      verdict = 0x7fc00000
	trace       verdict = 0x7ff00000
	logged      verdict = 0x7ffc0000
	allow       verdict = 0x7fff0000
)

// maxErrno is the kernel's: no error has this number, or one beyond it.
const maxErrno = 4095

func (a ScmpAction) verdict() (verdict, error) {
	code := verdict(a>>16) & 0xffff
	switch a & actionMask {
	case ActKillThread:
		return killThread, nil
	case ActTrap:
		return trap, nil
	case ActNotify:
		return notify, nil
	case ActErrno:
		if code >= maxErrno {
			return 0, fmt.Errorf("a system call can't fail with the number %d", code)
		}
		return errno | code, nil
	case ActTrace:
		return trace | code, nil
	case ActAllow:
		return allow, nil
	case ActLog:
		return logged, nil
	case ActKillProcess:
		return killProcess, nil
	default:
		return 0, fmt.Errorf("unknown seccomp action %#x", uint(a))
	}
}
