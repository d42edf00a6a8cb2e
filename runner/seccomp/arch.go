package seccomp

import (
	"fmt"
	"runtime"
)

// ScmpArch is a set of system calls with numbers of their own.
type ScmpArch uint

// The architectures that profiles name.
const (
	ArchInvalid ScmpArch = iota
	ArchNative
	ArchX86
	ArchAMD64
	ArchX32
	ArchARM
	ArchARM64
	ArchMIPS
	ArchMIPS64
	ArchMIPS64N32
	ArchMIPSEL
	ArchMIPSEL64
	ArchMIPSEL64N32
	ArchPPC
	ArchPPC64
	ArchPPC64LE
	ArchS390
	ArchS390X
	ArchPARISC
	ArchPARISC64
	ArchRISCV64
	ArchLOONGARCH64
	ArchM68K
	ArchSH
	ArchSHEB
)

// x32Bit is set in the numbers of x32's system calls, by which alone they differ
// from those of x86-64: the kernel calls both AUDIT_ARCH_X86_64.
const x32Bit = 0x40000000

// machine is an architecture that the kernels we run on can have programs of.
type machine struct {
	arch   ScmpArch
	audit  uint32 // AUDIT_ARCH_* of linux/audit.h
	bits   int
	column int // in the table of system calls
}

// The columns of the table.
const (
	columnAMD64 = iota
	columnX86
	columnX32
	columnARM64
	columnARM
	columns
)

func machineOf(a ScmpArch) (machine, bool) {
	switch a {
	case ArchAMD64:
		return machine{a, 0xc000003e, 64, columnAMD64}, true
	case ArchX86:
		return machine{a, 0x40000003, 32, columnX86}, true
	case ArchX32:
		return machine{a, 0xc000003e, 32, columnX32}, true
	case ArchARM64:
		return machine{a, 0xc00000b7, 64, columnARM64}, true
	case ArchARM:
		return machine{a, 0x40000028, 32, columnARM}, true
	default:
		return machine{}, false
	}
}

func (a ScmpArch) isBigEndian() bool {
	switch a {
	case ArchMIPS, ArchMIPS64, ArchMIPS64N32, ArchPPC, ArchPPC64, ArchS390, ArchS390X, ArchPARISC, ArchPARISC64, ArchM68K, ArchSHEB:
		return true
	default:
		return false
	}
}

// GetNativeArch is the architecture of this program.
func GetNativeArch() (ScmpArch, error) {
	switch runtime.GOARCH {
	case "amd64":
		return ArchAMD64, nil
	case "386":
		return ArchX86, nil
	case "arm64":
		return ArchARM64, nil
	case "arm":
		return ArchARM, nil
	default:
		return ArchInvalid, fmt.Errorf("no seccomp filters can be made on %s", runtime.GOARCH)
	}
}

// GetArchFromString is the architecture of this name, in libseccomp's or in Go's spelling.
func GetArchFromString(name string) (ScmpArch, error) {
	switch name {
	case "x86":
		return ArchX86, nil
	case "amd64", "x86-64", "x86_64", "x64":
		return ArchAMD64, nil
	case "x32":
		return ArchX32, nil
	case "arm":
		return ArchARM, nil
	case "arm64", "aarch64":
		return ArchARM64, nil
	case "mips":
		return ArchMIPS, nil
	case "mips64":
		return ArchMIPS64, nil
	case "mips64n32":
		return ArchMIPS64N32, nil
	case "mipsel":
		return ArchMIPSEL, nil
	case "mipsel64":
		return ArchMIPSEL64, nil
	case "mipsel64n32":
		return ArchMIPSEL64N32, nil
	case "ppc":
		return ArchPPC, nil
	case "ppc64":
		return ArchPPC64, nil
	case "ppc64le":
		return ArchPPC64LE, nil
	case "s390":
		return ArchS390, nil
	case "s390x":
		return ArchS390X, nil
	case "parisc":
		return ArchPARISC, nil
	case "parisc64":
		return ArchPARISC64, nil
	case "riscv64":
		return ArchRISCV64, nil
	case "loong64", "loongarch64":
		return ArchLOONGARCH64, nil
	case "m68k":
		return ArchM68K, nil
	case "sh":
		return ArchSH, nil
	case "sheb":
		return ArchSHEB, nil
	default:
		return ArchInvalid, fmt.Errorf("unknown architecture %q", name)
	}
}
