package seccomp

import (
	"cmp"
	"math"
	"slices"
)

// The words of struct seccomp_data.
const (
	wordNumber = 0
	wordArch   = 4
)

// wordOf is the lower word of an argument, the higher one follows: filters are
// made only for machines with little-endian byte order.
func wordOf(arg uint) uint32 { return 16 + 8*uint32(arg) }

// compile writes the filter as a program: the architecture decides among blocks, in
// each of which the number is searched in halves among spans that meet one end.
func compile(f *ScmpFilter) ([]instruction, error) {
	a := &assembly{returns: map[verdict]label{}}
	next := a.ret(killThread)
	done := map[uint32]bool{}
	for _, m := range slices.Backward(f.machines) {
		audit := m.machine.audit
		if done[audit] {
			continue
		}
		done[audit] = true
		block := a.load(wordNumber, a.search(f.spans(audit), f.fallback))
		next = a.branch(opEqual, audit, block, next)
	}
	a.load(wordArch, next)
	return a.program()
}

// span is a run of numbers, up to the next span's first, that meet one end.
type span struct {
	first  uint32
	always verdict // where there are no rules
	rules  []argumentRule
}

// argumentRule is a rule that looks at arguments.
type argumentRule struct {
	tests   []test
	verdict verdict
	bits    int
}

// spans are the spans of all numbers on the machines that the kernel knows by one name.
func (f *ScmpFilter) spans(audit uint32) []span {
	known := make([]span, 0, len(table))
	for _, m := range f.machines {
		if m.machine.audit != audit {
			continue
		}
		for number, c := range m.byNumber {
			known = append(known, span{first: number, always: c.always, rules: c.ordered()})
		}
	}
	slices.SortFunc(known, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	spans := []span{{first: 0, always: f.fallback}}
	add := func(s span) {
		last := &spans[len(spans)-1]
		switch {
		case last.first == s.first:
			spans = spans[:len(spans)-1]
			if len(spans) > 0 && spans[len(spans)-1].meetsSame(s) {
				return
			}
		case last.meetsSame(s):
			return
		}
		spans = append(spans, s)
	}
	for _, s := range known {
		add(s)
		if s.first < math.MaxUint32 {
			add(span{first: s.first + 1, always: f.fallback})
		}
	}
	if audit == auditAMD64 && !slices.Contains(f.archs, ArchX32) {
		// Another architecture's, but for the number by which tracers skip a call.
		add(span{first: x32Bit, always: killThread})
		add(span{first: math.MaxUint32, always: f.fallback})
	}
	return spans
}

const auditAMD64 = 0xc000003e

func (s span) meetsSame(other span) bool {
	return len(s.rules) == 0 && len(other.rules) == 0 && s.always == other.always
}

// search finds the span of the number that was loaded.
func (a *assembly) search(spans []span, fallback verdict) label {
	if len(spans) == 1 {
		s := spans[0]
		if len(s.rules) == 0 {
			return a.ret(s.always)
		}
		return a.choose(s.rules, fallback)
	}
	half := len(spans) / 2
	upper := a.search(spans[half:], fallback)
	lower := a.search(spans[:half], fallback)
	return a.branch(opAtLeast, spans[half].first, upper, lower)
}

// choose looks for the first rule that the arguments meet.
func (a *assembly) choose(rules []argumentRule, fallback verdict) label {
	next := a.ret(fallback)
	for _, r := range slices.Backward(rules) {
		then := a.ret(r.verdict)
		for _, t := range slices.Backward(r.tests) {
			then = a.test(t, r.bits, then, next)
		}
		next = then
	}
	return next
}

// test goes on to yes where the argument meets t, else to no.
func (a *assembly) test(t test, bits int, yes, no label) label {
	low, high := uint32(t.with), uint32(t.with>>32)
	switch t.op {
	case CompareNotEqual, CompareLess, CompareLessOrEqual: // the contrary of what is left
		yes, no = no, yes
	}
	op := uint16(opEqual)
	switch t.op {
	case CompareGreater, CompareLessOrEqual:
		op = opGreater
	case CompareGreaterEqual, CompareLess:
		op = opAtLeast
	}
	at := a.word(wordOf(t.arg), uint32(t.mask), op, low, yes, no)
	if bits == 32 {
		return at
	}
	at = a.near(at)
	if op == opEqual {
		return a.word(wordOf(t.arg)+4, uint32(t.mask>>32), opEqual, high, at, no)
	}
	at = a.branch(opEqual, high, at, no)
	at = a.branch(opGreater, high, yes, at)
	return a.load(wordOf(t.arg)+4, at)
}

// word compares those bits of a word that are in mask.
func (a *assembly) word(offset, mask uint32, op uint16, with uint32, yes, no label) label {
	if mask == 0 {
		return yes
	}
	at := a.branch(op, with, yes, no)
	if mask != math.MaxUint32 {
		at = a.and(mask, at)
	}
	return a.load(offset, at)
}
