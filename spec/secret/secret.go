// Package secret hides the contents of a project's secrets in text that is
// shown: events, output of builds and probes, reports. It knows contents, not
// where they come from.
package secret

import (
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"sync"
)

// shortest is the length in bytes below which a value is not hidden: to
// replace every "1" of an output hides more than the secret.
const shortest = 4

// Hidden stands for a secret.
const Hidden = "***"

// Mask hides values in text. A nil Mask hides nothing. It forgets no value by
// itself: where a secret has changed, what runs still has the old one.
type Mask struct {
	mu       sync.Mutex
	values   []string          // guarded by mu; the longest first
	replacer *strings.Replacer // guarded by mu; nil: there are no values
}

// Add hides the content of a secret from here on: whole, and line by line, as a
// program would print a key of several lines; also as documents have it between
// quotes.
func (m *Mask) Add(content []byte) {
	var values []string
	add := func(text string) {
		if text = strings.TrimSpace(text); len(text) < shortest {
			return
		}
		values = append(values, text, quoted(text, true), quoted(text, false))
	}
	add(string(content))
	for line := range strings.Lines(string(content)) {
		add(line)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	values = slices.DeleteFunc(values, func(v string) bool { return slices.Contains(m.values, v) })
	if len(values) == 0 {
		return
	}
	all := slices.Concat(m.values, values)
	// The longest first, so that no part of it is left beside a shorter one.
	slices.SortFunc(all, func(x, y string) int { return cmp.Or(len(y)-len(x), strings.Compare(x, y)) })
	m.values = slices.Compact(all)
	var pairs []string
	for _, v := range m.values {
		pairs = append(pairs, v, Hidden)
	}
	m.replacer = strings.NewReplacer(pairs...)
}

// With is a mask of its own that hides further contents too.
func (m *Mask) With(contents ...[]byte) *Mask {
	values, replacer := m.known()
	out := &Mask{values: values, replacer: replacer}
	for _, content := range contents {
		out.Add(content)
	}
	return out
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

// known are the values that are hidden, and what hides them; nil where there
// are none.
func (m *Mask) known() ([]string, *strings.Replacer) {
	if m == nil {
		return nil, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values, m.replacer
}

// IsEmpty says that there is nothing to hide.
func (m *Mask) IsEmpty() bool {
	values, _ := m.known()
	return len(values) == 0
}

// Text is a text that is whole, without secrets.
func (m *Mask) Text(s string) string {
	_, replacer := m.known()
	if replacer == nil {
		return s
	}
	return replacer.Replace(s)
}

// Cut is a text without secrets whose end may have been cut off: what may be
// the beginning of one there is hidden too.
func (m *Mask) Cut(s string) string {
	s = m.Text(s)
	if n := m.held(s); n > 0 {
		return s[:len(s)-n] + Hidden
	}
	return s
}

// Bytes is Text for bytes.
func (m *Mask) Bytes(b []byte) []byte {
	if m.IsEmpty() {
		return b
	}
	return []byte(m.Text(string(b)))
}

// held is how much of the end of s may be the beginning of a secret, in bytes.
func (m *Mask) held(s string) int {
	longest := 0
	values, _ := m.known()
	for _, v := range values {
		for n := min(len(v)-1, len(s)); n > longest; n-- {
			if strings.HasSuffix(s, v[:n]) {
				longest = n
				break
			}
		}
	}
	return longest
}

// whole is up to where a text can be looked at whatever follows it: no secret may
// begin before that and end, or go on, behind it.
func (m *Mask) whole(s string) int {
	cut := len(s) - m.held(s)
	values, _ := m.known()
	for moved := true; moved; {
		moved = false
		for _, v := range values {
			for at := max(0, cut-len(v)+1); at < cut; at++ {
				if strings.HasPrefix(s[at:], v) && at+len(v) > cut {
					cut, moved = at, true
				}
			}
		}
	}
	return cut
}

// Stream hides secrets in text that comes in pieces: it keeps back what may be
// the beginning of one.
type Stream struct {
	Mask *Mask
	rest string
}

// Push takes a piece in and gives what can be shown.
func (s *Stream) Push(piece string) string {
	text := s.rest + piece
	cut := s.Mask.whole(text)
	s.rest = text[cut:]
	return s.Mask.Text(text[:cut])
}

// Rest is what was kept back, at the end of the text.
func (s *Stream) Rest() string {
	rest := s.rest
	s.rest = ""
	return s.Mask.Text(rest)
}

// Writer hides secrets in what is written through it, also those that come in
// pieces: it keeps back what may be the beginning of one until the next Write
// or Flush.
type Writer struct {
	w io.Writer

	mu     sync.Mutex
	stream Stream // guarded by mu
}

// NewWriter writes to w what m lets through.
func NewWriter(w io.Writer, m *Mask) *Writer { return &Writer{w: w, stream: Stream{Mask: m}} }

// Write writes what can be shown. It takes all of p unless writing fails.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := io.WriteString(w.w, w.stream.Push(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes what was kept back.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := io.WriteString(w.w, w.stream.Rest())
	return err
}

// Unwrap is what is written to.
func (w *Writer) Unwrap() io.Writer { return w.w }
