package keeper

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"unicode"
)

// exchange follows the requests and answers of HTTP/1 on one connection (RFC
// 9112) from the bytes that pass, and so knows whether a request is under way.
// It changes nothing and checks no more than it must to find where a message
// ends.
type exchange struct {
	asks, answers framing
	methods       []string // of the requests that were asked and not answered yet
	last          bool     // the connection ends with the present answer
	isBound       bool     // the server knows the client by the connection
	isEndless     bool     // neither side owes the other an answer: a WebSocket, a stream of events
}

// errForeign says that the bytes are not HTTP/1, or not any more.
var errForeign = errors.New("not HTTP/1")

// isAtRest says that all that was asked has been answered, to the end.
func (x *exchange) isAtRest() bool {
	return len(x.methods) == 0 && x.asks.isBetween() && x.answers.isBetween()
}

// ask takes what the client sends.
func (x *exchange) ask(p []byte) error {
	x.asks.opens = opensRequest
	return x.asks.feed(p, x.onRequest, func() {})
}

// answer takes what the server sends.
func (x *exchange) answer(p []byte) error {
	if len(x.methods) == 0 {
		return errForeign // nobody has asked
	}
	x.answers.opens = opensAnswer
	return x.answers.feed(p, x.onAnswer, x.onAnswered)
}

// opensRequest says whether a first line, or what has come of one, can be a
// request's (RFC 9112, 3). Other protocols have lines that begin like it, some
// have no lines at all.
func opensRequest(line []byte, isWhole bool) bool {
	if line[0] < 'A' || line[0] > 'Z' || bytes.ContainsFunc(line, unicode.IsControl) {
		return false
	}
	return !isWhole || bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.HasSuffix(line, []byte(" HTTP/1.0"))
}

// opensAnswer says the same of an answer's (RFC 9112, 4).
func opensAnswer(line []byte, isWhole bool) bool {
	const version = "HTTP/1."
	return bytes.HasPrefix(line, []byte(version)) || !isWhole && strings.HasPrefix(version, string(line))
}

func (x *exchange) onRequest(head []string) (phase, int64, error) {
	method, _, _ := strings.Cut(head[0], " ")
	version := head[0][strings.LastIndexByte(head[0], ' ')+1:]
	x.methods = append(x.methods, method)
	x.noteLast(version, head)
	x.noteBound(head)
	kind, n, err := bodyOf(head)
	if kind == toEnd {
		return inHead, 0, err // a request without a length has no body
	}
	return kind, n, err
}

func (x *exchange) onAnswer(head []string) (phase, int64, error) {
	version, rest, _ := strings.Cut(head[0], " ")
	status, _, _ := strings.Cut(rest, " ")
	code, err := strconv.Atoi(status)
	if err != nil || len(x.methods) == 0 {
		return 0, 0, errForeign
	}
	method := x.methods[0]
	switch {
	case code == 101, method == "CONNECT" && code/100 == 2:
		x.isEndless = true
		return 0, 0, errForeign
	case code/100 == 1: // the answer is still to come
		return inHead, 0, nil
	case strings.HasPrefix(field(head, "Content-Type"), "text/event-stream"):
		x.isEndless = true
		return 0, 0, errForeign
	}
	x.noteLast(version, head)
	x.noteBound(head)
	kind, n, err := bodyOf(head)
	if method == "HEAD" || code == 204 || code == 304 {
		kind, n = inBody, 0
	}
	if kind == toEnd {
		x.last = true
	}
	if kind == inBody && n == 0 {
		x.onAnswered()
		return inHead, 0, err
	}
	return kind, n, err
}

func (x *exchange) onAnswered() { x.methods = x.methods[1:] }

// noteLast notes whether a side wants the connection to end (RFC 9112, 9.3).
func (x *exchange) noteLast(version string, head []string) {
	options := strings.ToLower(field(head, "Connection"))
	if strings.Contains(options, "close") || version == "HTTP/1.0" && !strings.Contains(options, "keep-alive") {
		x.last = true
	}
}

// noteBound notes whether client and server speak of a way to authenticate that
// holds for the connection, not for a request (RFC 4559; NTLM is alike).
func (x *exchange) noteBound(head []string) {
	for _, name := range []string{"Authorization", "Proxy-Authorization", "WWW-Authenticate", "Proxy-Authenticate"} {
		for challenge := range strings.SplitSeq(field(head, name), ",") {
			scheme, _, _ := strings.Cut(strings.TrimSpace(challenge), " ")
			if strings.EqualFold(scheme, "Negotiate") || strings.EqualFold(scheme, "NTLM") {
				x.isBound = true
			}
		}
	}
}

