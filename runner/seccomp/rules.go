package seccomp

import (
	"cmp"
	"errors"
	"slices"
)

// calls are the system calls of a machine that rules speak of.
type calls struct {
	machine  machine
	byNumber map[uint32]call
}

// call is what becomes of a system call.
type call struct {
	always   verdict // where it is settled
	settled  bool    // by a rule without conditions: nothing else counts
	branches branches
}

var errContrary = errors.New("two rules with the same conditions have different actions")

// add adds a rule to the system call that it is for, and to the one through
// which that is made, too.
func (c *calls) add(e *entry, conditions []ScmpCondition, v verdict) error {
	if sub, ok := subcallOf(c.machine, e.name); ok {
		through := []ScmpCondition{{Argument: 0, Op: CompareEqual, Operand1: sub.number}}
		for _, condition := range conditions {
			if condition.Argument > 0 {
				through = append(through, condition)
			}
		}
		if err := c.addTo(uint32(sub.call), through, v); err != nil {
			return err
		}
	}
	if number := e.number[c.machine.column]; number >= 0 {
		return c.addTo(uint32(number), conditions, v)
	}
	return nil
}

func (c *calls) addTo(number uint32, conditions []ScmpCondition, v verdict) error {
	its := c.byNumber[number]
	if its.settled {
		return nil
	}
	var tests []test
	for _, condition := range conditions {
		if t, needed := condition.testOf(c.machine.bits); needed {
			tests = append(tests, t)
		}
	}
	var err error
	if len(tests) == 0 {
		its = call{always: v, settled: true}
	} else {
		err = its.branches.add(keysOf(tests, c.machine.bits), &argumentRule{tests: tests, verdict: v, bits: c.machine.bits})
	}
	c.byNumber[number] = its
	return err
}

// ordered are the rules, in the order in which the first that holds decides.
func (c call) ordered() []argumentRule {
	var out []argumentRule
	c.branches.each(func(r *argumentRule) { out = append(out, *r) })
	return out
}

// Where rules of one system call have different actions and more than one holds,
// their order decides. It is libseccomp's, which keeps them in a tree: a level
// compares one word of an argument.

// key is a comparison of one word.
type key struct {
	op   ScmpCompareOp
	word uint // 2*argument, 1 more for the higher word
	with uint32
	mask uint32
}

// keysOf are the words that tests compare, in turn.
func keysOf(tests []test, bits int) []key {
	var keys []key
	for _, t := range tests {
		if bits == 64 {
			keys = append(keys, key{t.op.onHigherWord(), 2*t.arg + 1, uint32(t.with >> 32), uint32(t.mask >> 32)})
		}
		keys = append(keys, key{t.op, 2 * t.arg, uint32(t.with), uint32(t.mask)})
	}
	return keys
}

// onHigherWord is how a comparison looks at the higher word: by itself that leaves
// open whether the lower one may be equal, too.
func (op ScmpCompareOp) onHigherWord() ScmpCompareOp {
	switch op {
	case CompareNotEqual:
		return CompareEqual
	case CompareLess:
		return CompareLessOrEqual
	case CompareGreaterEqual:
		return CompareGreater
	default:
		return op
	}
}

// rank is by what comparisons come in turn: equality, then upper bounds, then lower ones.
func (k key) rank() int {
	switch k.op {
	case CompareLess, CompareLessOrEqual:
		return 1
	case CompareGreater, CompareGreaterEqual:
		return 2
	default:
		return 0
	}
}

// before says that k comes before other.
func (k key) before(other key) bool {
	order := cmp.Or(cmp.Compare(other.word, k.word), cmp.Compare(k.rank(), other.rank()))
	if order == 0 && k.rank() == 1 {
		order = cmp.Compare(k.with, other.with)
	} else if order == 0 {
		order = cmp.Compare(other.with, k.with)
	}
	return order < 0
}

// branches are the comparisons of one level.
type branches []*branch

type branch struct {
	key  key
	rule *argumentRule // where nothing else is compared
	then branches
}

// add puts a rule at its place.
func (b *branches) add(keys []key, r *argumentRule) error {
	at := len(*b)
	for i, x := range *b {
		if x.key == keys[0] {
			return x.extend(keys[1:], r)
		}
		if keys[0].before(x.key) {
			at = i
			break
		}
	}
	added := &branch{key: keys[0]}
	*b = slices.Insert(*b, at, added)
	return added.extend(keys[1:], r)
}

// extend puts a rule below a comparison that it has in common with others. Of two
// rules one of which is the beginning of the other the shorter is enough.
func (x *branch) extend(keys []key, r *argumentRule) error {
	if len(keys) > 0 {
		if x.rule != nil {
			return nil
		}
		return x.then.add(keys, r)
	}
	if x.rule != nil {
		if x.rule.verdict != r.verdict {
			return errContrary
		}
		return nil
	}
	var contrary bool
	x.then.each(func(other *argumentRule) { contrary = contrary || other.verdict != r.verdict })
	if contrary {
		return errContrary
	}
	x.rule, x.then = r, nil
	return nil
}

// each calls f with every rule, in order.
func (b branches) each(f func(*argumentRule)) {
	for _, x := range b {
		if x.rule != nil {
			f(x.rule)
		}
		x.then.each(f)
	}
}
