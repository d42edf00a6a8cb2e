package seccomp

import "fmt"

// instruction is a struct sock_filter.
type instruction struct {
	op     uint16
	jt, jf uint8
	k      uint32
}

// The operations of linux/bpf_common.h that a filter has use for.
const (
	opLoad    = 0x20 // BPF_LD | BPF_W | BPF_ABS
	opAnd     = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opJump    = 0x05 // BPF_JMP | BPF_JA
	opEqual   = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	opGreater = 0x25 // BPF_JMP | BPF_JGT | BPF_K
	opAtLeast = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	opReturn  = 0x06 // BPF_RET | BPF_K
)

// maxInstructions is BPF_MAXINSNS.
const maxInstructions = 4096

// maxSkip is how far a conditional jump reaches.
const maxSkip = 255

// label is a place in the program, counted from its end: jumps lead forward only,
// so a program that is written from its end knows all its targets.
type label int

// assembly is a program that is being written, its last instruction first.
type assembly struct {
	reversed []instruction
	returns  map[verdict]label // the nearest of each
}

func (a *assembly) prepend(in instruction) label {
	a.reversed = append(a.reversed, in)
	return label(len(a.reversed))
}

// skip is how many instructions a jump that is written next leaps over.
func (a *assembly) skip(to label) int { return len(a.reversed) - int(to) }

// ret is a place that returns v, within reach of the instructions that follow next.
func (a *assembly) ret(v verdict) label {
	if at, ok := a.returns[v]; ok && a.skip(at) < maxSkip-8 {
		return at
	}
	at := a.prepend(instruction{op: opReturn, k: uint32(v)})
	a.returns[v] = at
	return at
}

// near is a place from where to is reached, which the next two instructions can jump to.
func (a *assembly) near(to label) label {
	if a.skip(to) < maxSkip-1 {
		return to
	}
	return a.prepend(instruction{op: opJump, k: uint32(a.skip(to))})
}

// branch jumps to yes or no.
func (a *assembly) branch(op uint16, k uint32, yes, no label) label {
	yes = a.near(yes)
	no = a.near(no)
	return a.prepend(instruction{op: op, k: k, jt: uint8(a.skip(yes)), jf: uint8(a.skip(no))})
}

// load reads a word of struct seccomp_data and goes on to next, which is the place written last.
func (a *assembly) load(offset uint32, next label) label {
	a.follow(next)
	return a.prepend(instruction{op: opLoad, k: offset})
}

func (a *assembly) and(mask uint32, next label) label {
	a.follow(next)
	return a.prepend(instruction{op: opAnd, k: mask})
}

// follow makes next the place written last.
func (a *assembly) follow(next label) {
	if a.skip(next) > 0 {
		a.prepend(instruction{op: opJump, k: uint32(a.skip(next))})
	}
}

// program is what was written, from its beginning.
func (a *assembly) program() ([]instruction, error) {
	n := len(a.reversed)
	if n > maxInstructions {
		return nil, fmt.Errorf("the filter has %d instructions, the kernel takes %d", n, maxInstructions)
	}
	out := make([]instruction, n)
	for i, in := range a.reversed {
		out[n-1-i] = in
	}
	return out, nil
}
