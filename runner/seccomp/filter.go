package seccomp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
)

// ScmpFilter is a filter that is being made: what becomes of which system calls.
// It is not for several goroutines at once.
type ScmpFilter struct {
	fallback                         verdict
	archs                            []ScmpArch
	machines                         []*calls
	noNewPrivs, logs, ssb, waitsKill bool
	broken                           error // by a rule of which a part holds
}

// NewFilter is a filter without rules for this program's architecture: every system
// call of it meets defaultAction, those of other architectures end their thread.
func NewFilter(defaultAction ScmpAction) (*ScmpFilter, error) {
	native, err := GetNativeArch()
	if err != nil {
		return nil, err
	}
	v, err := defaultAction.verdict()
	if err != nil {
		return nil, err
	}
	f := &ScmpFilter{fallback: v, noNewPrivs: true}
	return f, f.AddArch(native)
}

// AddArch lets the rules that are added from now on hold for the system calls of
// one more architecture. Nothing is noted of those that no program has on a kernel
// which this program runs on.
func (f *ScmpFilter) AddArch(arch ScmpArch) error {
	native, err := GetNativeArch()
	switch {
	case err != nil:
		return err
	case arch == ArchNative:
		arch = native
	case arch <= ArchInvalid || arch > ArchSHEB:
		return fmt.Errorf("unknown architecture %d", arch)
	case arch.isBigEndian():
		return errors.New("an architecture of the other byte order has no place in this filter")
	}
	if slices.Contains(f.archs, arch) {
		return nil
	}
	f.archs = append(f.archs, arch)
	if m, ok := machineOf(arch); ok {
		f.machines = append(f.machines, &calls{machine: m, byNumber: make(map[uint32]call, len(table))})
	}
	return nil
}

// AddRule says what becomes of a system call whatever its arguments.
func (f *ScmpFilter) AddRule(call ScmpSyscall, action ScmpAction) error {
	return f.AddRuleConditional(call, action, nil)
}

// AddRuleConditional says what becomes of a system call whose arguments meet
// all the conditions, of which each argument has one at most. An architecture
// that lacks the system call goes without the rule.
func (f *ScmpFilter) AddRuleConditional(call ScmpSyscall, action ScmpAction, conds []ScmpCondition) error {
	v, err := action.verdict()
	if err != nil {
		return err
	}
	if v == f.fallback {
		return errors.New("a rule with the filter's default action says nothing")
	}
	at, ok := entryOf(call)
	if !ok {
		return fmt.Errorf("no system call has the number %d", call)
	}
	sorted := slices.Clone(conds)
	slices.SortStableFunc(sorted, func(a, b ScmpCondition) int { return int(a.Argument) - int(b.Argument) })
	for i, c := range sorted {
		if c.Argument >= arguments || c.Op <= CompareInvalid || c.Op > CompareMaskedEqual || i > 0 && c.Argument == sorted[i-1].Argument {
			return errors.New("a rule compares each of the six arguments once at most")
		}
	}
	for _, m := range f.machines {
		if err := m.add(&table[at], sorted, v); err != nil {
			f.broken = err
			return err
		}
	}
	return nil
}

// SetOptimize is there for callers of libseccomp: the filter searches in halves in any case.
func (f *ScmpFilter) SetOptimize(int) error { return nil }

// SetNoNewPrivsBit notes whether who loads the filter is to set no_new_privs first.
func (f *ScmpFilter) SetNoNewPrivsBit(state bool) error {
	f.noNewPrivs = state
	return nil
}

// GetNoNewPrivsBit says whether who loads the filter is to set no_new_privs first.
func (f *ScmpFilter) GetNoNewPrivsBit() (bool, error) { return f.noNewPrivs, nil }

// SetLogBit notes that the kernel is to log what is not allowed.
func (f *ScmpFilter) SetLogBit(state bool) error {
	return f.set(&f.logs, state, levelLog, "logging")
}

// GetLogBit says whether the kernel is to log what is not allowed.
func (f *ScmpFilter) GetLogBit() (bool, error) { return f.logs, nil }

// SetSSB notes that speculative stores stay as they are.
func (f *ScmpFilter) SetSSB(state bool) error {
	return f.set(&f.ssb, state, levelSpecAllow, "leaving speculative stores as they are")
}

// GetSSB says whether speculative stores stay as they are.
func (f *ScmpFilter) GetSSB() (bool, error) { return f.ssb, nil }

// SetWaitKill notes that only a deadly signal ends the wait for a notified supervisor.
func (f *ScmpFilter) SetWaitKill(state bool) error {
	return f.set(&f.waitsKill, state, levelWaitKillable, "waiting that only a deadly signal ends")
}

// GetWaitKill says whether only a deadly signal ends the wait for a notified supervisor.
func (f *ScmpFilter) GetWaitKill() (bool, error) { return f.waitsKill, nil }

func (f *ScmpFilter) set(flag *bool, state bool, level uint, what string) error {
	if have, _ := GetAPI(); have < level {
		return &VersionError{what: what}
	}
	*flag = state
	return nil
}

// ExportBPF writes the filter as the kernel takes it: an array of struct sock_filter.
func (f *ScmpFilter) ExportBPF(file *os.File) error {
	text, err := f.ExportBPFMem()
	if err != nil {
		return err
	}
	_, err = file.Write(text)
	return err
}

// ExportBPFMem is the filter as the kernel takes it: an array of struct sock_filter.
func (f *ScmpFilter) ExportBPFMem() ([]byte, error) {
	if f.broken != nil {
		return nil, f.broken
	}
	program, err := compile(f)
	if err != nil {
		return nil, err
	}
	text := make([]byte, 0, 8*len(program))
	for _, in := range program {
		text = binary.NativeEndian.AppendUint16(text, in.op)
		text = append(text, in.jt, in.jf)
		text = binary.NativeEndian.AppendUint32(text, in.k)
	}
	return text, nil
}
