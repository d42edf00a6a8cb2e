package display

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/orlop/orlop/planner"
	"github.com/orlop/orlop/spec"
)

// shortestSecret is the length in bytes below which a value is not masked: to
// replace every "1" of an output hides more than the secret.
const shortestSecret = 4

// hidden stands for a secret.
const hidden = "***"

// secretValues are the contents of a project's secrets: whole, and line by
// line, as a program would print a key of several lines.
func secretValues(p *spec.Project) []string {
	var values []string
	add := func(text string) {
		if text = strings.TrimSpace(text); len(text) < shortestSecret {
			return
		}
		values = append(values, text)
		values = append(values, quoted(text, true), quoted(text, false))
	}
	for _, payload := range p.Payloads {
		if !payload.Secret {
			continue
		}
		add(string(payload.Content))
		for line := range strings.Lines(string(payload.Content)) {
			add(line)
		}
	}
	return values
}

// quoted is a text as documents and structured logs have it between quotes;
// html says that they may stand in a page.
func quoted(text string, html bool) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(html)
	_ = enc.Encode(text) // a string has a form, and a builder takes it
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
}

// Masker hides secrets in text that is whole. It forgets none: where one has
// changed, what runs still has the old one. The zero one knows none yet.
type Masker struct {
	mu       sync.Mutex // guards what follows
	values   []string
	replacer *strings.Replacer // nil: there are no values
}

// Hide hides the secrets of a project from here on.
func (m *Masker) Hide(p *spec.Project) { m.add(secretValues(p)) }

func (m *Masker) add(values []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Concat(m.values, values)
	if len(all) == 0 {
		return
	}
	// The longest first, so that no part of it is left beside a shorter one.
	slices.SortFunc(all, func(x, y string) int { return cmp.Or(len(y)-len(x), strings.Compare(x, y)) })
	m.values = slices.Compact(all)
	var pairs []string
	for _, v := range m.values {
		pairs = append(pairs, v, hidden)
	}
	m.replacer = strings.NewReplacer(pairs...)
}

// known are the values that are hidden, and what hides them; nil where there
// are none.
func (m *Masker) known() ([]string, *strings.Replacer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values, m.replacer
}

func (m *Masker) hidesNothing() bool {
	values, _ := m.known()
	return len(values) == 0
}

// Text is a text without secrets.
func (m *Masker) Text(s string) string {
	_, replacer := m.known()
	if replacer == nil {
		return s
	}
	return replacer.Replace(s)
}

// Texts are texts without secrets.
func (m *Masker) Texts(all []string) []string {
	if all == nil {
		return nil
	}
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = m.Text(s)
	}
	return out
}

// Bytes is Text of bytes.
func (m *Masker) Bytes(b []byte) []byte {
	if m.hidesNothing() {
		return b
	}
	return []byte(m.Text(string(b)))
}

// Plan is a plan without secrets. Names stay: they are the stack file's.
func (m *Masker) Plan(p *planner.Plan) *planner.Plan {
	if m.hidesNothing() {
		return p
	}
	out := *p
	out.Warnings, out.Steps = m.Texts(p.Warnings), slices.Clone(p.Steps)
	for i, s := range p.Steps {
		step := *s
		step.Reasons = slices.Clone(s.Reasons)
		for j := range step.Reasons {
			r := &step.Reasons[j]
			r.From, r.To, r.Text = m.Text(r.From), m.Text(r.To), m.Text(r.Text)
		}
		out.Steps[i] = &step
	}
	return &out
}

// Event is an event without secrets.
func (m *Masker) Event(e planner.Event) planner.Event {
	if m.hidesNothing() {
		return e
	}
	e.Text, e.Lines = m.Text(e.Text), m.Texts(e.Lines)
	if e.Part != nil {
		part := *e.Part
		part.Name, part.Error = m.Text(part.Name), m.Text(part.Error)
		e.Part = &part
	}
	return e
}

// held is how much of the end of b may be the beginning of a secret.
func (m *Masker) held(b []byte) int {
	longest := 0
	values, _ := m.known()
	for _, v := range values {
		for n := min(len(v)-1, len(b)); n > longest; n-- {
			if bytes.HasSuffix(b, []byte(v[:n])) {
				longest = n
				break
			}
		}
	}
	return longest
}

// cut is b without secrets but for its end, which may be the beginning of one:
// that is given back to come before what follows.
func (m *Masker) cut(b []byte) (masked, rest []byte) {
	b = m.Bytes(b)
	keep := m.held(b)
	return b[:len(b)-keep], slices.Clone(b[len(b)-keep:])
}

// Writer is a stream without secrets, also those that come in pieces; flush
// writes what was kept back.
func (m *Masker) Writer(w io.Writer) (masked io.Writer, flush func()) {
	s := &Stream{to: w, mask: m}
	s.hides.Store(true)
	return s, s.flush
}