// bodyOf says what follows a head (RFC 9112, 6.3).
func bodyOf(head []string) (phase, int64, error) {
	if coding := strings.ToLower(field(head, "Transfer-Encoding")); coding != "" {
		if strings.HasSuffix(coding, "chunked") {
			return inChunkSize, 0, nil
		}
		return toEnd, 0, nil
	}
	text := field(head, "Content-Length")
	if text == "" {
		return toEnd, 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0, 0, errForeign
	}
	if n == 0 {
		return inBody, 0, nil
	}
	return inBody, n, nil
}

// field is the value of a header field, "" if there is none. One that is there
// more than once is a list (RFC 9110, 5.3).
func field(head []string, name string) string {
	var values []string
	for _, line := range head {
		if got, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(got, name) {
			values = append(values, strings.TrimSpace(value))
		}
	}
	return strings.Join(values, ", ")
}

// phase is where in a message a direction is.
type phase int

const (
	inHead      phase = iota
	inBody            // of a known length
	inChunkSize       // the line before a chunk
	inChunk           // with the end of line that follows it
	inTrailer         // after the last chunk
	toEnd             // a body that ends with the connection
)

// Bounds of a head, and with it of what is remembered of one.
const (
	maxHead      = 64 << 10
	maxFirstLine = 16 << 10
)

// framing is one direction: where a message ends and the next begins.
type framing struct {
	phase phase
	opens func(line []byte, isWhole bool) bool // whether a message can begin with a line, or have begun with a part of one
	lines []string                             // of a head that has not ended
	text  []byte                               // of a line that has not ended
	size  int                                  // of the head or line
	left  int64                                // bytes of the body or chunk that are to come
}

// isBetween says that one message has ended and the next has not begun.
func (f *framing) isBetween() bool {
	return f.phase == inHead && len(f.lines) == 0 && len(f.text) == 0
}

// feed takes bytes. It calls begin with each head, which says what follows,
// and end after each body.
func (f *framing) feed(p []byte, begin func(head []string) (phase, int64, error), end func()) error {
	for len(p) > 0 {
		switch f.phase {
		case toEnd:
			return nil
		case inBody, inChunk:
			n := min(f.left, int64(len(p)))
			p = p[n:]
			f.pass(n, end)
		default:
			line, rest, isWhole := bytes.Cut(p, []byte("\n"))
			f.text = append(f.text, line...)
			text := bytes.TrimSuffix(f.text, []byte("\r"))
			if f.size += len(line); f.size > maxHead || !f.isPlausible(text, isWhole) {
				return errForeign
			}
			if !isWhole {
				return nil
			}
			p = rest
			f.text = f.text[:0]
			if err := f.line(string(text), begin, end); err != nil {
				return err
			}
		}
	}
	return nil
}

// isPlausible says whether a line, or what has come of it, can be where it is.
// Empty ones may come before a message (RFC 9112, 2.2).
func (f *framing) isPlausible(line []byte, isWhole bool) bool {
	if f.phase != inHead || len(f.lines) > 0 || len(line) == 0 {
		return true
	}
	return len(line) <= maxFirstLine && f.opens(line, isWhole)
}

// pass counts bytes of a body or a chunk.
func (f *framing) pass(n int64, end func()) {
	if f.left -= n; f.left > 0 {
		return
	}
	if f.phase == inChunk {
		f.phase = inChunkSize
		return
	}
	f.phase = inHead
	end()
}

// line takes a whole line of a head, a chunk or a trailer.
func (f *framing) line(line string, begin func(head []string) (phase, int64, error), end func()) (err error) {
	switch f.phase {
	case inChunkSize:
		text, _, _ := strings.Cut(line, ";")
		n, err := strconv.ParseUint(strings.TrimSpace(text), 16, 62)
		if err != nil {
			return errForeign
		}
		if f.phase, f.left, f.size = inTrailer, 0, 0; n > 0 {
			f.phase, f.left = inChunk, int64(n)+2
		}
	case inTrailer:
		if line == "" {
			f.phase, f.size = inHead, 0
			end()
		}
	default:
		if line != "" {
			f.lines = append(f.lines, line)
			return nil
		}
		if len(f.lines) == 0 {
			return nil
		}
		head := f.lines
		f.lines, f.size = nil, 0
		f.phase, f.left, err = begin(head)
		if f.phase == inBody && f.left == 0 {
			f.phase = inHead
		}
	}
	return err
}
