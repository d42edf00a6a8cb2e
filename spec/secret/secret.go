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
	mu    sync.Mutex
	known *values // guarded by mu; replaced, not changed; nil: there are none
}

// values are what is hidden, made ready to be looked for.
type values struct {
	all      []string // the longest first
	replacer *strings.Replacer
	byHead   map[string][]string // first bytes, as many as the shortest has -> values
	heads    map[string]bool     // all that may begin one and is shorter than that
}

func newValues(all []string) *values {
	v := &values{all: all, byHead: map[string][]string{}, heads: map[string]bool{}}
	var pairs []string
	for _, text := range all {
		pairs = append(pairs, text, Hidden)
		v.byHead[text[:shortest]] = append(v.byHead[text[:shortest]], text)
		for n := 1; n < shortest; n++ {
			v.heads[text[:n]] = true
		}
	}
	v.replacer = strings.NewReplacer(pairs...)
	return v
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
	var had []string
	if m.known != nil {
		had = m.known.all
		values = slices.DeleteFunc(values, m.known.has)
	}
	if len(values) == 0 {
		return
	}
	all := slices.Concat(had, values)
	// The longest first, so that no part of it is left beside a shorter one.
	slices.SortFunc(all, func(x, y string) int { return cmp.Or(len(y)-len(x), strings.Compare(x, y)) })
	m.known = newValues(slices.Compact(all))
}

// With is a mask of its own that hides further contents too.
func (m *Mask) With(contents ...[]byte) *Mask {
	out := &Mask{known: m.look()}
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

// look gives the values that are hidden, nil where there are none.
func (m *Mask) look() *values {
	if m == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

// IsEmpty says that there is nothing to hide.
func (m *Mask) IsEmpty() bool {
	return m.look() == nil
}

// Text is a text that is whole, without secrets.
func (m *Mask) Text(s string) string {
	known := m.look()
	if known == nil {
		return s
	}
	return known.replacer.Replace(s)
}

// Cut is a text without secrets whose end may have been cut off: what may be
// the beginning of one there is hidden too.
func (m *Mask) Cut(s string) string {
	s = m.Text(s)
	if n := m.look().held(s); n > 0 {
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

// has says that a text is hidden already.
func (v *values) has(text string) bool {
	return len(text) >= shortest && slices.Contains(v.byHead[text[:shortest]], text)
}

// held is how much of the end of s may be the beginning of a secret, in bytes.
func (v *values) held(s string) int {
	if v == nil {
		return 0
	}
	for at := max(0, len(s)-len(v.all[0])+1); at < len(s); at++ {
		tail := s[at:]
		if len(tail) < shortest {
			if v.heads[tail] {
				return len(tail)
			}
			continue
		}
		for _, text := range v.byHead[tail[:shortest]] {
			if len(text) > len(tail) && strings.HasPrefix(text, tail) {
				return len(tail)
			}
		}
	}
	return 0
}

// whole is up to where a text can be looked at whatever follows it: no secret may
// begin before that and end, or go on, behind it.
func (v *values) whole(s string) int {
	if v == nil {
		return len(s)
	}
	cut := len(s) - v.held(s)
	for moved := true; moved; {
		moved = false
		for at := max(0, cut-len(v.all[0])+1); at < cut && at+shortest <= len(s); at++ {
			for _, text := range v.byHead[s[at:at+shortest]] {
				if at+len(text) > cut && strings.HasPrefix(s[at:], text) {
					cut, moved = at, true
					break
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
	cut := s.Mask.look().whole(text)
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
