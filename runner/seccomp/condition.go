package seccomp

import "fmt"

// arguments is how many arguments a system call has at most.
const arguments = 6

// ScmpCompareOp is how an argument is compared.
type ScmpCompareOp uint

// The comparisons, unsigned all.
const (
	CompareInvalid ScmpCompareOp = iota
	CompareNotEqual
	CompareLess
	CompareLessOrEqual
	CompareEqual
	CompareGreaterEqual
	CompareGreater
	CompareMaskedEqual
)

// ScmpCondition compares an argument (0 to 5) with Operand1; [CompareMaskedEqual]
// compares those bits of it that are set in Operand1 with those of Operand2.
type ScmpCondition struct {
	Argument uint
	Op       ScmpCompareOp
	Operand1 uint64
	Operand2 uint64
}

// MakeCondition is a condition on an argument; only [CompareMaskedEqual] has a second value.
func MakeCondition(arg uint, comparison ScmpCompareOp, values ...uint64) (ScmpCondition, error) {
	c := ScmpCondition{Argument: arg, Op: comparison}
	switch {
	case comparison <= CompareInvalid || comparison > CompareMaskedEqual:
		return c, fmt.Errorf("unknown comparison %d", comparison)
	case arg >= arguments:
		return c, fmt.Errorf("a system call has no argument %d", arg)
	case len(values) == 0 || len(values) > 2:
		return c, fmt.Errorf("an argument is compared with one or two values, not %d", len(values))
	}
	c.Operand1 = values[0]
	if len(values) == 2 {
		c.Operand2 = values[1]
	}
	return c, nil
}

// test is a condition as an architecture sees it: on those bits of an argument
// that are in mask.
type test struct {
	arg  uint
	op   ScmpCompareOp
	mask uint64
	with uint64
}

// testOf is the condition on a machine word of bits; needed is false of one that
// every value meets.
func (c ScmpCondition) testOf(bits int) (t test, needed bool) {
	t = test{arg: c.Argument, op: c.Op, mask: ^uint64(0), with: c.Operand1}
	if c.Op == CompareMaskedEqual {
		t.mask, t.with = c.Operand1, c.Operand2
	}
	if bits == 32 {
		t.mask = uint64(uint32(t.mask))
	}
	t.with &= t.mask
	return t, t.mask != 0
}
