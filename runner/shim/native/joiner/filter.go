//go:build cgo

package joiner

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/runc/libcontainer/configs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	seccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// filterOf is the program that libcontainer loads for a profile, with the flags of seccomp(2)
// that it loads it by. Libcontainer makes it in the process that it is for, each time.
func filterOf(profile *configs.Seccomp) (program []byte, flags uint32, err error) {
	if profile == nil {
		return nil, 0, nil
	}
	f, archs, err := emptyFilter(profile)
	if err != nil {
		return nil, 0, err
	}
	for _, flag := range profile.Flags {
		switch flag {
		case "SECCOMP_FILTER_FLAG_TSYNC": // which a process with one thread has no use for
		case specs.LinuxSeccompFlagLog:
			flags |= unix.SECCOMP_FILTER_FLAG_LOG
		case specs.LinuxSeccompFlagSpecAllow:
			flags |= unix.SECCOMP_FILTER_FLAG_SPEC_ALLOW
		default:
			return nil, 0, fmt.Errorf("a seccomp filter with the flag %s", flag)
		}
	}
	for _, call := range profile.Syscalls {
		if err := addCall(f, call, profile); err != nil {
			return nil, 0, err
		}
	}
	text, err := f.ExportBPFMem()
	if err != nil {
		return nil, 0, err
	}
	if isPermissive(profile.DefaultAction) {
		return text, flags, nil
	}
	before, err := unknownCalls(profile.Syscalls, archs)
	return append(before, text...), flags, err
}

func emptyFilter(profile *configs.Seccomp) (*seccomp.ScmpFilter, []seccomp.ScmpArch, error) {
	action, err := actionOf(profile.DefaultAction, profile.DefaultErrnoRet)
	if err != nil {
		return nil, nil, err
	}
	f, err := seccomp.NewFilter(action)
	if err != nil {
		return nil, nil, err
	}
	native, err := seccomp.GetNativeArch()
	if err != nil {
		return nil, nil, err
	}
	archs := []seccomp.ScmpArch{native}
	for _, name := range profile.Architectures {
		arch, err := seccomp.GetArchFromString(name)
		if err == nil {
			err = f.AddArch(arch)
		}
		if err != nil {
			return nil, nil, err
		}
		if !slices.Contains(archs, arch) {
			archs = append(archs, arch)
		}
	}
	return f, archs, nil
}

func actionOf(action configs.Action, code *uint) (seccomp.ScmpAction, error) {
	number := int16(unix.EPERM)
	if code != nil {
		number = int16(*code)
	}
	switch action {
	case configs.Kill, configs.KillThread:
		return seccomp.ActKillThread, nil
	case configs.KillProcess:
		return seccomp.ActKillProcess, nil
	case configs.Errno:
		return seccomp.ActErrno.SetReturnCode(number), nil
	case configs.Trap:
		return seccomp.ActTrap, nil
	case configs.Allow:
		return seccomp.ActAllow, nil
	case configs.Trace:
		return seccomp.ActTrace.SetReturnCode(number), nil
	case configs.Log:
		return seccomp.ActLog, nil
	default: // one of them asks a supervisor
		return seccomp.ActInvalid, fmt.Errorf("a seccomp filter with the action %d", action)
	}
}

var comparisons = map[configs.Operator]seccomp.ScmpCompareOp{
	configs.EqualTo: seccomp.CompareEqual, configs.NotEqualTo: seccomp.CompareNotEqual, configs.MaskEqualTo: seccomp.CompareMaskedEqual,
	configs.GreaterThan: seccomp.CompareGreater, configs.GreaterThanOrEqualTo: seccomp.CompareGreaterEqual,
	configs.LessThan: seccomp.CompareLess, configs.LessThanOrEqualTo: seccomp.CompareLessOrEqual,
}

