package cmd

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/orlop/orlop/cmd/junit"
	"github.com/orlop/orlop/cmd/watch"
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

// masker hides secrets in text that is whole. It forgets none: where one has
// changed, what runs still has the old one.
type masker struct {
	mu       sync.Mutex // guards what follows
	values   []string
	replacer *strings.Replacer // nil: there are no values
}

func newMasker(values []string) *masker {
	m := &masker{}
	m.add(values)
	return m
}

// add hides more values from here on.
func (m *masker) add(values []string) {
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
func (m *masker) known() ([]string, *strings.Replacer) {
	if m == nil {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values, m.replacer
}

func (m *masker) hidesNothing() bool {
	values, _ := m.known()
	return len(values) == 0
}

func (m *masker) text(s string) string {
	_, replacer := m.known()
	if replacer == nil {
		return s
	}
	return replacer.Replace(s)
}

func (m *masker) texts(all []string) []string {
	if all == nil {
		return nil
	}
	out := make([]string, len(all))
	for i, s := range all {
		out[i] = m.text(s)
	}
	return out
}

func (m *masker) bytes(b []byte) []byte {
	if m.hidesNothing() {
		return b
	}
	return []byte(m.text(string(b)))
}

// plan is a plan without secrets. Names stay: they are the stack file's.
func (m *masker) plan(p *planner.Plan) *planner.Plan {
	if m.hidesNothing() {
		return p
	}
	out := *p
	out.Warnings, out.Steps = m.texts(p.Warnings), slices.Clone(p.Steps)
	for i, s := range p.Steps {
		step := *s
		step.Reasons = slices.Clone(s.Reasons)
		for j := range step.Reasons {
			r := &step.Reasons[j]
			r.From, r.To, r.Text = m.text(r.From), m.text(r.To), m.text(r.Text)
		}
		out.Steps[i] = &step
	}
	return &out
}

// event is an event without secrets.
func (m *masker) event(e planner.Event) planner.Event {
	if m.hidesNothing() {
		return e
	}
	e.Text, e.Lines = m.text(e.Text), m.texts(e.Lines)
	if e.Part != nil {
		part := *e.Part
		part.Name, part.Error = m.text(part.Name), m.text(part.Error)
		e.Part = &part
	}
	return e
}

// watchEvent is an event of a watch without secrets.
func (m *masker) watchEvent(e watch.Event) watch.Event {
	e.Text, e.Lines, e.Step = m.text(e.Text), m.texts(e.Lines), m.text(e.Step)
	return e
}

// report hides secrets in all texts of a report, before XML escapes them.
func (m *masker) report(r *junit.Report) {
	if m == nil {
		return
	}
	each := func(texts ...*string) {
		for _, t := range texts {
			*t = m.text(*t)
		}
	}
	each(&r.Name)
	for i := range r.Suites {
		s := &r.Suites[i]
		each(&s.Name, &s.Hostname, &s.Out, &s.Err)
		for j := range s.Properties {
			each(&s.Properties[j].Name, &s.Properties[j].Value)
		}
		for j := range s.Cases {
			k := &s.Cases[j]
			each(&k.Class, &k.Name, &k.Message, &k.Kind, &k.Detail, &k.Out, &k.Err)
		}
	}
}

// held is how much of the end of b may be the beginning of a secret.
func (m *masker) held(b []byte) int {
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

// maskedWriter hides secrets in a stream, also those that come in pieces: it
// keeps back what may be the beginning of one until the next write or flush.
type maskedWriter struct {
	w    io.Writer
	mask *masker

	mu   sync.Mutex // guards rest
	rest []byte
}

func (m *maskedWriter) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b := m.mask.bytes(append(m.rest, p...))
	keep := m.mask.held(b)
	m.rest = slices.Clone(b[len(b)-keep:])
	if _, err := m.w.Write(b[:len(b)-keep]); err != nil {
		return 0, err
	}
	return len(p), nil
}

// flush writes what was kept back.
func (m *maskedWriter) flush() {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.w.Write(m.rest)
	m.rest = nil
}

// file is what the stream is in the end, so that a terminal stays one.
func (m *maskedWriter) file() descriptor { return fileOf(m.w) }

// hideSecrets keeps the secrets of a project out of progress from here on, and
// in the log of a CI system out of all that is printed.
func (a *app) hideSecrets(p *spec.Project) {
	if a.mask == nil {
		a.mask = newMasker(nil)
	}
	a.mask.add(secretValues(p))
	if a.inWorkflow() {
		a.hideOutput()
	}
}

// hideOutput keeps the secrets out of all that this command prints, what the
// stack's programs print included.
func (a *app) hideOutput() {
	if len(a.hiding) > 0 {
		return
	}
	out, errs := &maskedWriter{w: a.world.Stdout, mask: a.mask}, &maskedWriter{w: a.world.Stderr, mask: a.mask}
	a.world.Stdout, a.world.Stderr, a.hiding = out, errs, []*maskedWriter{out, errs}
}

// endOutput prints what was kept back.
func (a *app) endOutput() {
	for _, w := range a.hiding {
		w.flush()
	}
}
