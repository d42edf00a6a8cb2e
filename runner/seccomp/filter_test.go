package seccomp

import (
	"errors"
	"slices"
	"testing"
)

func TestWhatCannotBeInAFilter(t *testing.T) {
	f, err := NewFilter(ActAllow)
	if err != nil {
		t.Skip(err)
	}
	open, err := GetSyscallFromName("openat")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := GetSyscallFromName("nonsense"); !errors.Is(err, ErrSyscallDoesNotExist) {
		t.Errorf("a name that is none: %v", err)
	}
	for what, err := range map[string]error{
		"the default action again":        f.AddRule(open, ActAllow),
		"no action":                       f.AddRule(open, ActInvalid),
		"a number without a system call":  f.AddRule(99999, ActTrap),
		"a seventh argument":              f.AddRuleConditional(open, ActTrap, []ScmpCondition{{Argument: 6, Op: CompareEqual}}),
		"two conditions on one argument":  f.AddRuleConditional(open, ActTrap, []ScmpCondition{{Op: CompareEqual}, {Op: CompareLess}}),
		"a big-endian architecture":       f.AddArch(ArchS390X),
		"an architecture that is none":    f.AddArch(ArchInvalid),
		"an error beyond the kernel's":    f.AddRule(open, ActErrno.SetReturnCode(4095)),
		"a comparison that is none":       f.AddRuleConditional(open, ActTrap, []ScmpCondition{{Op: 9}}),
		"a condition without a value":     second(MakeCondition(0, CompareEqual)),
		"a condition with an unknown way": second(MakeCondition(0, CompareInvalid, 1)),
	} {
		if err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if _, err := f.ExportBPFMem(); err != nil {
		t.Errorf("what was refused is left: %v", err)
	}
}

func second[A any](_ A, err error) error { return err }

// A filter of which a part of a rule holds is none.
func TestContradictionLeavesNoFilter(t *testing.T) {
	f, err := NewFilter(ActAllow)
	if err != nil {
		t.Skip(err)
	}
	open, _ := GetSyscallFromName("openat")
	same := []ScmpCondition{{Argument: 1, Op: CompareEqual, Operand1: 7}}
	if err := f.AddRuleConditional(open, ActTrap, same); err != nil {
		t.Fatal(err)
	}
	if err := f.AddRuleConditional(open, ActKillProcess, same); err == nil {
		t.Error("the same conditions have two actions")
	}
	if _, err := f.ExportBPFMem(); err == nil {
		t.Error("it is compiled all the same")
	}
}

func TestTableIsSorted(t *testing.T) {
	if !slices.IsSortedFunc(table[:], func(a, b entry) int {
		switch {
		case a.name < b.name:
			return -1
		case a.name > b.name:
			return 1
		default:
			return 0
		}
	}) {
		t.Error("names are not found by halves")
	}
}

// Every conditional jump reaches its target, however long the program, up to the
// kernel's limit.
func TestLongPrograms(t *testing.T) {
	for _, n := range []int{10, 100, 400, 2000} {
		f, err := NewFilter(ActErrno.SetReturnCode(1))
		if err != nil {
			t.Skip(err)
		}
		call, _ := GetSyscallFromName("ioctl")
		for i := range n {
			if err := f.AddRuleConditional(call, ActAllow, []ScmpCondition{{Argument: 1, Op: CompareEqual, Operand1: uint64(i)<<32 | uint64(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		program, err := compile(f)
		if n == 2000 {
			if err == nil {
				t.Errorf("%d instructions are more than the kernel takes", len(program))
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if v := run(t, program, uint32(call), uint64(i)<<32|uint64(i)); v != allow {
				t.Fatalf("%d of %d: %#x", i, n, v)
			}
			if v := run(t, program, uint32(call), uint64(i)<<32|uint64(i+1)); v == allow {
				t.Fatalf("%d of %d: allowed with another lower word", i, n)
			}
		}
	}
}

// run gives the verdict of a program on a call of this machine with a second argument.
func run(t *testing.T, program []instruction, number uint32, second uint64) verdict {
	t.Helper()
	native, _ := GetNativeArch()
	m, _ := machineOf(native)
	words := map[uint32]uint32{wordNumber: number, wordArch: m.audit, wordOf(1): uint32(second), wordOf(1) + 4: uint32(second >> 32)}
	var a uint32
	for at := 0; at < len(program); at++ {
		in := program[at]
		var yes bool
		switch in.op {
		case opLoad:
			a = words[in.k]
			continue
		case opAnd:
			a &= in.k
			continue
		case opJump:
			at += int(in.k)
			continue
		case opReturn:
			return verdict(in.k)
		case opEqual:
			yes = a == in.k
		case opGreater:
			yes = a > in.k
		case opAtLeast:
			yes = a >= in.k
		}
		if yes {
			at += int(in.jt)
		} else {
			at += int(in.jf)
		}
	}
	t.Fatal("the program has no end")
	return 0
}