// addCall adds a rule. One that compares an argument twice is a rule for each of its
// comparisons: libcontainer has it so, as its older versions had.
func addCall(f *seccomp.ScmpFilter, call *configs.Syscall, profile *configs.Seccomp) error {
	if call == nil || call.Name == "" {
		return errors.New("a seccomp filter with a rule for no system call")
	}
	action, err := actionOf(call.Action, call.ErrnoRet)
	if err != nil {
		return err
	}
	if fallback, _ := actionOf(profile.DefaultAction, profile.DefaultErrnoRet); action == fallback {
		return nil
	}
	number, err := seccomp.GetSyscallFromName(call.Name)
	if err != nil {
		return nil // this kernel has none of the name
	}
	var all []seccomp.ScmpCondition
	seen, twice := map[uint]bool{}, false
	for _, arg := range call.Args {
		if arg == nil {
			return errors.New("a seccomp filter with an empty comparison")
		}
		c, err := seccomp.MakeCondition(arg.Index, comparisons[arg.Op], arg.Value, arg.ValueTwo)
		if err != nil {
			return err
		}
		twice = twice || seen[arg.Index]
		seen[arg.Index] = true
		all = append(all, c)
	}
	if !twice {
		return f.AddRuleConditional(number, action, all)
	}
	for i := range all {
		if err := f.AddRuleConditional(number, action, all[i:i+1]); err != nil {
			return err
		}
	}
	return nil
}

// isPermissive says that what a profile does not name is done nevertheless.
func isPermissive(action configs.Action) bool {
	return action == configs.Allow || action == configs.Log || action == configs.Trace
}

// auditArchs are the architectures as the kernel names them to a filter.
var auditArchs = map[seccomp.ScmpArch]uint32{
	seccomp.ArchAMD64: unix.AUDIT_ARCH_X86_64, seccomp.ArchX32: unix.AUDIT_ARCH_X86_64, seccomp.ArchX86: unix.AUDIT_ARCH_I386,
	seccomp.ArchARM64: unix.AUDIT_ARCH_AARCH64, seccomp.ArchARM: unix.AUDIT_ARCH_ARM,
}

// x32 is the bit that the numbers of system calls of this architecture have.
const x32 = 1 << 30

// unknownCalls is what stands before a filter: system calls that are newer than all that the
// profile names are not there (ENOSYS), so that programs try older ones instead of giving up.
func unknownCalls(calls []*configs.Syscall, archs []seccomp.ScmpArch) ([]byte, error) {
	sections := map[uint32]map[bool]uint32{} // by the kernel's architecture and whether it is x32, the last call
	var order []uint32
	for _, arch := range archs {
		audit, ok := auditArchs[arch]
		if !ok {
			return nil, fmt.Errorf("a seccomp filter for the architecture %d", arch)
		}
		last := lastCall(calls, arch)
		if last == 0 {
			continue
		}
		if sections[audit] == nil {
			sections[audit] = map[bool]uint32{}
			order = append(order, audit)
		}
		sections[audit][arch == seccomp.ArchX32] = last
	}
	var body []unix.SockFilter
	for _, audit := range slices.Backward(order) { // each jumps over those behind it
		body = append(sectionOf(audit, sections[audit], len(body)), body...)
	}
	var text []byte
	for _, in := range append([]unix.SockFilter{loadOf(4)}, body...) {
		text = binary.NativeEndian.AppendUint16(text, in.Code)
		text = append(text, in.Jt, in.Jf)
		text = binary.NativeEndian.AppendUint32(text, in.K)
	}
	return text, nil
}

func lastCall(calls []*configs.Syscall, arch seccomp.ScmpArch) uint32 {
	var last seccomp.ScmpSyscall
	for _, call := range calls {
		if n, err := seccomp.GetSyscallFromNameByArch(call.Name, arch); err == nil {
			last = max(last, n)
		}
	}
	return uint32(last)
}

// sectionOf tells the calls of one architecture; behind it are so many other instructions up to the filter.
func sectionOf(audit uint32, last map[bool]uint32, behind int) []unix.SockFilter {
	limit := func(of bool) uint32 {
		if n, ok := last[of]; ok {
			return n
		}
		return ^uint32(0) // nothing is said of its calls
	}
	section := []unix.SockFilter{
		loadOf(0),
		jump(unix.BPF_JGT, limit(false), 0, 1),
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(behind)},
	}
	if audit == unix.AUDIT_ARCH_X86_64 {
		section = slices.Insert(section, 1, jump(unix.BPF_JSET, x32, 0, 1), jump(unix.BPF_JGT, limit(true), 1, 2))
	}
	return append([]unix.SockFilter{jump(unix.BPF_JEQ, audit, 0, uint8(len(section)))}, section...)
}

// loadOf loads a word of what the kernel says of a call: its number is at 0, its architecture at 4.
func loadOf(offset uint32) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
}

func jump(test uint16, value uint32, yes, no uint8) unix.SockFilter {
	return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: value, Jt: yes, Jf: no}
}
