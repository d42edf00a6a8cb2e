//go:build cgo && amd64

package joiner

import (
	"encoding/binary"
	"testing"

	"github.com/opencontainers/runc/libcontainer/configs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// verdicts is a filter as the kernel asks it.
func verdicts(t *testing.T, program []byte) func(arch uint32, call uint32, args ...uint64) uint32 {
	t.Helper()
	var raw []bpf.RawInstruction
	for at := 0; at < len(program); at += 8 {
		in := program[at:]
		raw = append(raw, bpf.RawInstruction{Op: binary.NativeEndian.Uint16(in), Jt: in[2], Jf: in[3], K: binary.NativeEndian.Uint32(in[4:])})
	}
	instructions, _ := bpf.Disassemble(raw)
	vm, err := bpf.NewVM(instructions)
	if err != nil {
		t.Fatal(err)
	}
	return func(arch, call uint32, args ...uint64) uint32 {
		data := make([]byte, 64) // struct seccomp_data, as words of the byte order that this machine reads
		binary.BigEndian.PutUint32(data, call)
		binary.BigEndian.PutUint32(data[4:], arch)
		for i, a := range args {
			binary.BigEndian.PutUint32(data[16+8*i:], uint32(a))
			binary.BigEndian.PutUint32(data[20+8*i:], uint32(a>>32))
		}
		is, err := vm.Run(data)
		if err != nil {
			t.Fatal(err)
		}
		return uint32(is)
	}
}

// What a profile says is held, and what is newer than all that it says is not there. That the filter is
// libcontainer's in all is compared where there are containers: e2e/joining_test.go.
func TestFilterSaysWhatItsProfileSays(t *testing.T) {
	number := uint(unix.ENOANO)
	profile := &configs.Seccomp{
		DefaultAction: configs.Errno, DefaultErrnoRet: &number, Architectures: []string{"amd64", "x86", "x32"}, Flags: []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagLog},
		Syscalls: []*configs.Syscall{
			{Name: "read", Action: configs.Allow}, {Name: "openat2", Action: configs.Allow}, {Name: "no_such_call", Action: configs.Allow},
			{Name: "clone", Action: configs.Allow, Args: []*configs.Arg{{Index: 0, Value: 0x10000000, ValueTwo: 0, Op: configs.MaskEqualTo}}},
			{Name: "personality", Action: configs.Allow, Args: []*configs.Arg{{Index: 0, Value: 8, Op: configs.EqualTo}, {Index: 0, Value: 9, Op: configs.EqualTo}}},
			{Name: "kill", Action: configs.KillProcess},
		},
	}
	text, flags, err := filterOf(profile)
	if err != nil || flags != unix.SECCOMP_FILTER_FLAG_LOG {
		t.Fatalf("%x, %v", flags, err)
	}
	ask := verdicts(t, text)
	const allowed, unknown, denied, x64, x86 = unix.SECCOMP_RET_ALLOW, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS), unix.SECCOMP_RET_ERRNO | uint32(unix.ENOANO), unix.AUDIT_ARCH_X86_64, unix.AUDIT_ARCH_I386
	for _, c := range []struct {
		what       string
		arch, call uint32
		args       []uint64
		want       uint32
	}{
		{"an allowed one", x64, unix.SYS_READ, nil, allowed},
		{"of 32 bits", x86, 3, nil, allowed},
		{"of x32", x64, x32 | unix.SYS_READ, nil, allowed},
		{"one that is not named", x64, unix.SYS_WRITE, nil, denied},
		{"the last that is named", x64, unix.SYS_OPENAT2, nil, allowed},
		{"one after the last", x64, unix.SYS_OPENAT2 + 1, nil, unknown},
		{"of 32 bits, after the last", x86, 438, nil, unknown},
		{"of x32, after the last", x64, x32 | 438, nil, unknown},
		{"whose argument fits", x64, unix.SYS_CLONE, []uint64{0x11}, allowed},
		{"whose argument does not", x64, unix.SYS_CLONE, []uint64{0x10000011}, denied},
		{"the first of two comparisons", x64, unix.SYS_PERSONALITY, []uint64{8}, allowed},
		{"the second of two comparisons", x64, unix.SYS_PERSONALITY, []uint64{9}, allowed},
		{"neither", x64, unix.SYS_PERSONALITY, []uint64{10}, denied},
		{"a deadly one", x64, unix.SYS_KILL, nil, unix.SECCOMP_RET_KILL_PROCESS},
		{"of another architecture", unix.AUDIT_ARCH_AARCH64, 3, nil, unix.SECCOMP_RET_KILL_THREAD},
	} {
		if is := ask(c.arch, c.call, c.args...); is != c.want {
			t.Errorf("%s: %x, want %x", c.what, is, c.want)
		}
	}
	profile.DefaultAction, profile.DefaultErrnoRet = configs.Allow, nil
	if text, _, err = filterOf(profile); err != nil || verdicts(t, text)(x64, unix.SYS_OPENAT2+1) != allowed {
		t.Errorf("where all is allowed, new ones are not: %v", err)
	}
	if text, _, err = filterOf(nil); len(text) > 0 || err != nil {
		t.Errorf("of no profile: %d bytes, %v", len(text), err)
	}
	for what, change := range map[string]func(*configs.Seccomp){
		"one that asks":               func(p *configs.Seccomp) { p.Syscalls[0].Action = configs.Notify },
		"one that asks of all":        func(p *configs.Seccomp) { p.DefaultAction = configs.Notify },
		"a flag that waits for that":  func(p *configs.Seccomp) { p.Flags = []specs.LinuxSeccompFlag{specs.LinuxSeccompFlagWaitKillableRecv} },
		"an unknown architecture":     func(p *configs.Seccomp) { p.Architectures = []string{"s390x"} },
		"a rule for nothing":          func(p *configs.Seccomp) { p.Syscalls[0] = &configs.Syscall{Action: configs.Allow} },
		"a comparison of no argument": func(p *configs.Seccomp) { p.Syscalls[3].Args[0].Index = 6 },
		"an empty comparison":         func(p *configs.Seccomp) { p.Syscalls[3].Args[0] = nil },
	} {
		p := &configs.Seccomp{DefaultAction: configs.Errno, Syscalls: []*configs.Syscall{
			{Name: "read", Action: configs.Allow}, {Name: "write", Action: configs.Allow}, {Name: "close", Action: configs.Allow},
			{Name: "clone", Action: configs.Allow, Args: []*configs.Arg{{Index: 0, Op: configs.EqualTo}}},
		}}
		change(p)
		if _, _, err := filterOf(p); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
}
